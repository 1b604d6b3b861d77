"""Crops, flips, quarter turns and hidden metadata, all drawn from one generator."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tasks.tiles.pair import NOT_KNOWN, UNKNOWN_BIOME, UNKNOWN_MONTH, Pair

ROWS, COLUMNS = -2, -1
View = Callable[[np.ndarray], np.ndarray]


def augmented(pair: Pair, side: int, drop_metadata: float, rng: np.random.Generator) -> Pair:
    """A random view of the pair, side × side px, its month and its biome each hidden with the chance given.

    A smaller pair is reflected up to the side; what is reflected is seen, and not judged.
    """
    top, left = (int(rng.integers(0, max(length - side, 0) + 1)) for length in pair.valid.shape)
    flips_and_turns = [int(rng.integers(0, count)) for count in (2, 2, 4)]
    hide_month, hide_biome = rng.random(2) < drop_metadata
    viewed = _viewed(
        replace(pair, valid=_extended(pair.valid, side)),
        lambda array: turned(padded(array, side)[..., top : top + side, left : left + side], *flips_and_turns),
    )
    if hide_month:
        viewed = without_month(viewed)
    return replace(viewed, biome=UNKNOWN_BIOME if hide_biome else pair.biome)


def without_month(pair: Pair) -> Pair:
    """The month unknown, and with it a time that only the month has told; as inference sees such a sidecar."""
    if pair.dated:
        return replace(pair, month=UNKNOWN_MONTH)
    return replace(pair, month=UNKNOWN_MONTH, year=NOT_KNOWN, day_of_year=NOT_KNOWN)


def centre(pair: Pair, side: int) -> Pair:
    """The middle of a pair, at most side × side px."""
    top, left = (max(length - side, 0) // 2 for length in pair.valid.shape)
    return _viewed(pair, lambda array: array[..., top : top + side, left : left + side])


def turned(array: np.ndarray, flip_rows: int, flip_columns: int, turns: int) -> np.ndarray:
    """Flips first, then quarter turns counter-clockwise, of the last two axes."""
    array = np.flip(array, ROWS) if flip_rows else array
    array = np.flip(array, COLUMNS) if flip_columns else array
    return np.ascontiguousarray(np.rot90(array, turns, axes=(ROWS, COLUMNS)))


def padded(array: np.ndarray, side: int) -> np.ndarray:
    """Bottom and right reflected up to side × side px, without the edge pixel, folded as often as needed."""
    return np.pad(array, _missing(array, side), mode="reflect")


def _extended(valid: np.ndarray, side: int) -> np.ndarray:
    return np.pad(valid, _missing(valid, side), constant_values=False)


def _missing(array: np.ndarray, side: int) -> list[tuple[int, int]]:
    return [(0, 0)] * (array.ndim - 2) + [(0, max(side - length, 0)) for length in array.shape[-2:]]


def _viewed(pair: Pair, view: View) -> Pair:
    return replace(pair, **{name: view(getattr(pair, name)) for name in ("tile", "target", "seen", "valid")})
