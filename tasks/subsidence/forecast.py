"""Forecast tables: one row per window and step, millimetres and years, plain and calibrated twins.

The public columns come first, in the order readers expect, ours after them. Rows are window by window, step by step.
Nothing here relabels rows: the years of a table are the decoded years of the windows that were predicted.
"""

import csv
import io
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.contracts.errors import HandshakeError, IncompleteRunError
from tasks.contracts.units import MM_PER_M
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.handoff.strata import censored
from tasks.subsidence.handoff.truth import Truth
from tasks.subsidence.scaling import Decoded, decode, last_subsidence
from tasks.subsidence.semantics import Semantics

YEAR_TOLERANCE = 0.01
MM, METRES, DEGREES, FACTOR, INTEGER, TEXT = "%.6f", "%.6f", "%.8f", "%.9g", "%d", "%s"


@dataclass(frozen=True)
class Forecast:
    """One split with its predictions, the place and time of its rows, and what was observed there."""

    split: Split
    raw: Prediction
    calibrated: Prediction | None
    where: Decoded
    last_m: np.ndarray  # (N,) cumulative subsidence at the last observation
    truth_m: np.ndarray | None  # (N, H) observed cumulative subsidence, NaN where unknown; None: nothing known
    head_truth_m: np.ndarray | None  # (N, H) observed head, NaN where unknown
    censored: np.ndarray | None  # (N,) bool, thickness known only as a lower limit

    @property
    def best(self) -> Prediction:
        """Calibrated intervals where they exist, else the raw ones."""
        return self.calibrated or self.raw

    @property
    def metres(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) easting and northing; without a georeference metres from an unknown origin."""
        return np.asarray(self.where.x_m, float), np.asarray(self.where.y_m, float)

    @property
    def years(self) -> np.ndarray:
        """(N, H) calendar years, integer."""
        return integer_years(self.where.years, self.split.name)


class Column(NamedTuple):
    """One column of a table; `form` is a printf form, NaN becomes an empty cell."""

    name: str
    values: np.ndarray
    form: str


def collect(
    split: Split,
    raw: Prediction,
    calibrated: Prediction | None,
    sem: Semantics,
    *,
    truth: Truth | None = None,
) -> Forecast:
    """Join predictions with decoded places; without a truth of its own a split is compared with its targets."""
    truth_m = truth.subsidence if truth else None if split.subsidence is None else split.subsidence[:, :, 0]
    head_m = truth.head if truth else None if split.head is None else split.head[:, :, 0]
    where, last = decode(split, sem), last_subsidence(split, sem)
    return Forecast(split, raw, calibrated, where, last, truth_m, head_m, censored(split, sem))


def integer_years(years: np.ndarray, name: str = "windows") -> np.ndarray:
    """(N, H) decoded times as calendar years; HandshakeError when a time is not a whole year."""
    rounded = np.rint(years)
    off = np.abs(years - rounded)
    if not np.all(off <= YEAR_TOLERANCE):
        raise HandshakeError(
            "decoded times are not whole years",
            where=f"{name} coords",
            expected=f"within {YEAR_TOLERANCE} of an integer",
            found=f"{float(years.flat[int(np.nanargmax(off))]):.4f}",
            remedy="Pass the handoff whose coordinate ranges and minima belong to these windows.",
        )
    return rounded.astype(np.int64)


def future_table(forecast: Forecast, sem: Semantics, *, model: str, factors: np.ndarray | None = None) -> list[Column]:
    """The table of windows whose first step is the year after training; other windows are refused."""
    origin = forecast.years[:, 0] - 1
    if not np.all(origin == sem.train_end_year):
        raise HandshakeError(
            "future windows do not start right after the training years",
            where=f"{forecast.split.name} coords",
            expected=f"origin year {sem.train_end_year}",
            found=f"origin years {sorted(set(origin.tolist()))}",
            remedy="Rows of the evaluation split are never relabelled; export future inputs that start in "
            f"{sem.train_end_year + 1}.",
        )
    return table(forecast, sem, model=model, factors=factors)


def table(forecast: Forecast, sem: Semantics, *, model: str, factors: np.ndarray | None = None) -> list[Column]:
    """Columns of one forecast CSV; with factors (H,) the calibrated twin, without them the plain one."""
    prediction = _twin(forecast, factors)
    return [
        *_index_columns(forecast),
        *_truth_column(forecast),
        *_level_columns("subsidence", prediction.levels, prediction.subsidence * MM_PER_M, MM),
        *_place_columns(forecast, sem),
        Column("subsidence_unit", _repeat("mm", forecast), TEXT),
        *_calibration_columns(forecast, factors),
        *_own_columns(forecast, prediction, sem, model),
    ]


def csv_bytes(columns: list[Column]) -> bytes:
    """UTF-8 CSV with a header and \\n line ends; equal columns give equal bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*(_cells(column) for column in columns), strict=True))
    return out.getvalue().encode()


def level_name(level: float) -> str:
    """0.1 -> q10, 0.975 -> q97.5."""
    return f"q{100 * level:g}"


