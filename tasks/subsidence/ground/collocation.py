"""Points where the flow equation must hold besides the data: random places and times in the hull of the train data."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class CollocationPool:
    """Points to draw from; class columns and thickness are those of the nearest train location."""

    coords: np.ndarray  # (M, 3) t, x, y in stored units
    static: np.ndarray  # (M, S)
    thickness: np.ndarray  # (M,) m

    def tensors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The pool as float32 constants."""
        return tuple(tf.constant(part, tf.float32) for part in (self.coords, self.static, self.thickness))


def collocation_pool(
    coords: np.ndarray, static: np.ndarray, thickness: np.ndarray, *, size: int, seed: int
) -> CollocationPool:
    """Uniform points in the convex hull of the places and in the range of the times; coords (N, H, 3).

    static (N, S), thickness (N, H) or (N, H, 1) m. Places on one line have no hull: their bounding segment is used.
    """
    from scipy.spatial import KDTree

    generator = np.random.default_rng(seed)
    places = coords[:, 0, 1:].astype(float)
    spots = _points_in_hull(places, size, generator)
    times = generator.uniform(coords[..., 0].min(), coords[..., 0].max(), (size, 1))
    extent = np.maximum(np.ptp(places, axis=0), np.finfo(float).tiny)
    nearest = KDTree(places / extent).query(spots / extent)[1]
    depth = thickness.reshape(len(coords), -1)[:, 0]
    return CollocationPool(
        np.concatenate([times, spots], axis=1).astype(np.float32),
        static[nearest].astype(np.float32),
        depth[nearest].astype(np.float32),
    )


def draw(pool: tuple[tf.Tensor, tf.Tensor, tf.Tensor], count: int, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """count points of the pool; the same two-integer seed gives the same points in every process."""
    index = tf.random.stateless_uniform((count,), seed, maxval=tf.shape(pool[0])[0], dtype=tf.int32)
    return tuple(tf.gather(part, index) for part in pool)


def _points_in_hull(places: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform over the triangles of the hull, chosen by area."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        corners = places[ConvexHull(places).vertices]
    except (QhullError, ValueError):
        return _points_on_segment(places, size, generator)
    fan = np.stack([np.repeat(corners[:1], len(corners) - 2, axis=0), corners[1:-1], corners[2:]], axis=1)
    sides = fan[:, 1:] - fan[:, :1]
    area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    triangle = fan[generator.choice(len(fan), size, p=area / area.sum())]
    share = generator.dirichlet(np.ones(3), size)
    return np.einsum("pc,pcd->pd", share, triangle)


def _points_on_segment(places: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    farthest = places[np.argmax(np.linalg.norm(places - places[0], axis=1))]
    origin = places[np.argmax(np.linalg.norm(places - farthest, axis=1))]
    return origin + generator.uniform(size=(size, 1)) * (farthest - origin)
