"""Extra lines on the console: all checks of the stages that AUDIT_STAGES names, not only what they have found."""

from collections.abc import Iterable, Sequence

from tasks.subsidence.types import CheckResult

DELIVERED = "FSVCUG"  # files, shapes, values, coordinates, units, groups: what the first stage has delivered


def detail(checks: Iterable[CheckResult], stages: Sequence[str] | None) -> list[str]:
    """One line per check: `stage1` those on what was delivered, `stage2` or `all` every one; none for null."""
    named = set(stages or ())
    everything = bool(named & {"stage2", "all"})
    return [
        f"{check.status:<7} {check.message}"
        for check in checks
        if everything or ("stage1" in named and check.id[0] in DELIVERED)
    ]
