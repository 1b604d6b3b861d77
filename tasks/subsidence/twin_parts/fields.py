"""The ground of a twin city: correlated random fields of the clay layer, the aquifer and the surface."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import SECONDS_PER_YEAR

K_RANGE_M_S = (1e-12, 1e-7)
SS_RANGE_1_M = (3e-5, 1e-3)
KA_RANGE_M_S = (1e-6, 1e-4)
SA_RANGE_1_M = (5e-6, 5e-5)
THICKNESS_RANGE_M = (2.0, 30.0)
TAU_MIN_YR = 0.1

LITHOLOGIES = (
    "Fine-Grained (Clay/Silt)",
    "Residual (Saprolitic) Soil",
    "Coarse-Grained (Sand)",
    "Coarse-Grained (Gravelly)",
)
LITHOLOGY_CLASSES = ("Mixed Clastics", "Mixed Clastics", "Coarse-Grained Soil", "Coarse-Grained Soil")
_SHARES = (0.35, 0.65, 0.85)  # cumulative area shares of the first three lithologies
# offsets in decades per lithology: softer, thicker and slower where grains are fine
_OFFSETS = {
    "thickness": np.array([0.08, 0.0, -0.05, -0.12]),
    "Ss": np.array([0.10, 0.0, -0.20, -0.35]),
    "tau": np.array([0.22, 0.0, -0.18, -0.30]),
}
_MAX_DRAWS = 500


@dataclass(frozen=True)
class Ground:
    """Properties of every cell, arrays (ny, nx) in SI units; lithology holds indices into LITHOLOGIES."""

    lithology: np.ndarray
    thickness: np.ndarray  # compressible thickness, m
    Ss: np.ndarray  # specific storage of the compressible layer, 1/m
    tau: np.ndarray  # first-mode relaxation time, s
    K: np.ndarray  # vertical conductivity of the compressible layer, m/s
    Ka: np.ndarray  # aquifer conductivity, m/s
    Sa: np.ndarray  # aquifer specific storage, 1/m
    freeboard: np.ndarray  # depth of the water table before pumping, m
    urban: np.ndarray  # urban density, 0..1


def gaussian_field(rng: np.random.Generator, grid: int, spacing_m: float, correlation_m: float) -> np.ndarray:
    """Unit-variance field (grid, grid) with covariance exp(-(r / correlation)^2), by filtering white noise.

    The noise lies on twice the grid, so opposite edges of the city are not neighbours.
    """
    size = 2 * grid
    wave = 2.0 * np.pi * np.fft.fftfreq(size, d=spacing_m)
    squared = wave[:, None] ** 2 + wave[None, :] ** 2
    response = np.exp(-squared * correlation_m**2 / 8.0)  # square root of the spectrum
    response /= np.sqrt(np.mean(response**2))
    noise = rng.standard_normal((size, size))
    return np.fft.ifft2(np.fft.fft2(noise) * response).real[:grid, :grid]


def terzaghi_tau(thickness: np.ndarray, Ss: np.ndarray, K: np.ndarray, *, hd_factor: float) -> np.ndarray:
    """tau = (hd_factor H)^2 Ss / (pi^2 K), s: slowest mode of a doubly drained layer (Terzaghi 1925)."""
    return (hd_factor * thickness) ** 2 * Ss / (np.pi**2 * K)


def conductivity_of(thickness: np.ndarray, Ss: np.ndarray, tau: np.ndarray, *, hd_factor: float) -> np.ndarray:
    """K = (hd_factor H)^2 Ss / (pi^2 tau), m/s: `terzaghi_tau` solved for K."""
    return (hd_factor * thickness) ** 2 * Ss / (np.pi**2 * tau)


def _until(draw: Callable[[], np.ndarray], limits: tuple[float, float], name: str) -> np.ndarray:
    for _ in range(_MAX_DRAWS):
        field = draw()
        if field.min() >= limits[0] and field.max() <= limits[1]:
            return field
    raise ConfigError(
        f"no draw of {name} in {_MAX_DRAWS} stayed inside its bounds",
        where="twin",
        expected=f"[{limits[0]:.3g}, {limits[1]:.3g}]",
        found=f"[{field.min():.3g}, {field.max():.3g}]",
        remedy="Take a smaller city (grid * spacing_m), or a wider tau_max_yr.",
    )


def draw_ground(
    rng: np.random.Generator, *, grid: int, spacing_m: float, correlation_m: float, tau_max_yr: float, hd_factor: float
) -> Ground:
    """Draw all fields of a city; those with bounds are drawn again until every cell is inside them."""

    def field() -> np.ndarray:
        return gaussian_field(rng, grid, spacing_m, correlation_m)

    lithology = _lithology(gaussian_field(rng, grid, spacing_m, 1.5 * correlation_m))
    thickness = 16.0 * 10.0 ** (0.22 * field() + _OFFSETS["thickness"][lithology])
    thickness = np.clip(thickness, *THICKNESS_RANGE_M)  # soft ground ends at 30 m: such cells carry the censor flag
    Ss = _until(lambda: 4.5e-4 * 10.0 ** (0.10 * field() + _OFFSETS["Ss"][lithology]), SS_RANGE_1_M, "Ss")
    tau = _draw_tau(field, lithology, thickness, Ss, tau_max_yr, hd_factor)
    return Ground(
        lithology=lithology,
        thickness=thickness,
        Ss=Ss,
        tau=tau,
        K=conductivity_of(thickness, Ss, tau, hd_factor=hd_factor),
        Ka=_until(lambda: 1e-5 * 10.0 ** (0.28 * field()), KA_RANGE_M_S, "Ka"),
        Sa=_until(lambda: 1.6e-5 * 10.0 ** (0.12 * field()), SA_RANGE_1_M, "Sa"),
        freeboard=2.0 + 3.0 * _uniform(field()),
        urban=_uniform(gaussian_field(rng, grid, spacing_m, 1.5 * correlation_m)),
    )


def _draw_tau(
    field: Callable[[], np.ndarray],
    lithology: np.ndarray,
    thickness: np.ndarray,
    Ss: np.ndarray,
    tau_max_yr: float,
    hd_factor: float,
) -> np.ndarray:
    """Relaxation times whose closure conductivity is inside its bounds too; thick layers are slower."""
    decades = np.log10(tau_max_yr / TAU_MIN_YR)
    middle, stretch = TAU_MIN_YR * 10.0 ** (0.47 * decades), decades / 3.0
    trend = 0.8 * np.log10(thickness / 16.0) + _OFFSETS["tau"][lithology]
    limits = (TAU_MIN_YR * SECONDS_PER_YEAR, tau_max_yr * SECONDS_PER_YEAR)

    def draw() -> np.ndarray:
        tau = middle * SECONDS_PER_YEAR * 10.0 ** (stretch * (trend + 0.40 * field()))
        K = conductivity_of(thickness, Ss, tau, hd_factor=hd_factor)
        inside = K.min() >= K_RANGE_M_S[0] and K.max() <= K_RANGE_M_S[1]
        return tau if inside else np.full_like(tau, np.inf)

    return _until(draw, limits, "tau and K")


def _lithology(field: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.quantile(field, _SHARES), field).astype(np.int64)


def _uniform(field: np.ndarray) -> np.ndarray:
    """The field stretched to 0..1, smoothly."""
    low, high = field.min(), field.max()
    return (field - low) / (high - low)
