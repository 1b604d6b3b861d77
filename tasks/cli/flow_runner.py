"""Runs a flow for the command line: progress, exit code, and the one JSON line."""

import sys
import traceback
from collections.abc import Callable
from typing import Any

from tasks.cli import console
from tasks.cli.answers import answer, exit_code, failure, print_answer, without_passwords
from tasks.cli.packages import installed
from tasks.cli.store_check import check_store
from tasks.contracts.errors import InterruptedStepError, StagegateError
from tasks.contracts.report import FlowReport

EXIT_INCOMPLETE = 1


def run_flow(
    flow: Any, request: Any, *, as_json: bool, dry: bool, show: Callable[[FlowReport], None], settings: Any = None
) -> int:
    """Run a flow and return the exit code; every failure has printed what, where and what to do."""
    from prefect.exceptions import TerminationSignal

    from tasks.orchestration.run import Run
    from tasks.orchestration.settings import read_settings

    run = None
    try:
        accelerator = getattr(request, "accelerator", "preferred")
        run = Run(settings or read_settings(), "", dry=dry, accelerator=accelerator)
        check_store(run.store, writes=not dry)
        with installed():
            report = _called(flow, request, run)
    except StagegateError as error:
        return _failed(error, run, as_json)
    except (KeyboardInterrupt, TerminationSignal):
        return _failed(stopped(), run, as_json)
    except Exception as error:  # the outermost edge: the traceback goes to stderr, the class into the JSON
        print(without_passwords(traceback.format_exc()), file=sys.stderr)
        return _failed(error, run, as_json)
    if dry:
        return _show_plan(run, as_json)
    if as_json:
        print_answer(report.model_dump(mode="json") | {"error": None})
    else:
        show(report)
    return 0 if report.status == "complete" and not report.missing else EXIT_INCOMPLETE


def stopped() -> InterruptedStepError:
    """What a signal from outside means to the person who reads it."""
    return InterruptedStepError(
        "run was stopped by a signal", remedy="Run the same command again; finished steps are cached."
    )


def _called(flow: Any, request: Any, run: Any) -> FlowReport:
    from tasks.orchestration.run import prepared
    from tasks.orchestration.ui import progress_teller

    with console.progress() as also, prepared(run):
        run.tell = also if run.dry else progress_teller(run, also)
        return flow.fn(request) if run.dry else flow(request)


def _failed(error: BaseException, run: Any, as_json: bool) -> int:
    print(without_passwords(f"{type(error).__name__}: {error}"), file=sys.stderr, flush=True)
    if as_json:
        print_answer(failure(error, run))
    return exit_code(error)


def _show_plan(run: Any, as_json: bool) -> int:
    rows = [{"step": step.step, "status": step.status, "why": step.why} for step in run.steps]
    out = sys.stderr if as_json else sys.stdout
    for row in rows:
        print(f"{row['step']:<20} {row['status']:<10} {row['why']}", file=out)
    for warning in run.warnings:
        print(f"warning: {warning}", file=out)
    if as_json:
        print_answer(answer("planned", plan=rows, cache=run.cache_counts(), warnings=list(run.warnings)))
    return 0
