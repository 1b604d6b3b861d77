"""`stagegate run FLOW --set k=v`: any flow by its name, with the fields of its request."""

import importlib
import json
from typing import Annotated, Any

import typer

from tasks.cli.flow_runner import run_flow
from tasks.contracts.errors import ConfigError
from tasks.contracts.report import FlowReport

FLOWS = ("forecast-subsidence", "audit-subsidence", "apply-forecaster", "refine-tiles", "train-tiles")


def run(
    flow: Annotated[str, typer.Argument(help=f"One of {', '.join(FLOWS)}.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the flow's request.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, what is cached, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")] = False,
) -> None:
    """Run a flow; values are JSON where they parse as JSON, else text."""
    if flow not in FLOWS:
        raise ConfigError("flow is unknown", found=flow, expected=f"one of {', '.join(FLOWS)}")
    name = flow.replace("-", "_")
    function = getattr(importlib.import_module(f"flows.{name}"), name)
    request = _request(function, dict(_pair(text) for text in sets or ()))
    raise typer.Exit(run_flow(function, request, as_json=as_json, dry=dry_run, show=_show))


def _request(function: Any, values: dict[str, Any]) -> Any:
    import inspect
    import typing

    from pydantic import ValidationError

    (name,) = inspect.signature(function.fn).parameters
    model = typing.get_type_hints(function.fn)[name]
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"field {'.'.join(map(str, first['loc']))} is not usable",
            expected=first["msg"],
            found=repr(first["input"]),
            remedy=f"Fields: {', '.join(model.model_fields)}.",
        ) from None


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError("--set is not FIELD=VALUE", found=text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _show(report: FlowReport) -> None:
    print(f"{report.status}: {report.run_folder}")