def file_stem(text: str) -> str:
    """A name that is safe inside a file name: letters, digits, dot, dash and underscore; never a path."""
    return re.sub(r"[^\w.-]", "_", text).lstrip(".") or "unnamed"


def _twin(forecast: Forecast, factors: np.ndarray | None) -> Prediction:
    if factors is None:
        return forecast.raw
    if forecast.calibrated is None:
        raise IncompleteRunError("interval factors exist but calibrated forecasts do not", where=forecast.split.name)
    if not np.array_equal(forecast.calibrated.median(), forecast.raw.median()):
        raise IncompleteRunError(
            "calibration moved the median",
            where=forecast.split.name,
            expected="identical q50 in both twins",
            found=f"max difference {np.abs(forecast.calibrated.median() - forecast.raw.median()).max():.3g} m",
        )
    return forecast.calibrated


def _index_columns(forecast: Forecast) -> list[Column]:
    n, h = forecast.years.shape
    return [
        Column("sample_idx", np.repeat(np.arange(n), h), INTEGER),
        Column("forecast_step", np.tile(np.arange(1, h + 1), n), INTEGER),
        Column("coord_t", forecast.years.ravel(), INTEGER),
    ]


def _truth_column(forecast: Forecast) -> list[Column]:
    if forecast.truth_m is None:
        return []
    return [Column("subsidence_actual", forecast.truth_m.astype(float).ravel() * MM_PER_M, MM)]


def _level_columns(name: str, levels: tuple[float, ...], values: np.ndarray, form: str) -> list[Column]:
    wide = values.astype(float)
    return [Column(f"{name}_{level_name(q)}", wide[:, :, i].ravel(), form) for i, q in enumerate(levels)]


def _place_columns(forecast: Forecast, sem: Semantics) -> list[Column]:
    steps = forecast.years.shape[1]
    if sem.georeference == "none":
        stored = forecast.split.coords[:, :, 1:].astype(float)
        return [Column(f"coord_norm_{axis}", stored[:, :, i].ravel(), DEGREES) for i, axis in enumerate("xy")]
    x, y = forecast.metres
    return [Column("coord_x", np.repeat(x, steps), "%.3f"), Column("coord_y", np.repeat(y, steps), "%.3f")]


def _calibration_columns(forecast: Forecast, factors: np.ndarray | None) -> list[Column]:
    if factors is None:
        return []
    n, h = forecast.years.shape
    if np.shape(factors) != (h,):
        raise IncompleteRunError("one interval factor per step is needed", expected=(h,), found=np.shape(factors))
    return [
        Column("calibration_factor", np.tile(np.asarray(factors, float), n), FACTOR),
        Column("is_calibrated", _repeat("True", forecast), TEXT),
    ]


def _own_columns(forecast: Forecast, prediction: Prediction, sem: Semantics, model: str) -> list[Column]:
    steps = forecast.years.shape[1]
    heads = _level_columns("gwl", prediction.levels, prediction.head, METRES)
    return [
        Column("city", _repeat(sem.city, forecast), TEXT),
        Column("model", _repeat(model, forecast), TEXT),
        Column("longitude", _degrees(forecast.where.longitude, forecast), DEGREES),
        Column("latitude", _degrees(forecast.where.latitude, forecast), DEGREES),
        Column("subsidence_increment_q50", increments_m(forecast, prediction).ravel() * MM_PER_M, MM),
        *heads,
        Column("gwl_actual", _or_unknown(forecast.head_truth_m, forecast), METRES),
        Column("censored", np.repeat(_flag(forecast), steps), INTEGER),
        Column("split", _repeat(forecast.split.name, forecast), TEXT),
        Column("origin_year", np.repeat(forecast.years[:, 0] - 1, steps), INTEGER),
    ]


def increments_m(forecast: Forecast, prediction: Prediction) -> np.ndarray:
    """(N, H) median increment of each step, m; the first one starts at the last observation."""
    levels = np.column_stack([forecast.last_m, prediction.median()]).astype(float)
    return np.diff(levels, axis=1)


def _flag(forecast: Forecast) -> np.ndarray:
    n = len(forecast.split)
    return np.full(n, np.nan) if forecast.censored is None else forecast.censored.astype(float)


def _degrees(values: np.ndarray | None, forecast: Forecast) -> np.ndarray:
    n, h = forecast.years.shape
    return np.full(n * h, np.nan) if values is None else np.repeat(np.asarray(values, float), h)


def _or_unknown(values: np.ndarray | None, forecast: Forecast) -> np.ndarray:
    return np.full(forecast.years.size, np.nan) if values is None else values.astype(float).ravel()


def _repeat(text: str, forecast: Forecast) -> np.ndarray:
    return np.full(forecast.years.size, text, dtype=object)


def _cells(column: Column) -> list[str]:
    if column.form == TEXT:
        return list(column.values)
    values = column.values.tolist()
    return ["" if value != value else column.form % value for value in values]
