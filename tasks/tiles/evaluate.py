"""`quality.json`: how a set of refined tiles compares with its input and, where there is one, with a reference."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tasks.tiles.quality_terms import (
    BASELINES,
    FAILURE_MODES,
    INPUT_FORM,
    METRICS,
    OUTPUT_FORM,
    REFERENCE_FAILURE_MODES,
)
from tasks.tiles.quality_verdict import TARGETS, failed_checks, identical_share, quality_verdict, quality_warnings
from tasks.tiles.references import Oracle
from tasks.tiles.spread import grouped, spread, summary
from tasks.tiles.tile_quality import AGAINST_REFERENCE, PRESERVATION, Figures, NotCompared, Pair, tile_quality

FORMAT = "stagegate-tiles-quality-1"
DIFFERENCE = "refined_minus_identity"
CANDIDATES = ("refined", *BASELINES, DIFFERENCE)
ANY_SPLIT = "none: every tile of the run counts"


def evaluate(
    pairs: Iterable[Pair | Figures | NotCompared],
    oracle: Oracle,
    *,
    split: str = ANY_SPLIT,
    each: Callable[[Figures], None] = lambda figures: None,
) -> dict[str, Any]:
    """The quality document of a set of tiles, read one after the other; `each` gets every tile's figures at once.

    What was judged elsewhere, as scenes are, comes as its figures.

    Holds plain JSON values only, and no times or paths: equal tiles give an equal document.
    """
    tiles, left_out = [], []
    for pair in pairs:
        if isinstance(pair, NotCompared):
            left_out.append(pair)
            continue
        tiles.append(tile_quality(pair) if isinstance(pair, Pair) else pair)
        each(tiles[-1])
    return document(tiles, oracle, left_out, split=split)


def document(
    tiles: Sequence[Figures], oracle: Oracle, left_out: Sequence[NotCompared] = (), *, split: str = ANY_SPLIT
) -> dict[str, Any]:
    """The quality document from the figures of its tiles, for shards that were evaluated apart."""
    figures = summary(tiles)
    word, reason = quality_verdict(tiles, {name: figures[name]["median"] for name in PRESERVATION})
    against = _against(tiles)
    gain = against[DIFFERENCE]["psnr_db"]["median"] if against else None
    return {
        "format": FORMAT,
        "verdict": word,
        "reason": reason,
        "warnings": quality_warnings(oracle.strength, tiles, gain),
        "oracle_strength": oracle.strength,
        "oracle_sha256": oracle.sha256,
        "evaluation": _evaluation(oracle, split),
        "tiles": len(tiles),
        "not_evaluated": {tile.id: tile.reason for tile in left_out},
        "share_bit_identical": identical_share(tiles),
        "targets": {name: str(target) for name, target in TARGETS.items()},
        "summary": figures,
        "baselines": _baselines(tiles),
        "against_reference": against,
        "plausibility": _plausibility(tiles),
        "by_month": grouped(tiles, "month"),
        "by_biome": grouped(tiles, "biome_code"),
        "per_tile": list(tiles),
    }


def flat_metrics(quality: dict[str, Any]) -> dict[str, float | None]:
    """The medians that a run reports, baselines under `baselines.<name>.<metric>`."""
    flat = {name: quality["summary"][name]["median"] for name in PRESERVATION}
    flat["share_bit_identical"] = quality["share_bit_identical"]
    for name, figures in quality["baselines"].items():
        flat |= {f"baselines.{name}.{key}": figures[key]["median"] for key in PRESERVATION}
    if against := quality["against_reference"]:
        flat["psnr_db"] = against["refined"]["psnr_db"]["median"]
        flat |= {f"baselines.{name}.psnr_db": against[name]["psnr_db"]["median"] for name in BASELINES}
    return flat


def _evaluation(oracle: Oracle, split: str) -> dict[str, Any]:
    """What was compared with what, and how such a comparison can mislead."""
    modes = [*FAILURE_MODES, *filter(None, [REFERENCE_FAILURE_MODES.get(oracle.strength)])]
    return {
        "input_form": INPUT_FORM,
        "output_form": OUTPUT_FORM,
        "reference": oracle.reference,
        "metrics": METRICS,
        "split": split,
        "baselines": BASELINES,
        "known_failure_modes": modes,
    }


def _baselines(tiles: Sequence[Figures]) -> dict[str, Any]:
    """The preservation figures of what needs no model."""
    return {
        name: {key: spread([tile["baselines"][name][key] for tile in tiles], key) for key in PRESERVATION}
        for name in BASELINES
    }


def _against(tiles: Sequence[Figures]) -> dict[str, Any] | None:
    """Refined, identity and unsharp side by side, and the first less the second; None without any reference."""
    found = [tile["against_reference"] for tile in tiles if "against_reference" in tile]
    if not found:
        return None
    return {"tiles": len(found)} | {
        name: {key: spread([row[name][key] for row in found], _target(name, key)) for key in AGAINST_REFERENCE}
        for name in CANDIDATES
    }


def _target(candidate: str, key: str) -> str:
    """Differences have no target, and the one of NDVI is meant against opt_v1."""
    return "" if candidate == DIFFERENCE or key in PRESERVATION else key


def _plausibility(tiles: Sequence[Figures]) -> dict[str, Any]:
    """Per check: does it hold, on how many tiles was it made, and where it does not hold."""
    failed = failed_checks(tiles)
    made = {name: sum(tile["plausible"][name] is not None for tile in tiles) for name in failed}
    return {
        name: {"holds": not ids if made[name] else None, "checked": made[name], "failed": ids}
        for name, ids in failed.items()
    }
