"""Sentences of the report on a run over tiles: its verdict, what may be trusted and what may not."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tasks.tiles.evaluate import DIFFERENCE
from tasks.tiles.flow.numbers import share, shown
from tasks.tiles.quality_verdict import CHECKS, TARGETS
from tasks.tiles.summary import Summary
from tasks.tiles.tile_quality import AGAINST_REFERENCE, PRESERVATION

Tone = Literal["good", "plain", "caution", "bad"]
LABELS = {
    "ndvi_rmse": "NDVI RMSE",
    "edge_correlation": "Edge correlation",
    "change_rms": "RMS change",
    "mean_ndvi_change": "Mean NDVI change",
    "minimum": "Lowest reflectance",
    "maximum": "Highest reflectance",
    "share_bit_identical": "Bit-identical tiles",
    "psnr_db": "PSNR, dB",
    "ssim": "SSIM",
    "evi_rmse": "EVI RMSE",
    "spectral_angle_deg": "Spectral angle, °",
    "edge_shift_px": "Largest edge shift, px",
}
CHECK_WORDS = {
    "range": "reflectance in 0..1",
    "ndvi": "NDVI in −1..1",
    "validity_mask": "the same pixels valid as in the input",
    "seam": "no seam between windows",
}
STRENGTH_WORDS = {
    "heuristic": "opt_v1 itself",
    "human_labels": "optical images of the user",
    "physics_derived": "clean tiles before a known degradation",
    "classical_method": "the output of a classical filter",
}
UNFINISHED = {
    "failures": "Incomplete",
    "nothing_refined": "Nothing to refine",
    "model_fails": "The model fails on every tile",
    "stopped": "Stopped early",
    "broken": "Broken off",
}
SHOWN_IDS = 5


class Headline(NamedTuple):
    """The verdict: a colour, a few words that nobody can overlook, one or two sentences."""

    tone: Tone
    title: str
    sentence: str


class Reservations(NamedTuple):
    """What to trust and what not, as sentences."""

    trust: list[str]
    doubt: list[str]


def headline(summary: Summary, quality: Mapping[str, Any]) -> Headline:
    """Copies of the input come before everything else, then missing tiles, then figures."""
    if quality["verdict"] == "no_refinement":
        return Headline("bad", "No refinement", f"{_copies(quality)} {_books(summary)}".strip())
    if quality["verdict"] == "no_tiles":
        why = f" {_sentence(summary.message)}" if summary.message else ""
        return Headline("bad", "No tile was refined", f"{_books(summary) or 'There is nothing to judge.'}{why}")
    found = _judged(quality)
    if summary.outcome not in UNFINISHED:
        return found
    title = found.title if found.tone == "bad" else UNFINISHED[summary.outcome]
    tone: Tone = "caution" if found.tone != "bad" and summary.outcome == "failures" else "bad"
    why = _sentence(summary.message) if summary.message else ""
    rest = f"Of the others: {found.title[0].lower()}{found.title[1:]}. {found.sentence}"
    return Headline(tone, title, " ".join(part for part in (_books(summary), why, rest) if part))


def reservations(summary: Summary, quality: Mapping[str, Any]) -> Reservations:
    """In the order in which a careful reader would ask."""
    if quality["verdict"] == "no_refinement":
        perfect = "NDVI RMSE 0 and edge correlation 1 are what a copy gets; here they are no quality."
        return Reservations([], [_copies(quality), perfect, *_ran(summary)])
    if not quality["tiles"]:
        return Reservations([], ["No figure was made: there is no output to compare.", *_ran(summary)])
    trust, doubt = _preserved(quality)
    for part in (_plausible(quality), _compared(quality)):
        trust += part.trust
        doubt += part.doubt
    doubt += [line for line in quality["warnings"] if not line.startswith(("The reference is", "Not closer"))]
    if copies := sum(tile["bit_identical"] for tile in quality["per_tile"]):
        doubt.append(f"{copies} of {quality['tiles']} tiles equal their input bit for bit.")
    if left := quality["not_evaluated"]:
        doubt.append(f"{len(left)} refined tiles could not be judged: {_few(left)}.")
    return Reservations(trust, doubt + _ran(summary))


def oracle_sentence(quality: Mapping[str, Any]) -> str:
    """What the figures refer to and what that is worth."""
    return f"{quality['evaluation']['reference']} ({quality['oracle_strength'].replace('_', ' ')})"


def unmeasured(quality: Mapping[str, Any]) -> list[str]:
    """Figures that need a reference, where there is none."""
    if quality["against_reference"]:
        return []
    return [LABELS[name].partition(",")[0] for name in AGAINST_REFERENCE if name not in PRESERVATION]


def psnr_gain(quality: Mapping[str, Any]) -> float | None:
    """Median PSNR of the output less that of the input, dB; None without references."""
    against = quality["against_reference"]
    return against[DIFFERENCE]["psnr_db"]["median"] if against else None


def _judged(quality: Mapping[str, Any]) -> Headline:
    gain, reference = psnr_gain(quality), STRENGTH_WORDS[quality["oracle_strength"]]
    if quality["verdict"] == "implausible":
        failed = " ".join(_plausible(quality).doubt)
        return Headline("bad", "Implausible output", f"{failed} Look at these tiles before anything uses them.")
    if quality["verdict"] == "targets_missed":
        beside = "" if gain is None else f" Median PSNR against {reference}: {_gain(gain)}."
        return Headline("caution", "Preservation targets missed", f"{_missed(quality)}{beside}")
    if gain is None:
        said = "NDVI and edges of the input were kept. Whether the tiles became better was not measured."
        return Headline("plain", "Plausible; benefit not measured", said)
    if gain <= 0:
        said = f"Median PSNR against {reference}: {_gain(gain)}. The input is as close or closer."
        return Headline("caution", "Not better than the input", said)
    said = f"Median PSNR against {reference}: {_gain(gain)}; NDVI and edges of the input were kept."
    if quality["oracle_strength"] == "classical_method":
        return Headline("plain", "Closer to a classical filter than the input", said)
    return Headline("good", "Closer to the reference than the input", said)


def _gain(gain: float) -> str:
    return f"{shown('psnr_db', gain, signed=True)} dB compared with opt_v1"


def _missed(quality: Mapping[str, Any]) -> str:
    medians = {name: quality["summary"][name]["median"] for name in PRESERVATION}
    missed = [name for name, median in medians.items() if median is None or not TARGETS[name].met(median)]
    return "; ".join(f"{LABELS[name]} {shown(name, medians[name])}, target {TARGETS[name]}" for name in missed) + "."


def _copies(quality: Mapping[str, Any]) -> str:
    same = sum(tile["bit_identical"] for tile in quality["per_tile"])
    return (
        f"{same} of {quality['tiles']} tiles equal their input bit for bit: copies of opt_v1 under another name. "
        "Do not hand them on as opt_v2."
    )


def _books(summary: Summary) -> str:
    """What has no output, and why; empty where everything has."""
    kinds = f" ({', '.join(sorted(summary.errors))})" if summary.errors else ""
    if summary.found and summary.failed == summary.found:
        return f"The only tile failed{kinds}." if summary.found == 1 else f"All {summary.found} tiles failed{kinds}."
    lost = {f"failed{kinds}": summary.failed, "were empty": summary.empty, "were not run": summary.not_run}
    parts = [f"{count} {word}" for word, count in lost.items() if count]
    return f"Of {summary.found} tiles {' and '.join(parts)}." if parts else ""


def _preserved(quality: Mapping[str, Any]) -> Reservations:
    trust, doubt = [], []
    for name in PRESERVATION:
        row, target = quality["summary"][name], TARGETS[name]
        said = f"{LABELS[name]} between output and input: median {shown(name, row['median'])}"
        met = row["median"] is not None and target.met(row["median"])
        meeting = f", target {target}, met by {share(row['share_meeting_target'])} of the tiles."
        (trust if met else doubt).append(said + meeting)
        if row["undefined"]:
            doubt.append(f"{LABELS[name]} is not defined on {row['undefined']} tiles, which no share counts.")
    return Reservations(trust, doubt)


def _plausible(quality: Mapping[str, Any]) -> Reservations:
    held: dict[int, list[str]] = {}
    doubt = []
    for name in CHECKS:
        check = quality["plausibility"][name]
        if check["holds"]:
            held.setdefault(check["checked"], []).append(CHECK_WORDS[name])
        elif check["holds"] is False:
            ids = check["failed"]
            doubt.append(f"Does not hold on {len(ids)} of {check['checked']} tiles: {CHECK_WORDS[name]} ({_few(ids)}).")
    return Reservations([f"On all {count} tiles checked: {', '.join(said)}." for count, said in held.items()], doubt)


def _compared(quality: Mapping[str, Any]) -> Reservations:
    gain, reference = psnr_gain(quality), STRENGTH_WORDS[quality["oracle_strength"]]
    if gain is None:
        missing = ", ".join(unmeasured(quality))
        lack = f" Without optical references not measured: {missing}." if missing else ""
        return Reservations(
            [], [f"The reference is opt_v1 itself: this shows what was kept, not that it got better.{lack}"]
        )
    said = f"Against {reference}: median PSNR {_gain(gain)}"
    if gain <= 0:
        return Reservations([], [f"{said}: not closer than the input."])
    if quality["oracle_strength"] == "classical_method":
        return Reservations([], [f"{said}; that is agreement with a filter, not truth."])
    if quality["oracle_strength"] == "physics_derived":
        return Reservations(
            [f"{said}."], ["The degradation was made by a formula; errors of a real first stage differ."]
        )
    return Reservations([f"{said}."], [])


def _ran(summary: Summary) -> list[str]:
    said = []
    if len(summary.precision) > 1:
        said.append(f"Tiles ran in different precisions: {', '.join(summary.precision)}.")
    if summary.cpu_fallbacks:
        said.append(f"{summary.cpu_fallbacks} batches fell back to the CPU when memory ran out.")
    if summary.orphans:
        said.append(f"{len(summary.orphans)} outputs in the folder have no input in this run: {_few(summary.orphans)}.")
    return said


def _few(ids) -> str:
    ids = list(ids)
    return ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
