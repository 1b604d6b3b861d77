"""Small histograms over tiles, as the numbers that a template draws."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tasks.tiles.evaluate import DIFFERENCE
from tasks.tiles.flow.numbers import shown
from tasks.tiles.flow.page_words import LABELS
from tasks.tiles.quality_verdict import TARGETS

WIDTH, HEIGHT, LEFT = 320.0, 96.0, 4.0  # of the drawing area, in units of the picture
BINS = 24
FROM_ZERO = ("ndvi_rmse", "change_rms")
FEWEST = 8  # tiles; a histogram of fewer says less than the table


class Bar(NamedTuple):
    """One bin: its corner, size, and what a pointer over it says."""

    x: float
    y: float
    width: float
    height: float
    label: str


class Chart(NamedTuple):
    """One histogram; `line` is where a target or zero lies."""

    title: str
    bars: Sequence[Bar]
    low: str
    high: str
    line: float
    line_text: str
    line_anchor: str
    tallest: int


def charts(quality: Mapping[str, Any]) -> list[Chart]:
    """How tiles are spread around the targets; none for few tiles."""
    tiles = quality["per_tile"]
    wanted = [
        _chart(name, [tile[name] for tile in tiles], *_target(name)) for name in ("ndvi_rmse", "edge_correlation")
    ]
    wanted.append(_chart("change_rms", [tile["change_rms"] for tile in tiles], 0.0, "0: unchanged"))
    gains = [tile["against_reference"][DIFFERENCE]["psnr_db"] for tile in tiles if "against_reference" in tile]
    wanted.append(_chart("psnr_db", gains, 0.0, "0: as the input", "PSNR gain over the input, dB"))
    return [chart for chart in wanted if chart is not None]


def _target(name: str) -> tuple[float, str]:
    return TARGETS[name].limit, f"target {TARGETS[name]}"


def _chart(name: str, values: Sequence[float | None], line: float, line_text: str, title: str = "") -> Chart | None:
    known = [value for value in values if value is not None]
    if len(known) < FEWEST:
        return None
    low, high = min([*known, line]), max([*known, line])
    room = 0.04 * (high - low) or 0.5e-3
    low, high = (0.0 if name in FROM_ZERO else low - room), high + room
    if name == "edge_correlation":
        high = min(high, 1.0)
    counts, edges = np.histogram(known, bins=BINS, range=(low, high))
    x = LEFT + (line - low) / (high - low) * (WIDTH - 2 * LEFT)
    return Chart(
        title=title or LABELS[name],
        bars=[_bar(name, number, int(n), edges, int(counts.max())) for number, n in enumerate(counts) if n],
        low=shown(name, low, signed=bool(title)),
        high=shown(name, high, signed=bool(title)),
        line=round(x, 1),
        line_text=line_text,
        line_anchor="start" if x < WIDTH / 3 else "end" if x > 2 * WIDTH / 3 else "middle",
        tallest=int(counts.max()),
    )


def _bar(name: str, number: int, count: int, edges: np.ndarray, tallest: int) -> Bar:
    width = (WIDTH - 2 * LEFT) / BINS
    height = max(2.0, round(HEIGHT * count / tallest, 1))
    label = f"{shown(name, float(edges[number]))} to {shown(name, float(edges[number + 1]))}: {count}"
    return Bar(round(LEFT + number * width, 1), HEIGHT - height, round(width - 1, 1), height, label)
