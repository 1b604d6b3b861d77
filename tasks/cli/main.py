"""`stagegate`: the entry point."""

import sys
import traceback

import typer

from tasks.cli import environment

environment.set_defaults()

from tasks.cli.answers import exit_code, failure, print_answer, without_passwords  # noqa: E402
from tasks.cli.doctor import doctor  # noqa: E402
from tasks.cli.flow_runner import stopped  # noqa: E402
from tasks.cli.run import run as run_any_flow  # noqa: E402
from tasks.cli.serve import deploy, serve, worker  # noqa: E402
from tasks.cli.store import app as store_app  # noqa: E402
from tasks.cli.subsidence import app as subsidence_app  # noqa: E402
from tasks.cli.tiles import app as tiles_app  # noqa: E402
from tasks.contracts.errors import ConfigError, StagegateError  # noqa: E402

SHELL_INTERRUPTED = 130  # what the parser returns for a Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Second-stage geoscience ML: audited, cached by content, judged against an oracle.",
)
app.add_typer(subsidence_app, name="subsidence")
app.add_typer(tiles_app, name="tiles")
app.add_typer(store_app, name="store")
app.command()(doctor)
app.command("run")(run_any_flow)
app.command()(serve)
app.command()(deploy)
app.command()(worker)


def run() -> None:
    """Console script: every error becomes an exit code, with one JSON line where `--json` was asked for."""
    raise SystemExit(_called())


def _called() -> int:
    try:
        code = app(prog_name="stagegate", standalone_mode=False)
    except typer.TyperException as error:  # the command line itself: unknown option, bad value, nothing given
        error.show()
        return _answered(_usage(error))
    except StagegateError as error:
        return _told(error)
    except (KeyboardInterrupt, typer.Abort):
        return _told(stopped())
    except Exception as error:  # the outermost edge: nothing may look like "finished, some items failed"
        print(without_passwords(traceback.format_exc()), file=sys.stderr)
        return _answered(error)
    if code == SHELL_INTERRUPTED:
        return _told(stopped())
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> ConfigError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "stagegate"
    return ConfigError(error.format_message(), remedy=f"See {path} --help.")


def _told(error: StagegateError) -> int:
    print(without_passwords(f"{type(error).__name__}: {error}"), file=sys.stderr)
    return _answered(error)


def _answered(error: BaseException) -> int:
    if "--json" in sys.argv:
        print_answer(failure(error))
    return exit_code(error)
