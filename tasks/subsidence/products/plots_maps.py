"""Maps: subsidence of evaluation and future windows, interval width, and the learned parameter fields."""

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.subsidence.forecast import Column, Forecast, increments_m, level_name
from tasks.subsidence.products import figures
from tasks.subsidence.products.figures import Places, Shade
from tasks.subsidence.semantics import Semantics

SIGNED = "RdBu_r"
SHARE_RISING = 0.02  # of cells with uplift, from which increments are shown as signed
NO_PHYSICS = "this model has no physics fields"


def places(forecast: Forecast, sem: Semantics) -> Places:
    """Map coordinates of the windows in km; relative ones, and named so, when the georeference is unknown."""
    x, y = forecast.metres
    return Places(x / 1e3, y / 1e3, *_axis_names(sem))


def subsidence_view(forecast: Forecast, sem: Semantics, *, title: str) -> dict[str, bytes]:
    """PNG and PDF: observed, median and error per year where all truth is known, else median and increment."""
    rows = _evaluation_rows(forecast) if _fully_observed(forecast) else _future_rows(forecast)
    where, steps = places(forecast, sem), forecast.years.shape[1]
    fig, axes = figures.map_figure(where, len(rows), steps, title, bar_per_panel=False)
    for row, (label, values, shade) in enumerate(rows):
        titles = [f"{label}, {_year(forecast, step)}" for step in range(steps)]
        figures.map_row(axes[row], where, values, titles, shade)
    return {"png": figures.png(fig), "pdf": figures.pdf(fig)}


def interval_width(forecast: Forecast, sem: Semantics, *, title: str) -> bytes:
    """Width of the outermost interval per year, mm; calibrated where calibrated forecasts exist."""
    levels, where, steps = forecast.best.levels, places(forecast, sem), forecast.years.shape[1]
    fig, axes = figures.map_figure(where, 1, steps, title, bar_per_panel=False)
    values = forecast.best.subsidence.astype(float) * MM_PER_M
    width = values[:, :, -1] - values[:, :, 0]
    interval = f"{level_name(levels[0])} to {level_name(levels[-1])}"
    titles = [f"{interval}, {_year(forecast, step)}" for step in range(steps)]
    shade = Shade((0.0, figures.robust_limits(width)[1]), "interval width (mm)", "cividis")
    figures.map_row(axes[0], where, width, titles, shade)
    return figures.png(fig)


def parameter_maps(
    columns: list[Column] | None, residual_share: np.ndarray | None, sem: Semantics, *, title: str
) -> bytes:
    """Maps of log10 K, Ss, tau, the closure deviation, drainage thickness and the share of the data-driven residual.

    columns: the parameter map, one row per location; residual_share (L,) in the same order, 0 to 1. Without columns
    every panel says that there is nothing to map.
    """
    table = {column.name: column.values for column in columns or ()} | {"residual_share": residual_share}
    km = [table[name] / 1e3 if columns else np.zeros(1) for name in ("coord_x", "coord_y")]
    where = Places(*km, *_axis_names(sem))
    fig, axes = figures.map_figure(where, 2, 3, title, bar_per_panel=True)
    for ax, (label, name, unit, kind) in zip(axes.flat, _PARAMETERS, strict=True):
        if table.get(name) is None:
            figures.nothing(ax, label, NO_PHYSICS)
            continue
        values = np.log10(table[name]) if kind == "log" else np.asarray(table[name], float)
        figures.map_row([ax], where, values[:, None], [label], _shade(kind, values, unit))
    return figures.png(fig)


_PARAMETERS = (
    ("Hydraulic conductivity K", "K_m_s", "log10 K (m/s)", "log"),
    ("Specific storage Ss", "Ss_1_m", "log10 Ss (1/m)", "log"),
    ("Relaxation time tau", "tau_yr", "log10 tau (yr)", "log"),
    ("Deviation from closure", "dlogtau", "ln tau - ln closure", "signed"),
    ("Drainage thickness Hd", "Hd_m", "Hd (m)", "plain"),
    ("Share of data-driven residual", "residual_share", "share (0 to 1)", "share"),
)


def _shade(kind: str, values: np.ndarray, unit: str) -> Shade:
    if kind == "share":
        return Shade((0.0, 1.0), unit, "cividis")
    signed = kind == "signed"
    return Shade(figures.robust_limits(values, signed=signed), unit, SIGNED if signed else "viridis")


def _axis_names(sem: Semantics) -> tuple[str, str]:
    if sem.georeference == "none":
        return "x from unknown origin (km)", "y from unknown origin (km)"
    return "easting (km)", "northing (km)"


def _fully_observed(forecast: Forecast) -> bool:
    return forecast.truth_m is not None and bool(np.isfinite(forecast.truth_m).all())


def _evaluation_rows(forecast: Forecast) -> list[tuple[str, np.ndarray, Shade]]:
    median = forecast.best.median().astype(float) * MM_PER_M
    truth = forecast.truth_m.astype(float) * MM_PER_M
    both = Shade(figures.robust_limits(np.concatenate([median, truth])), "cumulative subsidence (mm)")
    return [("Observed", truth, both), ("Median forecast", median, both), _error_row(median - truth)]


def _future_rows(forecast: Forecast) -> list[tuple[str, np.ndarray, Shade]]:
    median = forecast.best.median().astype(float) * MM_PER_M
    yearly = increments_m(forecast, forecast.best) * MM_PER_M
    rising = bool((yearly < 0).mean() > SHARE_RISING)
    steps = Shade(figures.robust_limits(yearly, signed=rising), "in the year (mm)", SIGNED if rising else "cividis")
    total = Shade(figures.robust_limits(median), "cumulative subsidence (mm)")
    rows = [("Median forecast", median, total), ("Increment", yearly, steps)]
    return rows if forecast.truth_m is None else [*rows, _error_row(median - forecast.truth_m * MM_PER_M)]


def _error_row(error: np.ndarray) -> tuple[str, np.ndarray, Shade]:
    limits = figures.robust_limits(error, signed=True)
    return "Forecast minus observed", error, Shade(limits, "error (mm)", SIGNED, "this year was not observed")


def _year(forecast: Forecast, step: int) -> str:
    years = np.unique(forecast.years[:, step])
    return str(years[0]) if len(years) == 1 else f"{years[0]} to {years[-1]}"
