"""The table of deployments as `deployments/prefect.yaml`, for `prefect deploy`."""

import io
import shlex
from typing import Annotated, Any

import typer

from tasks.orchestration.serving.deployments import runtime_placeholder, runtimes
from tasks.orchestration.serving.names import Accelerator
from tasks.orchestration.serving.table import TIMEZONE, Row, rows

HEADER = """\
# The deployments of the Docker pools, generated from tasks/orchestration/serving/table.py:
#   python -m tasks.orchestration.serving.deployments --yaml > deployments/prefect.yaml
# `stagegate deploy` makes the same ones, and the work pools, which hold all that differs between machines: paths,
# networks, limits. With the pools in place:
#   eval "$(python -m tasks.orchestration.serving.deployments --environment)"
#   prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
# Rows of CUDA images, where these are built: add --cuda to the first command.
# The nightly run starts at 02:00 of `timezone`, once a night. In the night whose clocks skip 02:00 it starts an hour
# early, at 01:00; in the night that has 02:00 twice it starts at the first one.
"""


def file_text(timezone: str = TIMEZONE, cuda: bool = False) -> str:
    """The whole file. cuda: with the rows of CUDA images, which cannot be deployed where these are not built."""
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.width, yaml.default_flow_style = 120, False
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(_document(timezone, cuda), text)
    return HEADER + text.getvalue()


def _document(timezone: str, cuda: bool) -> dict[str, Any]:
    from ruamel.yaml.scalarstring import PlainScalarString

    zone = PlainScalarString(timezone, anchor="timezone")
    chosen = [row for row in rows("docker") if cuda or row.accelerator is Accelerator.CPU]
    return {
        "name": "stagegate",
        "definitions": {"timezone": zone},
        "build": [],
        "push": [],
        "pull": [],  # the code is in the images
        "deployments": [_entry(row, zone) for row in chosen],
    }


def _entry(row: Row, zone: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "entrypoint": row.entrypoint,
        "tags": list(row.tags),
        "enforce_parameter_schema": True,
        "schedules": [{"cron": row.cron, "timezone": zone, "active": True}] if row.cron else [],
        "work_pool": {
            "name": row.pool,
            "work_queue_name": row.queue,
            "job_variables": row.job_variables(f"{{{{ ${runtime_placeholder(row.image)} }}}}"),
        },
    }


def main() -> None:
    """The command line of this module and of `deployments`."""
    typer.run(_main)


def _main(
    yaml: Annotated[bool, typer.Option("--yaml", help="Print deployments/prefect.yaml.")] = False,
    environment: Annotated[bool, typer.Option("--environment", help="Print what that file takes from it.")] = False,
    timezone: Annotated[str, typer.Option(help="Of the nightly schedule.")] = TIMEZONE,
    cuda: Annotated[bool, typer.Option("--cuda", help="With the rows of CUDA images.")] = False,
) -> None:
    """The table of deployments, for Prefect's own command line."""
    if yaml:
        print(file_text(timezone, cuda), end="")
    if environment:
        for name, value in runtimes().items():
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
