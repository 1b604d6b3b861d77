"""Which points and years of a panel make windows, and where they lie."""

from dataclasses import replace

import numpy as np

from tasks.contracts.errors import ConfigError, HandshakeError
from tasks.subsidence.stage1.panel_clean import Panel
from tasks.subsidence.stage1.prepare_types import MIN_THICKNESS_M, PrepareOptions, Years
from tasks.subsidence.stage1.splits import temporal_shift


def project(panel: Panel, epsg: int | None) -> tuple[int, np.ndarray, np.ndarray]:
    """EPSG code and projected metres (G,) of all points; without a code, of the UTM zone in which the city lies."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    if epsg is None:
        zone = int(np.floor((np.median(panel.longitude) + 180.0) / 6.0)) % 60 + 1
        epsg = (32600 if np.median(panel.latitude) >= 0 else 32700) + zone
    try:
        crs = CRS.from_epsg(epsg)
    except CRSError as error:
        raise ConfigError(f"EPSG {epsg} is unknown", where="--epsg", remedy="Leave it out for the UTM zone.") from error
    if not crs.is_projected or crs.axis_info[0].unit_name != "metre":
        raise ConfigError(
            f"EPSG {epsg} is no projected system in metres",
            where="--epsg",
            found=crs.name,
            remedy="Leave it out for the UTM zone of the city.",
        )
    x_m, y_m = Transformer.from_crs(4326, epsg, always_xy=True).transform(panel.longitude, panel.latitude)
    if not (np.isfinite(x_m).all() and np.isfinite(y_m).all()):
        raise ConfigError(
            f"EPSG {epsg} does not cover the city", where="--epsg", remedy="Leave it out for the UTM zone."
        )
    return epsg, x_m, y_m


def plan_years(panel: Panel, options: PrepareOptions) -> Years:
    """Years that windows need; raises HandshakeError when the panel does not hold them."""
    first, last = int(panel.years[0]), int(panel.years[-1])
    end = last if options.train_end_year is None else options.train_end_year
    needed = options.time_steps + options.horizon
    if not first + needed - 1 <= end <= last:
        raise HandshakeError(
            "train_end_year does not fit the years of the panel",
            where="panel CSV",
            expected=f"{first + needed - 1} to {last} for windows of {options.time_steps}+{options.horizon} years",
            found=f"{end}",
            remedy="Choose another --train-end-year, or shorter windows.",
        )
    spare = end - needed + 1 - first
    shift = 0
    if options.holdout == "temporal":
        shift = temporal_shift(options.temporal_shift, horizon=options.horizon, spare_years=spare)
    return Years(first=end - needed - shift + 1, train_end=end, shift=shift)


def _missing_years(panel: Panel, first: int, last: int) -> np.ndarray:
    """Number of years per point (G,) in which a required value is absent."""
    needed = [panel.values[role][:, panel.at(first, last)] for role in ("subsidence", "depth", "head", "thickness")]
    return np.isnan(np.stack(needed)).any(axis=0).sum(axis=1)


def complete(panel: Panel, first: int, last: int) -> np.ndarray:
    """Points (G,) that have every required value in all years `first` to `last`."""
    return _missing_years(panel, first, last) == 0


def keep_complete(panel: Panel, years: Years, options: PrepareOptions) -> tuple[Panel, dict[str, int]]:
    """The complete points, and how many were dropped for how many missing years; HandshakeError when none is left."""
    missing = _missing_years(panel, years.first, years.train_end)
    span = years.train_end - years.first + 1
    counts = {int(k): int(n) for k, n in zip(*np.unique(missing[missing > 0], return_counts=True), strict=True)}
    dropped = {f"{gap} of the {span} years {years.first}-{years.train_end} missing": n for gap, n in counts.items()}
    if not (missing == 0).any():
        reasons = "; ".join(f"{count} points: {reason}" for reason, count in list(dropped.items())[:5])
        raise HandshakeError(
            "no point has enough years",
            where="panel CSV",
            found=reasons,
            expected=f"T+H = {options.time_steps}+{options.horizon} consecutive years at the same longitude and "
            f"latitude ({years.first} to {years.train_end})",
            remedy="A table with one year per point makes no windows: deliver a panel in which every point is "
            "repeated for every year, or interpolate each year to common points.",
        )
    return panel.select(np.flatnonzero(missing == 0)), dropped


def clip_thickness(panel: Panel, years: Years, cap_m: float) -> tuple[Panel, float]:
    """Thickness within [0.1 m, cap] and the censor flag; the rate is over the years that windows use."""
    thickness = panel.values["thickness"]
    censored = thickness >= cap_m - 1e-6
    rate = float(censored[:, panel.at(years.first, years.train_end)].mean())
    values = panel.values | {
        "thickness": np.clip(thickness, MIN_THICKNESS_M, cap_m),
        "thickness_raw": thickness,
        "censored": np.where(np.isnan(thickness), np.nan, censored),
    }
    return replace(panel, values=values), rate


def through(panel: Panel, last: int) -> Panel:
    """The panel with empty years up to `last`, where it ends earlier."""
    extra = last - int(panel.years[-1])
    if extra <= 0:
        return panel

    def pad(cube: np.ndarray, empty: object) -> np.ndarray:
        return np.concatenate([cube, np.full((len(panel), extra), empty, dtype=cube.dtype)], axis=1)

    return replace(
        panel,
        years=np.arange(panel.years[0], last + 1),
        line=pad(panel.line, -1),
        values={k: pad(v, np.nan) for k, v in panel.values.items()},
        texts={k: pad(v, "") for k, v in panel.texts.items()},
    )
