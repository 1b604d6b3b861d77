"""What a person reads at the end of a run over tiles."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.report import FlowReport
from tasks.tiles.summary import Summary, last_line

BASELINES = ("identity", "unsharp")
TARGETS = {"ndvi_rmse": "< 0.05", "edge_correlation": "> 0.9"}
SHOWN = ("ndvi_rmse", "edge_correlation", "psnr_db", "share_bit_identical")
MOST_FAILED = 10
NO_REFINEMENT = "no_refinement: the outputs equal their inputs bit for bit; this model does nothing"


def show_refined(report: FlowReport, log_file: str | None) -> None:
    """Scores, counts, warnings, failures, where everything is; the verdict last where nothing was refined."""
    folder = Path(report.run_folder)
    summary = _summary(folder)
    counts = "" if summary is None else last_line(summary)
    show_scores(report.metrics)
    for warning in report.warnings:
        if warning != counts:
            print(f"warning: {warning}")
    _show_failed(report.missing, len(report.missing) if summary is None else summary.failed)
    print(f"\n{counts or report.status}")
    print(f"cache        {report.cache['steps']} steps, {report.cache['hits']} cached, {report.cache['misses']} ran")
    print(f"output       {report.run_folder}")
    if (page := folder / "report.html").is_file():
        print(f"report       {page}")
    print(f"log          {log_file or folder / 'inference.log'}")
    print(NO_REFINEMENT if report.status == "no_refinement" else report.status)


def show_scores(metrics: Mapping[str, float | None]) -> None:
    """Medians over the tiles, beside those of the untouched input and of a simple filter."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    named = [name for name in SHOWN if name in metrics]
    if not named:
        return
    table = Table(title="median of the tiles", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("metric", no_wrap=True)
    for column in ("refined", *BASELINES, "target"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in named:
        row = (metrics[name], *(metrics.get(f"baselines.{baseline}.{name}") for baseline in BASELINES))
        table.add_row(name, *map(_number, row), TARGETS.get(name, ""))
    console = Console()
    Console(width=max(console.width, 80)).print(table)


def _show_failed(failed: Mapping[str, str], count: int) -> None:
    for name, reason in list(failed.items())[:MOST_FAILED]:
        print(f"failed: {name}: {reason}")
    if count > MOST_FAILED:
        print(f"failed: {count - MOST_FAILED} more, see .stagegate/errors.jsonl")


def _summary(folder: Path) -> Summary | None:
    """The counts of the run that this folder tells of, where it does."""
    try:
        return Summary.model_validate_json((folder / ".stagegate" / "summary.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
