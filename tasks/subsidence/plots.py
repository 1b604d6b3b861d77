"""Curves and histograms: training history, epsilons, physics terms, consolidation residuals, reliability, PIT.

Each function takes plain arrays and returns the bytes of one picture. The training log is a mapping from the
public column names to values per epoch; a column that is absent leaves a panel that says so.
"""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.subsidence.products import figures
from tasks.subsidence.products.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

Log = Mapping[str, np.ndarray]
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
PHYSICS_TERMS = ("consolidation_loss", "gw_flow_loss", "prior_loss", "smooth_loss", "bounds_loss", "mv_prior_loss")
NO_PHYSICS = "no physics term was active in this run"
ABSENT = "the training log lacks this column"
SMALL = 1e-3
LINE = {"linewidth": 1.6, "marker": ".", "markersize": 5}


def read_log(data: bytes) -> dict[str, np.ndarray]:
    """Columns of a training log CSV as floats, NaN where a cell is empty."""
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    names = list(rows[0]) if rows else []
    return {name: np.asarray([_number(row[name]) for row in rows]) for name in names}


def training_history(log: Log, *, title: str, monitor: str, best_epoch: int | None) -> bytes:
    """Loss, monitored score, data against physics, errors of both targets, gates and learning rate per epoch."""
    fig, axes = figures.figure(2, 3, width=13, height=7.2, title=title)
    _pair(axes[0, 0], log, "total_loss", "Total loss", "loss (standardised units)", log_scale=True)
    _monitored(axes[0, 1], log, monitor, best_epoch)
    pairs = (("data", "data_loss"), ("physics, weighted", "physics_loss_scaled"))
    _lines(axes[0, 2], log, pairs, "Data and physics loss (train)", "loss (dimensionless)", NO_PHYSICS)
    _pair(axes[1, 0], log, "subs_pred_mae_q50", "Subsidence, median", "mean absolute error (mm)", scale=MM_PER_M)
    _pair(axes[1, 1], log, "gwl_pred_mae_q50", "Head, median", "mean absolute error (m)")
    gates = (("physics gate", "physics_gate"), ("residual gate", "subs_resid_gate"), ("Q gate", "q_gate"))
    _lines(axes[1, 2], log, gates, "Gates", "share of full strength (0 to 1)", NO_PHYSICS, log_scale=False)
    return figures.png(fig)


def epsilons(log: Log, *, title: str, raw_units: tuple[str, str] = ("m/s", "1/s")) -> bytes:
    """RMS of the non-dimensional residuals per epoch, and of their raw companions (consolidation, flow)."""
    fig, axes = figures.figure(2, 3, width=13, height=7.2, title=title)
    panels = (
        ("epsilon_prior", "Closure prior (dlogtau)", "RMS (natural log units)"),
        ("epsilon_cons", "Consolidation residual", "RMS (dimensionless)"),
        ("epsilon_gw", "Groundwater flow residual", "RMS (dimensionless)"),
        ("epsilon_cons_raw", "Consolidation residual, raw", f"RMS ({raw_units[0]})"),
        ("epsilon_gw_raw", "Groundwater flow residual, raw", f"RMS ({raw_units[1]})"),
        ("q_rms", "Source term Q over its scale", "RMS (dimensionless)"),
    )
    for ax, (name, label, unit) in zip(axes.flat, panels, strict=True):
        _pair(ax, log, name, label, unit, log_scale=True, reason=NO_PHYSICS)
    return figures.png(fig)


def physics_terms(log: Log, *, title: str) -> bytes:
    """Each physics loss per epoch before weighting, and the multiplier that scales their sum."""
    fig, axes = figures.figure(1, 2, width=13, height=4.8, title=title)
    names = [(name.removesuffix("_loss").replace("_", " "), name) for name in PHYSICS_TERMS]
    _lines(axes[0, 0], log, names, "Physics terms (train)", "mean square (dimensionless)", NO_PHYSICS)
    factors = (("multiplier", "physics_mult"), ("lambda offset", "lambda_offset"), ("gate", "physics_gate"))
    _lines(axes[0, 1], log, factors, "Multiplier and gate", "factor (dimensionless)", NO_PHYSICS, log_scale=False)
    return figures.png(fig)


def residual_histogram(scaled: np.ndarray | None, raw_m_s: np.ndarray | None, *, title: str) -> bytes:
    """Consolidation residuals of the published median, non-dimensional and in mm per year."""
    from tasks.contracts.units import SECONDS_PER_YEAR

    fig, axes = figures.figure(1, 2, width=11, height=4.6, title=title)
    _histogram(axes[0, 0], scaled, "Non-dimensional residual", "R_cons (dimensionless)")
    raw = None if raw_m_s is None else np.asarray(raw_m_s, float) * SECONDS_PER_YEAR * MM_PER_M
    _histogram(axes[0, 1], raw, "Raw residual", "settlement rate not explained (mm/yr)")
    return figures.png(fig)


def reliability(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], *, title: str, rows: int) -> bytes:
    """Share of observations below each level against the level; the band is 95 % binomial for the rows given.

    curves: (label, nominal levels, observed shares), for example raw and calibrated.
    """
    fig, axes = figures.figure(1, 1, width=6.4, height=6.0, title=title)
    ax = axes[0, 0]
    grid = np.linspace(0, 1, 101)
    half = 1.96 * np.sqrt(grid * (1 - grid) / max(rows, 1))
    ax.fill_between(grid, grid - half, grid + half, color=GREY, alpha=0.2, linewidth=0, label=f"95 % band, {rows} rows")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="perfect")
    for (label, nominal, observed), colour, marker in zip(curves, COLOURS, "osD^", strict=False):
        ax.plot(nominal, observed, color=colour, marker=marker, markersize=7, linewidth=1.6, label=label)
    figures.style(ax, "Observed share below each quantile", "nominal level (share)", "observed share")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(fontsize=9, loc="upper left", framealpha=0.9)
    return figures.png(fig)


