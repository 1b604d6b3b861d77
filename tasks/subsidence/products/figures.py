"""What every picture shares: figures without global state, byte-stable files, map and empty panels.

Nothing here touches pyplot or rcParams, so pictures of two runs in one process cannot influence each other.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
LEFT, RIGHT, TOP, BOTTOM, GAP, GAP_ROWS = 0.85, 0.25, 0.75, 0.6, 0.95, 0.95  # inches around and between panels
PANEL, BAR_ROOM = 3.1, 0.85  # inches of a map and of its colour bar
# Okabe-Ito colours, told apart with any colour vision; line style and marker repeat the distinction.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#6B7280"
INK, GRID, EDGE = "#1f2937", "#d1d5db", "#6b728080"


class Places(NamedTuple):
    """Where the points of a map lie, km, and what its axes are called."""

    x_km: np.ndarray
    y_km: np.ndarray
    x_label: str
    y_label: str


def figure(
    rows: int, columns: int, *, width: float, height: float, title: str, bar_room: float = 0.0, right: float = RIGHT
) -> tuple["Figure", np.ndarray]:
    """A figure with (rows, columns) axes at fixed margins; bar_room: inches that each panel keeps for a colour bar.

    Fixed margins cost nothing, while an automatic layout takes longer than all drawing together.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(fig)
    fig.text(0.5, 1 - 0.22 / height, plain(title), fontsize=13, color=INK, ha="center", va="center")
    panel_w = (width - LEFT - right - (columns - 1) * GAP) / columns - bar_room
    panel_h = (height - TOP - BOTTOM - (rows - 1) * GAP_ROWS) / rows
    axes = np.empty((rows, columns), dtype=object)
    for row, column in np.ndindex(rows, columns):
        left = LEFT + column * (panel_w + bar_room + GAP)
        bottom = BOTTOM + (rows - 1 - row) * (panel_h + GAP_ROWS)
        box = (left / width, bottom / height, panel_w / width, panel_h / height)
        axes[row, column] = fig.add_axes(box)
    return fig, axes


def plain(text: str) -> str:
    """Text that the renderer takes literally: a dollar sign starts a formula otherwise."""
    return text.replace("\\", "/").replace("$", r"\$")


def png(fig: "Figure") -> bytes:
    """PNG without date or program name."""
    return _saved(fig, "png", {"Software": None})


def pdf(fig: "Figure") -> bytes:
    """PDF without creation date or program name."""
    return _saved(fig, "pdf", {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None})


def _saved(fig: "Figure", kind: str, metadata: dict) -> bytes:
    out = io.BytesIO()
    fig.savefig(out, format=kind, metadata=metadata, dpi=DPI)
    return out.getvalue()


def style(ax: "Axes", title: str, x_label: str, y_label: str) -> None:
    """Title, axis labels with units, light grid."""
    ax.set_title(plain(title), fontsize=10.5, color=INK)
    ax.set_xlabel(x_label, fontsize=9.5)
    ax.set_ylabel(y_label, fontsize=9.5)
    ax.tick_params(which="both", labelsize=8.5)
    ax.grid(True, color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def nothing(ax: "Axes", title: str, reason: str) -> None:
    """A panel without data says why."""
    ax.set_title(plain(title), fontsize=10.5, color=INK)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(GRID)
    middle = {"ha": "center", "va": "center", "wrap": True, "transform": ax.transAxes}
    ax.text(0.5, 0.5, plain(reason), fontsize=10, color=GREY, **middle)


class Shade(NamedTuple):
    """How values become colours: limits, unit of the colour bar, colour map; diverging maps are for signed values."""

    limits: tuple[float, float]
    unit: str
    colours: str = "viridis"
    absent: str = "no value is known here"


def map_row(axes: Sequence["Axes"], places: Places, columns: np.ndarray, titles: Sequence[str], shade: Shade) -> None:
    """Maps of (N, panels) values on equal axes in km with one colour bar; a panel without any value says so."""
    drawn = []
    for ax, values, title in zip(axes, columns.T, titles, strict=True):
        known = np.isfinite(values)
        if not known.any():
            nothing(ax, title, shade.absent)
            continue
        dots = _dots(ax, places, values, known, shade)
        style(ax, title, places.x_label, places.y_label)
        drawn.append(dots)
    if drawn:
        extend = _extend(columns[np.isfinite(columns)], *shade.limits)
        _colour_bar(axes[-1], drawn[-1], shade.unit, extend)


def _colour_bar(ax: "Axes", dots, unit: str, extend: str) -> None:
    """A colour bar right of a panel, in the room that the figure keeps for it."""
    fig, box = ax.figure, ax.get_position()
    inch = 1.0 / fig.get_figwidth()
    place = fig.add_axes((box.x1 + 0.12 * inch, box.y0 + 0.04 * box.height, 0.14 * inch, 0.92 * box.height))
    bar = fig.colorbar(dots, cax=place, extend=extend)
    bar.set_label(unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _dots(ax: "Axes", places: Places, values: np.ndarray, known: np.ndarray, shade: Shade):
    """Points coloured by value; pale ones keep a thin edge so that they stay visible."""
    low, high = shade.limits
    dots = ax.scatter(
        places.x_km[known],
        places.y_km[known],
        c=values[known],
        s=_dot_area(int(known.sum())),
        cmap=shade.colours,
        vmin=low,
        vmax=high,
        linewidths=0.25,
        edgecolors=EDGE,
        rasterized=True,
    )
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=5)
    ax.ticklabel_format(useOffset=False, style="plain")
    return dots


def map_figure(
    places: Places, rows: int, columns: int, title: str, *, bar_per_panel: bool
) -> tuple["Figure", np.ndarray]:
    """A grid of map panels shaped like the city, with room for one colour bar per row or per panel."""
    spans = np.ptp(places.x_km), np.ptp(places.y_km)
    ratio = float(np.clip(spans[1] / spans[0], 0.5, 1.3)) if min(spans) > 0 else 1.0
    bars = columns if bar_per_panel else 1
    width = LEFT + RIGHT + columns * PANEL + (columns - 1) * GAP + bars * BAR_ROOM
    height = TOP + BOTTOM + rows * PANEL * ratio + (rows - 1) * GAP_ROWS
    room = {"bar_room": BAR_ROOM} if bar_per_panel else {"right": RIGHT + BAR_ROOM}
    return figure(rows, columns, width=width, height=height, title=title, **room)


def robust_limits(values: np.ndarray, *, signed: bool = False, share: float = 0.02) -> tuple[float, float]:
    """Colour limits from the inner quantiles, so that one outlier does not flatten a map."""
    known = np.asarray(values, float)[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    if signed:
        reach = float(np.quantile(np.abs(known), 1 - share)) or 1e-12
        return -reach, reach
    low, high = (float(q) for q in np.quantile(known, [share, 1 - share]))
    pad = max(abs(low), abs(high), 1e-12) * 1e-3
    return (low, high) if high - low > pad else (low - pad, high + pad)


def _extend(values: np.ndarray, low: float, high: float) -> str:
    below, above = bool((values < low).any()), bool((values > high).any())
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]


def _dot_area(count: int) -> float:
    return float(np.clip(22000 / max(count, 1), 4.0, 48))
