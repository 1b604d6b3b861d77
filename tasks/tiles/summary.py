"""What a run came to, in numbers that always add up."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, model_validator

from tasks.contracts.base import Frozen
from tasks.contracts.tiles import OomEvent, TileRecord

Outcome = Literal["complete", "failures", "nothing_refined", "model_fails", "stopped", "broken"]


class Summary(Frozen):
    """`summary.json`. found = done + resumed + failed + empty + not_run."""

    outcome: Outcome
    found: int
    done: int
    resumed: int
    failed: int
    empty: int
    not_run: int
    errors: dict[str, int] = Field(default_factory=dict, description="Failed tiles per class of error.")
    defaults_used: int = 0  # tiles whose sidecar lacks month or biome
    precision: tuple[str, ...] = ()  # what really ran, of done tiles
    device: tuple[str, ...] = ()
    workers: int = 0
    worker_restarts: int = 0
    oom_events: tuple[OomEvent, ...] = ()
    batch_halvings: int = 0
    cpu_fallbacks: int = 0
    seconds: float = 0.0  # from plan to the last write
    tiles_per_s: float = 0.0  # tiles that the model saw, with reading and writing
    buckets: dict[str, int] = Field(default_factory=dict, description="Tiles per padded size.")
    ignored: tuple[str, ...] = ()
    orphan_sidecars: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()  # outputs without input
    message: str = ""  # why the run ended early

    @model_validator(mode="after")
    def _adds_up(self) -> "Summary":
        if self.found != self.done + self.resumed + self.failed + self.empty + self.not_run:
            raise ValueError("found is not the sum of the states")
        return self

    @property
    def exit_code(self) -> int:
        """0 complete, 1 failed tiles or nothing refined, 3 stopped, 4 the disk or the engine gave out."""
        return {"complete": 0, "stopped": 3, "broken": 4}.get(self.outcome, 1)


class Ledger:
    """Collects what happens while it happens."""

    def __init__(self):
        self.events: list[OomEvent] = []
        self.worker_restarts = 0
        self.warnings: Counter[str] = Counter()
        self.milliseconds: dict[str, float] = {}

    def facts(self) -> dict:
        """The fields of a Summary that are known here."""
        actions = Counter(event.action for event in self.events)
        return {
            "oom_events": tuple(self.events),
            "batch_halvings": actions["halve batch"],
            "cpu_fallbacks": actions["CPU fallback"],
            "worker_restarts": self.worker_restarts,
        }


def summarise(
    records: Sequence[TileRecord],
    *,
    outcome: Outcome | None = None,
    seconds: float = 0.0,
    computed: int | None = None,
    **facts,
) -> Summary:
    """Count the records; the outcome follows from them unless the run ended early.

    `computed` is how many tiles the model saw in this run, where some of the done ones came from a cache.
    """
    count = Counter(record.status for record in records)
    done = [record for record in records if record.status == "done"]
    return Summary(
        outcome=outcome or _outcome(count),
        found=len(records),
        **{status: count[status] for status in ("done", "resumed", "failed", "empty", "not_run")},
        errors=dict(Counter(record.error for record in records if record.status == "failed")),
        defaults_used=sum(bool(record.defaults_used) for record in records),
        precision=_distinct(record.precision for record in done),
        device=_distinct(record.device for record in done),
        seconds=round(seconds, 3),
        tiles_per_s=round((len(done) if computed is None else computed) / seconds, 3) if seconds > 0 else 0.0,
        **facts,
    )


def last_line(summary: Summary) -> str:
    """For people, at the end of a run."""
    states = ", ".join(f"{getattr(summary, name)} {name}" for name in ("done", "resumed", "failed", "empty", "not_run"))
    return f"{summary.found} tiles: {states}; {summary.tiles_per_s:.1f} tiles/s with reading and writing"


def _outcome(count: Counter[str]) -> Outcome:
    if count["not_run"]:
        return "stopped"
    if count["failed"]:
        return "failures"
    return "complete" if count["done"] + count["resumed"] + count["empty"] else "nothing_refined"


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