def pit_histogram(panels: Sequence[tuple[str, np.ndarray | None, str]], *, title: str) -> bytes:
    """PIT counts in equal bins with the expected count; panels: (label, counts, line of text)."""
    fig, axes = figures.figure(1, len(panels), width=5.6 * len(panels), height=4.6, title=title)
    for ax, (label, counts, note), colour in zip(axes[0], panels, COLOURS, strict=False):
        if counts is None or np.sum(counts) == 0:
            figures.nothing(ax, label, note or "no observation to compare with")
            continue
        _pit_bars(ax, np.asarray(counts, float), label, note, colour)
    return figures.png(fig)


def _pit_bars(ax, counts: np.ndarray, label: str, note: str, colour: str) -> None:
    bins, expected = len(counts), counts.sum() / len(counts)
    half = 1.96 * np.sqrt(expected * (1 - 1 / bins))
    ax.axhspan(expected - half, expected + half, color=GREY, alpha=0.2, linewidth=0, label="95 % band")
    ax.axhline(expected, color=GREY, linewidth=1, label="uniform")
    ax.bar((np.arange(bins) + 0.5) / bins, counts, width=0.92 / bins, color=colour, alpha=0.85)
    figures.style(ax, f"{label}: {note}" if note else label, "probability integral transform (share)", "cells (count)")
    ax.set(xlim=(0, 1), ylim=(0, max(float(counts.max()), expected + half) * 1.22))
    ax.legend(fontsize=8.5, loc="upper right", ncols=2, framealpha=0.9)


def _histogram(ax, values: np.ndarray | None, title: str, x_label: str) -> None:
    known = np.zeros(0) if values is None else np.asarray(values, float)[np.isfinite(values)]
    if known.size == 0:
        figures.nothing(ax, title, NO_PHYSICS)
        return
    low, high = figures.robust_limits(known, signed=True, share=0.005)
    counts, _, _ = ax.hist(np.clip(known, low, high), bins=41, range=(low, high), color=BLUE, alpha=0.85)
    ax.set_ylim(0, 1.2 * float(counts.max()))
    rms = float(np.sqrt(np.mean(known**2)))
    ax.axvline(0, color=GREY, linewidth=1)
    for at in (-rms, rms):
        ax.axvline(at, color=RED, linewidth=1.2, linestyle="--", label=f"RMS {rms:.3g}" if at > 0 else None)
    figures.style(ax, title, x_label, "cells (count)")
    ax.legend(fontsize=9, loc="upper right")


def _monitored(ax, log: Log, monitor: str, best_epoch: int | None) -> None:
    in_mm = monitor.endswith("crps_subs") and monitor in log
    unit = f"{monitor} (mm)" if in_mm else f"{monitor} (dimensionless)"
    scale = MM_PER_M if in_mm else 1.0
    _lines(ax, log, ((monitor, monitor),), "Monitored score", unit, ABSENT, scale=scale)
    if best_epoch is not None and monitor in log:
        ax.axvline(best_epoch, color=RED, linestyle="--", linewidth=1.2, label=f"best epoch {best_epoch}")
        ax.legend(fontsize=8.5, loc="best")


def _pair(ax, log: Log, name: str, title: str, unit: str, *, log_scale=False, scale=1.0, reason=ABSENT) -> None:
    series = (("train", name), ("validation", f"val_{name}"))
    _lines(ax, log, series, title, unit, reason, log_scale=log_scale, scale=scale)


def _lines(ax, log: Log, series, title: str, unit: str, reason: str, *, log_scale=True, scale=1.0) -> None:
    """Draw the named series that hold data; on a log scale values that are not positive cannot be shown."""
    drawn = []
    for (label, name), colour, dash in zip(series, COLOURS, ("-", "--", ":", "-.", "-", "--"), strict=False):
        values = np.asarray(log.get(name, np.zeros(0)), float) * scale
        shown = np.isfinite(values) & ((values > 0) | (not log_scale))
        if shown.any():
            epochs = _epochs(log, len(values))
            ax.plot(epochs[shown], values[shown], dash, color=colour, label=label, **LINE)
            drawn.append(values[shown])
    if not drawn:
        figures.nothing(ax, title, reason)
        return
    figures.style(ax, title, "epoch", unit)
    if log_scale and _needs_log_scale(drawn):
        ax.set_yscale("log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=8.5, loc="best", framealpha=0.9)


def _needs_log_scale(drawn: list[np.ndarray]) -> bool:
    """Values over more than a decade, or so small that a linear axis would need an offset text."""
    values = np.concatenate(drawn)
    return bool(values.max() >= 10 * values.min() or values.max() < SMALL)


def _epochs(log: Log, count: int) -> np.ndarray:
    """Epoch numbers from 1, whether the log counts from 0 or from 1."""
    epochs = np.asarray(log.get("epoch", np.arange(count)), float)
    return epochs + 1 - epochs[0] if epochs[0] == 0 else epochs


def _number(cell: str | None) -> float:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        return float("nan")
