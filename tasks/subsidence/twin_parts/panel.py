"""How a twin city is observed: points, instruments with noise, and the table that a first stage reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.subsidence.twin_parts.fields import LITHOLOGIES, LITHOLOGY_CLASSES, THICKNESS_RANGE_M, Ground, gaussian_field

if TYPE_CHECKING:
    from tasks.subsidence.twin import TwinRequest

WHITE_M, CORRELATED_M, OUTLIER_M, OUTLIER_SHARE, HEAD_M = 1e-3, 0.5e-3, 10e-3, 0.02, 0.05


@dataclass(frozen=True)
class Sample:
    """Observed cells (P,): grid row and column, projected metres, degrees."""

    row: np.ndarray
    column: np.ndarray
    x_m: np.ndarray
    y_m: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray


def settlement_noise(rng: np.random.Generator, request: "TwinRequest", sample: Sample) -> np.ndarray:
    """Errors of a satellite series (P, Y) m: white, correlated over the city within a year, and a few outliers."""
    shape = (request.points, request.years)
    white = WHITE_M * rng.standard_normal(shape)
    fields = [gaussian_field(rng, request.grid, request.spacing_m, request.correlation_m) for _ in range(request.years)]
    correlated = CORRELATED_M * np.stack([field[sample.row, sample.column] for field in fields], axis=1)
    outliers = np.where(rng.random(shape) < OUTLIER_SHARE, OUTLIER_M * rng.standard_normal(shape), 0.0)
    return white + correlated + outliers


def observe(
    rng: np.random.Generator,
    request: "TwinRequest",
    sample: Sample,
    ground: Ground,
    truth: dict[str, np.ndarray],
    rain_mm: np.ndarray,
    load: np.ndarray,
) -> tuple[dict, np.ndarray]:
    """Panel columns (P * Y,), rows by point and year, and the noise of the settlement (P, Y) m that is in them."""
    here, at = (sample.row, sample.column), (slice(None), sample.row, sample.column)
    noise = settlement_noise(rng, request, sample) * request.noise
    depth_noise = HEAD_M * rng.standard_normal(noise.shape) * request.noise
    # printed decimals are the observation: 1e-4 mm and 1e-5 m are far below every noise
    total_mm = np.round((truth["s_clean"] + noise) * MM_PER_M, 4)
    rate_mm = np.round(np.diff(total_mm, axis=1, prepend=0.0), 4)
    surface = np.round(truth["z_surf"], 5)[:, None]
    depth = np.round(surface - truth["h"] + depth_noise, 5)
    kind, thick = ground.lithology[here], np.round(truth["H"], 5)
    urban = np.round(load[at].T, 6)
    columns = {
        "longitude": sample.longitude[:, None],
        "latitude": sample.latitude[:, None],
        "year": truth["year"][None],
        "lithology": np.array(LITHOLOGIES)[kind][:, None],
        "GWL": depth,
        "rainfall_mm": np.round(rain_mm[at].T, 3),
        "soil_thickness": thick[:, None],
        "normalized_urban_load_proxy": urban,
        "subsidence": rate_mm,
        "subsidence_cum": total_mm,
        "city": np.array([[request.city]]),
        "lithology_class": np.array(LITHOLOGY_CLASSES)[kind][:, None],
        "GWL_depth_bgs": depth,
        "soil_thickness_censored": (thick >= THICKNESS_RANGE_M[1])[:, None],
        "soil_thickness_eff": thick[:, None],
        "urban_load_global": urban,
        "z_surf": surface,
        "head_m": np.round(surface - depth, 5),
        "GWL_depth_bgs_m": depth,
        "z_surf_m": surface,
    }
    return {name: np.broadcast_to(value, noise.shape).ravel() for name, value in columns.items()}, noise
