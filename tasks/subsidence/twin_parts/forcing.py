"""What drives a twin city: rain that leaks into the aquifer, and well fields that grow, pause and follow dry years."""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.twin_parts.fields import gaussian_field

AQUIFER_THICKNESS_M = 20.0
_MEAN_RAIN_MM = 1800.0
_SEASON_AMPLITUDE = 0.6
_WELL_FIELDS = 24


@dataclass(frozen=True)
class Rain:
    """Annual rain (years, ny, nx) in mm, and its departure from the long-term mean, (years, ny, nx), relative."""

    annual_mm: np.ndarray
    anomaly: np.ndarray


@dataclass(frozen=True)
class WellFields:
    """Abstraction patterns (W, ny, nx), 1 at their centres, and their strength in every year (W, years), 0..1.4."""

    pattern: np.ndarray
    strength: np.ndarray


def draw_rain(rng: np.random.Generator, *, years: int, grid: int, spacing_m: float, correlation_m: float) -> Rain:
    """Wet and dry years with a memory of one year, and a pattern over the city that changes from year to year."""
    shocks = rng.standard_normal(years)
    wetness = np.empty(years)
    for year, shock in enumerate(shocks):
        wetness[year] = shock if year == 0 else 0.3 * wetness[year - 1] + np.sqrt(1.0 - 0.09) * shock
    relief = gaussian_field(rng, grid, spacing_m, 2.0 * correlation_m)
    storms = np.stack([gaussian_field(rng, grid, spacing_m, 2.0 * correlation_m) for _ in range(years)])
    log_rain = 0.14 * wetness[:, None, None] + 0.05 * relief + 0.03 * storms
    annual = _MEAN_RAIN_MM * np.exp(log_rain)
    usual = _MEAN_RAIN_MM * np.exp(0.05 * relief)
    return Rain(annual_mm=annual, anomaly=annual / usual - 1.0)


def draw_wells(
    rng: np.random.Generator, urban: np.ndarray, rain: Rain, *, spacing_m: float, spinup_years: int
) -> WellFields:
    """Well fields in the denser parts of the city: most grow, some are throttled, all pump more in dry years."""
    ny, nx = urban.shape
    years = len(rain.annual_mm)
    share = (urban**2).ravel() / (urban**2).sum()
    centres = rng.choice(urban.size, size=_WELL_FIELDS, replace=False, p=share)
    radius = rng.uniform(800.0, 1800.0, _WELL_FIELDS) * (nx * spacing_m / 16_000.0)
    rows, columns = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    pattern = np.stack(
        [
            np.exp(-0.5 * ((rows - c // nx) ** 2 + (columns - c % nx) ** 2) * (spacing_m / r) ** 2)
            for c, r in zip(centres, radius, strict=True)
        ]
    )
    start = rng.uniform(-0.6 * spinup_years, 0.5 * (years - spinup_years), _WELL_FIELDS)
    growth = rng.uniform(2.0, 12.0, _WELL_FIELDS)
    stop = np.where(rng.random(_WELL_FIELDS) < 0.35, rng.uniform(2.0, years - spinup_years, _WELL_FIELDS), np.inf)
    size = rng.uniform(0.4, 1.0, _WELL_FIELDS)
    now = np.arange(years) - spinup_years + 0.5
    ramp = np.clip((now - start[:, None]) / growth[:, None], 0.0, 1.0)
    throttle = 1.0 - 0.7 * np.clip(now - stop[:, None], 0.0, 1.0)
    drought = np.clip(1.0 - 0.8 * rain.anomaly.mean(axis=(1, 2)), 0.6, 1.4)
    return WellFields(pattern=pattern, strength=size[:, None] * ramp * throttle * drought)


def monthly_sources(
    leak: np.ndarray, abstraction: np.ndarray, rain: Rain, wells: WellFields, *, steps_per_year: int
) -> np.ndarray:
    """Volumetric source Q (years * steps, ny, nx), 1/s: seasonal leakage minus abstraction.

    leak: mean leakage (ny, nx) 1/s; abstraction: (W,) 1/s at full strength. Strength runs linearly through the years.
    """
    years = len(rain.annual_mm)
    middle = (np.arange(steps_per_year) + 0.5) / steps_per_year
    season = 1.0 - _SEASON_AMPLITUDE * np.cos(2.0 * np.pi * (middle - 0.08))  # wettest in early summer
    season *= steps_per_year / season.sum()
    times = (np.arange(years)[:, None] + middle).ravel()
    strength = np.stack([np.interp(times, np.arange(years) + 0.5, line) for line in wells.strength])
    pumped = np.einsum("wt,wij->tij", strength * abstraction[:, None], wells.pattern)
    leaked = leak * np.repeat(1.0 + rain.anomaly, steps_per_year, axis=0) * np.tile(season, years)[:, None, None]
    return leaked - pumped


def urban_load(urban: np.ndarray, *, years: int) -> np.ndarray:
    """Normalized load (years, ny, nx) in 0..1: dense parts fill first and the city grows through the years."""
    grown = np.linspace(0.55, 1.0, years)[:, None, None]
    return np.clip(urban * grown, 0.0, 1.0)
