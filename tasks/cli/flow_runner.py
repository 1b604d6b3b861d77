"""Runs a flow for the command line: progress, exit code, and the one JSON line."""

import json
import sys
from collections.abc import Callable
from typing import Any

from tasks.cli import console
from tasks.contracts.errors import InterruptedStepError, StagegateError
from tasks.contracts.report import FlowReport

EXIT_INCOMPLETE = 1
EXIT_INTERNAL = 4


def run_flow(
    flow: Any, request: Any, *, as_json: bool, dry: bool, show: Callable[[FlowReport], None], settings: Any = None
) -> int:
    """Run a flow and return the exit code; every failure has printed what, where and what to do."""
    from prefect.exceptions import TerminationSignal

    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import read_settings
    from tasks.orchestration.ui import progress_teller

    with console.progress() as also:
        run = Run(settings or read_settings(), "", dry=dry, accelerator=getattr(request, "accelerator", "preferred"))
        run.tell = also if dry else progress_teller(run, also)
        try:
            with prepared(run):
                report = flow.fn(request) if dry else flow(request)
        except StagegateError as error:
            return _failed(error, error.exit_code, run, as_json)
        except (KeyboardInterrupt, TerminationSignal):
            error = InterruptedStepError(
                "run was stopped by a signal", remedy="Run the same command again; finished steps are cached."
            )
            return _failed(error, error.exit_code, run, as_json)
        except Exception as error:  # the outermost edge: the traceback goes to stderr, the class into the JSON
            _print_traceback()
            return _failed(error, EXIT_INTERNAL, run, as_json)
    if dry:
        return _show_plan(run, as_json)
    if as_json:
        print(json.dumps(report.model_dump(mode="json") | {"error": None}))
    else:
        show(report)
    return 0 if report.status == "complete" and not report.missing else EXIT_INCOMPLETE


def _failed(error: Exception, code: int, run: Any, as_json: bool) -> int:
    name = type(error).__name__
    print(f"{name}: {error}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps(_failure(name, error, code, run)))
    return code


def _failure(name: str, error: Exception, code: int, run: Any) -> dict[str, Any]:
    status = {2: "refused", 3: "stopped"}.get(code, "failed")
    return {
        "status": status,
        "flow_run_id": run.flow_run_id,
        "run_folder": str(run.folder.path) if run.folder else None,
        "metrics": {},
        "artifacts": {},
        "cache": run.cache_counts(),
        "warnings": [],
        "error": {"class": name, "message": str(error)},
    }


def _show_plan(run: Any, as_json: bool) -> int:
    rows = [{"step": step.step, "status": step.status, "why": step.why} for step in run.steps]
    for row in rows:
        print(f"{row['step']:<20} {row['status']:<10} {row['why']}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps({"status": "planned", "plan": rows, "cache": run.cache_counts(), "error": None}))
    return 0


def _print_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)
