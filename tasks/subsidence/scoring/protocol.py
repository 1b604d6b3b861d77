"""What a score measures, by the way the windows were divided: filling in between neighbours is no forecast."""

from typing import Any

MEANINGS = {
    "random": (
        "spatial interpolation",
        "Test places lie among training places and share their years: the scores measure filling in between "
        "neighbours, not forecasting a later year.",
    ),
    "spatial_block": (
        "spatial transfer",
        "Test blocks lie apart from training places but share their years: the scores measure transfer to other "
        "places, not forecasting a later year.",
    ),
    "temporal": ("forecast", "Test years follow the training years: the scores measure forecasting."),
}
UNKNOWN = ("unknown", "The handoff does not say how its windows were divided: read the scores as interpolation.")
SPATIAL_FILL = "Neighbours' increments of the target years were used: these scores are spatial filling, not forecasts."


def protocol(strategy: str | None, *, split: str, neighbour_context: int = 0) -> dict[str, Any]:
    """The `protocol` block of the metrics: strategy of the hold-out, what its scores measure, in one sentence."""
    measures, sentence = MEANINGS.get(strategy or "", UNKNOWN)
    if neighbour_context:
        measures, sentence = "spatial_fill", SPATIAL_FILL
    return {
        "holdout_strategy": strategy or "unknown",
        "evaluated_split": split,
        "measures": measures,
        "sentence": sentence,
        "neighbour_context": neighbour_context,
    }
