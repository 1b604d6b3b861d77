"""`stagegate`: the entry point."""

import json
import sys
import traceback

import typer

from tasks.cli import environment

environment.set_defaults()

from tasks.cli.doctor import doctor  # noqa: E402
from tasks.cli.flow_runner import EXIT_INTERNAL  # noqa: E402
from tasks.cli.run import run as run_any_flow  # noqa: E402
from tasks.cli.store import app as store_app  # noqa: E402
from tasks.cli.subsidence import app as subsidence_app  # noqa: E402
from tasks.contracts.errors import StagegateError  # noqa: E402

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Second-stage geoscience ML: audited, cached by content, judged against an oracle.",
)
app.add_typer(subsidence_app, name="subsidence")
app.add_typer(store_app, name="store")
app.command()(doctor)
app.command("run")(run_any_flow)


def run() -> None:
    """Console script: typed errors become exit codes, with one JSON line where `--json` was asked for."""
    try:
        app()
    except StagegateError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        if "--json" in sys.argv:
            print(
                json.dumps(
                    {
                        "status": "refused" if error.exit_code == 2 else "failed",
                        "error": {"class": type(error).__name__, "message": str(error)},
                    }
                )
            )
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # the outermost edge: nothing may look like "finished, some items failed"
        traceback.print_exc(file=sys.stderr)
        if "--json" in sys.argv:
            print(json.dumps({"status": "failed", "error": {"class": type(error).__name__, "message": str(error)}}))
        raise SystemExit(EXIT_INTERNAL) from None
