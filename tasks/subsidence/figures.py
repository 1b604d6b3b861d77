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


def figure(rows: int, columns: int, *, width: float, height: float, title: str) -> tuple["Figure", np.ndarray]:
    """A figure with (rows, columns) axes and a title that cannot be cut off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    fig.suptitle(plain(title), fontsize=13, color=INK)
    return fig, fig.subplots(rows, columns, squeeze=False)


def plain(text: str) -> str:
    """Text that the renderer takes literally: a dollar sign starts a formula otherwise."""
    return text.replace("\\", "/").replace("$", r"\$")


def png(fig: "Figure") -> bytes:
    """PNG without date or program name."""
    return _saved(fig, "png", {"Software": None})


def pdf(fig: "Figure") -> bytes:
    """PDF without creation date or program name, laid out as the PNG was."""
    fig.set_layout_engine("none")
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


def map_row(axes: Sequence["Axes"], places: Places, columns: np.ndarray, titles: Sequence[str], shade: Shade) -> None:
    """Maps of (N, panels) values on equal axes in km with one colour bar; a panel without any value says so."""
    drawn, low, high = [], *shade.limits
    for ax, values, title in zip(axes, columns.T, titles, strict=True):
        known = np.isfinite(values)
        if not known.any():
            nothing(ax, title, "no value is known here")
            continue
        dots = _dots(ax, places, values, known, shade)
        style(ax, title, places.x_label, places.y_label)
        drawn.append((ax, dots))
    if drawn:
        shown = columns[np.isfinite(columns)]
        panels, last = [ax for ax, _ in drawn], drawn[-1][1]
        bar = panels[0].figure.colorbar(last, ax=panels, shrink=0.9, pad=0.01, aspect=24, extend=_extend(shown, low, high))
        bar.set_label(shade.unit, fontsize=9)
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


def map_height(places: Places, width: float) -> float:
    """Height in inches of a map panel of this width: as the city is, within what a page can hold."""
    spans = np.ptp(places.x_km), np.ptp(places.y_km)
    ratio = spans[1] / spans[0] if min(spans) > 0 else 1.0
    return float(np.clip((width - 1.0) * ratio, 1.8, 4.2)) + 0.75


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
    return float(np.clip(12000 / max(count, 1), 3.5, 45))
