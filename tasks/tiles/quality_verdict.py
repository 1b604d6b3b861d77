"""From the figures of all tiles to one word, and the reason for it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tasks.tiles.references import OracleStrength
from tasks.tiles.tile_quality import Figures

QualityVerdict = Literal["pass", "targets_missed", "implausible", "no_refinement", "no_tiles"]
MOST_IDENTICAL = 0.99  # share of tiles; above it nothing was refined
CHECKS = ("range", "ndvi", "validity_mask", "seam")


class Target(NamedTuple):
    """What a figure should reach."""

    limit: float
    rule: Literal["<", ">", "<="]

    def met(self, value: float) -> bool:
        """Whether a value does."""
        return {"<": value < self.limit, ">": value > self.limit, "<=": value <= self.limit}[self.rule]

    def __str__(self) -> str:
        return f"{self.rule} {self.limit:g}"


TARGETS = {"ndvi_rmse": Target(0.05, "<"), "edge_correlation": Target(0.90, ">"), "edge_shift_px": Target(2, "<=")}
PRESERVATION_TARGETS = ("ndvi_rmse", "edge_correlation")


def identical_share(tiles: Sequence[Figures]) -> float | None:
    """Share of the tiles whose every valid sample is equal to the input's, bit for bit."""
    return sum(tile["bit_identical"] for tile in tiles) / len(tiles) if tiles else None


def failed_checks(tiles: Sequence[Figures]) -> dict[str, list[str]]:
    """Check -> ids of the tiles that do not hold it."""
    return {name: [tile["id"] for tile in tiles if tile["plausible"][name] is False] for name in CHECKS}


def quality_verdict(tiles: Sequence[Figures], medians: dict[str, float | None]) -> tuple[QualityVerdict, str]:
    """The word and its reason. Copies of the input are never a pass, whatever the preservation targets say."""
    share = identical_share(tiles)
    if share is None:
        return "no_tiles", "no tile was evaluated"
    if share > MOST_IDENTICAL:
        return "no_refinement", f"{share:.1%} of the tiles equal their input bit for bit; nothing was refined"
    if failed := [f"{name} ({len(ids)} tiles)" for name, ids in failed_checks(tiles).items() if ids]:
        return "implausible", f"checks that do not hold: {', '.join(failed)}"
    if missed := [_missed(name, medians[name]) for name in PRESERVATION_TARGETS if not _reached(name, medians[name])]:
        return "targets_missed", "; ".join(missed)
    return "pass", "the medians meet both preservation targets and every plausibility check holds"


def quality_warnings(strength: OracleStrength, tiles: Sequence[Figures], gain_db: float | None) -> list[str]:
    """What a reader of the figures must know before believing them."""
    said = []
    if strength == "heuristic":
        said.append("The reference is opt_v1 itself: the figures show what was preserved, not that it became better.")
    if strength == "classical_method":
        said.append("The reference is a classical filter: the figures show agreement with it, not truth.")
    if gain_db is not None and gain_db <= 0:
        said.append(f"Not closer to the reference than opt_v1 is: median PSNR difference {gain_db:+.2f} dB.")
    if defaulted := sum(bool(tile["defaults_used"]) for tile in tiles):
        said.append(f"{defaulted} of {len(tiles)} tiles had no month or no biome; defaults stand in for them.")
    if strength != "heuristic" and (alone := sum("against_reference" not in tile for tile in tiles)):
        said.append(f"{alone} of {len(tiles)} tiles have no reference.")
    return said


def _reached(name: str, median: float | None) -> bool:
    return median is not None and TARGETS[name].met(median)


def _missed(name: str, median: float | None) -> str:
    shown = "undefined" if median is None else f"{median:.4g}"
    return f"median {name} is {shown}, target {TARGETS[name]}"
