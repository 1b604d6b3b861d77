"""Runs of the subsidence flow for tests: a network so small that the whole flow takes seconds."""

from pathlib import Path

from flows.forecast_subsidence import forecast_subsidence
from tasks.contracts.report import FlowReport
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import PlatformSettings
from tasks.subsidence.request import SubsidenceRequest

TINY = (
    "EPOCHS=2", "EMBED_DIM=8", "HIDDEN_UNITS=8", "LSTM_UNITS=8", "ATTENTION_UNITS=8", "VSN_UNITS=8", "MEMORY_SIZE=4",
    "BOOTSTRAP_SAMPLES=20",
)  # fmt: skip


def run_flow(
    root: Path, *, dry: bool = False, sets: tuple[str, ...] = TINY, **request
) -> tuple[Run, FlowReport | None]:
    """One run over the store below `root`; a resumed one asks for what its run folder says."""
    run = Run(PlatformSettings(store=str(root / "store")), "", dry=dry)
    options = {} if "resume" in request else {"out": str(root / "runs"), "set": sets}
    asked = SubsidenceRequest(**options, **request)
    with prepared(run):
        return run, forecast_subsidence.fn(asked) if dry else forecast_subsidence(asked)


def status_of(run: Run) -> dict[str, str]:
    """Step name to cached, ran or would run."""
    return {step.step: step.status for step in run.steps}
