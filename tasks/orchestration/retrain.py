"""What the nightly retraining is asked for, what came of each item, and how the night ends."""

import logging
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import InterruptedStepError, ItemsFailedError
from tasks.contracts.report import FlowReport
from tasks.orchestration import ui
from tasks.subsidence.request import SubsidenceRequest

log = logging.getLogger(__name__)

NOT_PROMOTED = "nothing was promoted: no benchmark contract was run, and the slot keeps the model it has"


class RetrainSubsidence(Frozen):
    """Train a subsidence model as the candidate for a slot."""

    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    flow: Literal["forecast-subsidence"] = Field(
        "forecast-subsidence", title="Flow", description="The flow that trains the candidate."
    )
    request: SubsidenceRequest = Field(
        default_factory=SubsidenceRequest,
        title="Request",
        description="What that flow is asked for; as it stands, the embedded twin city.",
    )
    slot: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = Field(
        "subsidence", title="Slot", description="The role whose model the candidate may replace."
    )
    contract: str | None = Field(
        None,
        title="Contract",
        description="Name of the benchmark contract for the slot. No contract is run yet, so nothing is promoted.",
    )


class RetrainRequest(Frozen):
    """Which candidates to train tonight, one after the other."""

    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    plan: tuple[RetrainSubsidence, ...] = Field(
        (RetrainSubsidence(),),
        min_length=1,
        title="Plan",
        description="One item for each candidate; an item that fails does not stop the others.",
    )


class Outcome(Frozen):
    """What came of one item."""

    flow: str
    slot: str
    status: Literal["complete", "incomplete", "failed"]
    run_folder: str = ""
    error: str = ""
    promoted: bool = False
    promotion: str = NOT_PROMOTED


class RetrainReport(Frozen):
    """The end of the night."""

    items: tuple[Outcome, ...]


def attempt(item: RetrainSubsidence, flow: Callable[[SubsidenceRequest], FlowReport]) -> Outcome:
    """Run an item's flow; its failure is an outcome. A signal from outside stops the night and is raised."""
    try:
        report = flow(item.request)
    except InterruptedStepError:
        raise
    except Exception as error:  # whatever an item raises, the next one has its turn
        log.warning("%s failed: %s", item.flow, error)
        return Outcome(flow=item.flow, slot=item.slot, status="failed", error=f"{type(error).__name__}: {error}")
    return Outcome(flow=item.flow, slot=item.slot, status=report.status, run_folder=report.run_folder)


def conclude(outcomes: list[Outcome]) -> RetrainReport:
    """Show what happened to each item. Raises ItemsFailedError naming those that failed."""
    ui.show_markdown("nightly-retrain", page(outcomes), "What the nightly retraining did")
    failed = [f"{number}. {one.flow} for {one.slot}" for number, one in enumerate(outcomes, 1) if _has_failed(one)]
    if failed:
        errors = "; ".join(one.error for one in outcomes if _has_failed(one))
        raise ItemsFailedError(
            f"{len(failed)} of {len(outcomes)} items failed",
            where="nightly-retrain",
            found=f"{', '.join(failed)}: {errors.rstrip('.')}",
            remedy="The others are done; run it again, their steps are cached.",
        )
    return RetrainReport(items=tuple(outcomes))


def page(outcomes: list[Outcome]) -> str:
    """The summary for the dashboard."""
    lines = ["# Nightly retraining", ""]
    for number, one in enumerate(outcomes, 1):
        lines.append(f"{number}. **{one.flow}** for slot `{one.slot}`: {one.status}")
        lines += [f"   - run folder `{one.run_folder}`"] if one.run_folder else []
        lines += [f"   - {one.error}"] if one.error else []
        lines += [f"   - {one.promotion}"]
    return "\n".join(lines)


def _has_failed(outcome: Outcome) -> bool:
    return outcome.status == "failed"
