"""A made-up landscape: polygon fields, roads and water, seen in four bands of reflectance.

Everything follows from (random state, index); no file is read.
"""

from dataclasses import dataclass

import numpy as np

from tasks.tiles.filters import gaussian_blur

# Reflectance of B02, B03, B04, B08.
SOIL = np.array([0.110, 0.150, 0.200, 0.290], np.float32)
CROP = np.array([0.035, 0.085, 0.045, 0.450], np.float32)
ASPHALT = np.array([0.160, 0.170, 0.185, 0.210], np.float32)
WATER = np.array([0.090, 0.105, 0.085, 0.060], np.float32)  # turbid
CLOUD = np.array([0.72, 0.71, 0.70, 0.74], np.float32)
BIOMES = 16
RIVER_EVERY = 4  # scenes
FIELD_PX = 26  # typical width of a field
FEATURE_PX = 9  # of the variation within a field


@dataclass(frozen=True)
class Landscape:
    """One scene without any degradation, and what its sidecar says."""

    id: str
    values: np.ndarray  # (4, H, W) float32 in 0..1
    month: int
    biome_code: int
    lat: float
    lon: float


def landscape(state: int, index: int, height: int, width: int, *, cloud: bool = False) -> Landscape:
    """The scene that belongs to a random state and an index; both decide place, month and every pixel."""
    rng = np.random.default_rng([state, index])
    month, biome = 1 + (5 * index + state) % 12, 1 + (7 * index + state) % (BIOMES - 1)
    lat, lon = round(rng.uniform(40, 58), 4), round(rng.uniform(-5, 25), 4)
    at = np.indices((height, width), dtype=np.float32) + rng.uniform(0, 1000, (2, 1, 1)).astype(np.float32)
    values = _fields(at, rng, _greenness(month, biome))
    values = _mixed(values, ASPHALT, _roads(at, rng))
    values = _mixed(values, WATER, _water(at, rng, river=index % RIVER_EVERY == 0))
    values *= _sunlight(month) * _texture((height, width), rng)
    if cloud:
        values = _mixed(values, CLOUD, _clouds((height, width), rng))
    return Landscape(f"scene-{state}-{index:04d}", np.clip(values, 0, 1), month, biome, lat, lon)


def _greenness(month: int, biome: int) -> float:
    """How much of a field is green: most in July; the biome moves it a little."""
    season = 0.5 + 0.5 * np.cos(2 * np.pi * (month - 7) / 12)
    return float((0.25 + 0.6 * season) * (0.8 + 0.4 * biome / (BIOMES - 1)))


def _sunlight(month: int) -> float:
    return float(0.94 + 0.06 * np.cos(2 * np.pi * (month - 6) / 12))


def _fields(at: np.ndarray, rng: np.random.Generator, greenness: float) -> np.ndarray:
    """(4, H, W): a vegetation fraction per polygon mixes soil and crop; rows of the crop run along the polygon."""
    u, v = _turned(at, rng.uniform(0, np.pi))
    number = _polygons(u / (1.8 * FIELD_PX), v / FIELD_PX, rng)
    count = number.max() + 1
    fraction = np.clip(greenness * rng.uniform(0.1, 1.7, count), 0.02, 0.97).astype(np.float32)
    bright = rng.uniform(0.75, 1.3, count).astype(np.float32)
    pitch = rng.uniform(3.5, 7.0, count).astype(np.float32)
    along = np.where(number % 2, u, v)
    rows = 0.05 * np.sin(2 * np.pi * along / pitch[number])
    patches = 0.06 * _smooth_noise(at.shape[1:], FEATURE_PX, rng)
    green = np.clip(fraction[number] + rows + patches, 0, 1)
    soil = SOIL[:, None, None] * bright[number]
    return soil + green * (CROP[:, None, None] - soil)


def _polygons(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) number of the Voronoi polygon around jittered lattice points; one polygon per unit cell."""
    u, v = u - np.floor(u.min()) + 1, v - np.floor(v.min()) + 1
    column, row = u.astype(int), v.astype(int)
    rows, columns = row.max() + 2, column.max() + 2
    jitter = rng.uniform(0.12, 0.88, (2, rows, columns))
    place = (np.indices((rows, columns))[::-1] + jitter).astype(np.float32)
    nearest, number = np.full(u.shape, np.inf, np.float32), np.zeros(u.shape, int)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            r, c = row + down, column + right
            away = (place[0, r, c] - u) ** 2 + (place[1, r, c] - v) ** 2
            closer = away < nearest
            nearest, number = np.where(closer, away, nearest), np.where(closer, r * columns + c, number)
    return number


def _roads(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) share covered by asphalt: two straight roads of 10 to 20 m that cross."""
    heading = rng.uniform(0, np.pi)
    cover = np.zeros(at.shape[1:], np.float32)
    for angle in (heading, heading + rng.uniform(0.9, 2.2)):
        _, across = _turned(at, angle)
        middle = rng.uniform(*np.quantile(across, (0.15, 0.85)))
        cover = np.maximum(cover, _within(np.abs(across - middle), rng.uniform(0.5, 1.0)))
    return cover


def _water(at: np.ndarray, rng: np.random.Generator, *, river: bool) -> np.ndarray:
    """(H, W) share covered by water: a pond, and in some scenes a winding river."""
    along, across = _turned(at, rng.uniform(0, np.pi))
    centre = [rng.uniform(side.min(), side.max()) for side in at]
    shore = np.hypot(at[0] - centre[0], 1.4 * (at[1] - centre[1])) + 2 * np.sin(along / 5)
    pond = _within(shore, rng.uniform(6, 14))
    if not river:
        return pond
    bend = 9 * np.sin(along / rng.uniform(18, 30)) + 4 * np.sin(along / rng.uniform(7, 11))
    bank = np.abs(across + bend - rng.uniform(*np.quantile(across, (0.05, 0.95))))
    return np.maximum(pond, _within(bank, rng.uniform(1.2, 4.0)))


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(1, H, W) factor around 1 that all bands share, pixel by pixel."""
    return 1 + 0.01 * rng.standard_normal((1, *shape), dtype=np.float32)


def _clouds(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W) opacity, over about a sixth of the scene."""
    billows = _smooth_noise(shape, 14, rng) + 0.35 * _smooth_noise(shape, 5, rng)
    return np.clip(1.2 * (billows - float(np.quantile(billows, 0.84))), 0, 0.95)


def _smooth_noise(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) with a standard deviation of about 1 and features of about this size."""
    coarse = [max(4, int(np.ceil(2 * side / size_px)) + 3) for side in shape]
    noise = gaussian_blur(rng.standard_normal(coarse, dtype=np.float32), 1.0)
    fine = _stretched(_stretched(noise, shape[0]).T, shape[1]).T
    return fine / max(float(noise.std()), 1e-6)


def _stretched(values: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation of the rows to another number of rows."""
    place = np.linspace(0, len(values) - 1.001, size, dtype=np.float32)
    low = place.astype(int)
    part = (place - low.astype(np.float32))[:, None]
    return (1 - part) * values[low] + part * values[low + 1]


def _turned(at: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * at[1] + sin * at[0], cos * at[0] - sin * at[1]


def _within(distance: np.ndarray, half_width: float) -> np.ndarray:
    """Share of a pixel that lies within: 1 inside, 0 outside, one pixel of transition."""
    return np.clip(half_width - distance + 0.5, 0, 1).astype(np.float32)


def _mixed(values: np.ndarray, spectrum: np.ndarray, share: np.ndarray) -> np.ndarray:
    return values + share * (spectrum[:, None, None] - values)
