"""`stagegate subsidence`: train, calibrate and forecast from a Stage-1 handoff, or from the embedded twin city."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli import subsidence_data
from tasks.cli.flow_runner import run_flow
from tasks.contracts.errors import ConfigError
from tasks.contracts.report import FlowReport

app = typer.Typer(no_args_is_help=False, help=__doc__, invoke_without_command=True, pretty_exceptions_enable=False)

BESIDE_RESUME = ("--resume", "--dry-run", "--json")  # what does not change the request
WIDEST_TABLE = 100  # columns; a narrower terminal would fold the names of the methods
Json = Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML, YAML, JSON or literal Python.")]
ConfigRoot = Annotated[Path | None, typer.Option("--config-root", help="Folder with default.* and {city}.*.")]
City = Annotated[
    str | None, typer.Option("--city", help="Must be the manifest's city; alone, ./results is searched for it.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="GeoPriorSubsNet (default), PoroElasticSubsNet or HybridAttn-NoPhysics.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Searched for manifest.json (newest fitting one wins), then ./results."),
]
Manifest = Annotated[
    str | None, typer.Option("--stage1-manifest", envvar="STAGE1_MANIFEST", help="Path or URL of manifest.json.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Configuration for this run only.")]
Out = Annotated[Path, typer.Option("--out", help="Run folders are made below it.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Weights, shuffling and bootstrap follow from it (42).")
]


@app.callback()
def subsidence(
    context: typer.Context,
    config: ConfigFile = None,
    config_root: ConfigRoot = None,
    city: City = None,
    model: Model = None,
    data_dir: DataDir = None,
    stage1_manifest: Manifest = None,
    sets: Sets = None,
    out: Out = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN_DIR", help="Continue an interrupted run.")
    ] = None,
    seed: Seed = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="Panel CSV with the forecast years.")] = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", metavar="REF", help="Registry entry to start from.")
    ] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="required, preferred or none.")] = "preferred",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, what is cached, and why.")] = False,
    as_json: Json = False,
) -> None:
    """Forecast land subsidence. With no data options at all: the embedded twin city, end to end."""
    if context.invoked_subcommand is not None:
        _refuse_early_options(context)
        return
    if resume is not None:
        _refuse_beside_resume(context)
        stage1_manifest = None  # of the environment, which is no option of this call
    from flows.forecast_subsidence import forecast_subsidence

    request = _request(
        stage1_manifest=stage1_manifest,
        data_dir=_text(data_dir),
        city=city,
        model=model,
        config=_text(config),
        config_root=_text(config_root),
        set=tuple(sets or ()),
        out=str(out),
        resume=_text(resume),
        seed=seed,
        truth=_text(truth),
        init_from=init_from,
        accelerator=accelerator,
    )
    raise typer.Exit(run_flow(forecast_subsidence, request, as_json=as_json, dry=dry_run, show=_show))


@app.command()
def audit(
    stage1_manifest: Manifest = None,
    data_dir: DataDir = None,
    city: City = None,
    model: Model = None,
    config: ConfigFile = None,
    config_root: ConfigRoot = None,
    sets: Sets = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Only look: manifest, handshake audit, configuration and scaling (no training)."""
    from flows.audit_subsidence import audit_subsidence

    request = _request(
        stage1_manifest=stage1_manifest,
        data_dir=_text(data_dir),
        city=city,
        model=model,
        config=_text(config),
        config_root=_text(config_root),
        set=tuple(sets or ()),
        out=str(out),
    )
    raise typer.Exit(run_flow(audit_subsidence, request, as_json=as_json, dry=False, show=_show_audit))


@app.command()
def forecast(
    entry: Annotated[str, typer.Option("--from", metavar="REF", help="Artifact hash of a registered model.")],
    stage1_manifest: Manifest = None,
    data_dir: DataDir = None,
    city: City = None,
    sets: Sets = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="Panel CSV with the forecast years.")] = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Forecast another handoff with a registered model; nothing is trained."""
    from flows.apply_forecaster import apply_forecaster

    request = _request(
        stage1_manifest=stage1_manifest,
        data_dir=_text(data_dir),
        city=city,
        set=tuple(sets or ()),
        truth=_text(truth),
        out=str(out),
        init_from=entry,
    )
    raise typer.Exit(run_flow(apply_forecaster, request, as_json=as_json, dry=False, show=_show))


def _refuse_early_options(context: typer.Context) -> None:
    """Options before a sub-command would be dropped silently."""
    given = _given(context)
    if given:
        raise ConfigError(
            f"{', '.join(given)} stands before the sub-command",
            where=f"subsidence {context.invoked_subcommand}",
            remedy=f"Write options after the word {context.invoked_subcommand}.",
        )


def _refuse_beside_resume(context: typer.Context) -> None:
    """A resumed run asks for what its folder says; another wish would be dropped silently."""
    given = [name for name in _given(context) if name not in BESIDE_RESUME]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot be given together with --resume",
            where="subsidence",
            expected=f"nothing but {' and '.join(BESIDE_RESUME[1:])} beside it",
            remedy="The run folder says what was asked for (request.json): leave "
            f"{'it' if len(given) == 1 else 'them'} out, or start a new run without --resume.",
        )


def _given(context: typer.Context) -> list[str]:
    """Options of the command line, as they are spelled there."""
    spelled = {param.name: param.opts[0] for param in context.command.params}
    return [spelled[name] for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"]


def _request(**values: Any) -> Any:
    from pydantic import ValidationError

    from tasks.subsidence.request import SubsidenceRequest

    try:
        return SubsidenceRequest(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"--{'.'.join(map(str, first['loc'])).replace('_', '-')} is not usable",
            expected=first["msg"],
            found=repr(first["input"]),
            remedy="See stagegate subsidence --help.",
        ) from None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _show(report: FlowReport) -> None:
    _show_scores(report.metrics)
    for warning in report.warnings:
        print(f"warning: {warning}")
    for name, reason in report.missing.items():
        print(f"missing: {name}: {reason}")
    cache = report.cache
    print(f"\n{report.status}: {cache['steps']} steps, {cache['hits']} cached, {cache['misses']} ran")
    print(f"run folder   {report.run_folder}")
    _show_page(report)
    print("dashboard    .venv/bin/prefect server start   (then http://127.0.0.1:4200)")


def _show_scores(metrics: dict[str, float | None]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from tasks.subsidence.scoring.score_table import score_rows

    console = Console()
    console = Console(width=max(console.width, WIDEST_TABLE))
    for title, rows in score_rows(metrics).items():
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        for name in rows[0]:
            table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row.values(), style="bold" if row["method"] == "this model" else "")
        console.print(table)


def _show_audit(report: FlowReport) -> None:
    for warning in report.warnings:
        print(f"warning: {warning}")
    print(f"\nhandoff accepted; run folder {report.run_folder}")
    _show_page(report)


def _show_page(report: FlowReport) -> None:
    page = report.artifacts.get("report.html")
    if page is not None:
        print(f"report       {page.path}")


app.command()(subsidence_data.prepare)
app.command()(subsidence_data.simulate)
app.command("convert-scaler")(subsidence_data.convert_scaler)
