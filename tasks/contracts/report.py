"""What every flow returns, and what `--json` prints."""

from typing import Literal

from pydantic import Field

from tasks.contracts.base import Frozen


class ExportedFile(Frozen):
    """A file of the run folder."""

    path: str
    sha256: str


class FlowReport(Frozen):
    """The end of one flow run, the same for every workload."""

    status: Literal["complete", "incomplete", "no_refinement"]
    flow_run_id: str
    run_folder: str
    metrics: dict[str, float | None] = Field(description="Flat; units in the names; baselines under baselines.<name>.")
    artifacts: dict[str, ExportedFile]
    cache: dict[str, int] = Field(description="hits, misses, steps")
    warnings: tuple[str, ...] = ()
    missing: dict[str, str] = Field(
        default_factory=dict, description="Products that could not be made, with the reason"
    )
