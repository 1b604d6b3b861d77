"""Collocation points fill the hull of the data and nothing else, the same in every process."""

import numpy as np
import tensorflow as tf

from tasks.subsidence.ground.collocation import collocation_pool, draw
from tests.subsidence.physics_cases import site


def pool(size: int = 200, seed: int = 5):
    coords = site(30)[0].numpy()
    static = np.eye(30)
    return coords, collocation_pool(
        coords, static, np.arange(1.0, 31.0)[:, None] * np.ones((30, 3)), size=size, seed=seed
    )


def test_collocation_points_lie_in_the_hull_and_take_the_nearest_site():
    from scipy.spatial import Delaunay

    coords, points = pool()
    corners = coords[:, 0, 1:]
    centre = corners.mean(axis=0)
    inside = Delaunay(corners).find_simplex(centre + (points.coords[:, 1:] - centre) * (1.0 - 1e-5)) >= 0
    assert np.all(inside)
    assert points.coords[:, 0].min() >= 5.0 / 7.0 - 1e-6 and points.coords[:, 0].max() <= 1.0
    spread = np.ptp(corners, axis=0)
    distance = np.linalg.norm((corners[None] - points.coords[:, None, 1:]) / spread, axis=2)
    np.testing.assert_array_equal(np.argmax(points.static, axis=1), np.argmin(distance, axis=1))
    np.testing.assert_array_equal(points.thickness, np.argmin(distance, axis=1) + 1.0)


def test_collocation_points_spread_over_the_hull():
    coords = np.zeros((4, 1, 3))
    coords[:, 0, 1:] = [[0, 0], [1, 0], [1, 1], [0, 1]]
    points = collocation_pool(coords, np.zeros((4, 1)), np.ones((4, 1)), size=4000, seed=1)
    np.testing.assert_allclose(points.coords[:, 1:].mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(points.coords[:, 1:].var(axis=0), 1.0 / 12.0, atol=0.005)


def test_places_on_a_line_are_collocated_on_that_line():
    coords = np.zeros((3, 1, 3))
    coords[:, 0, 1] = coords[:, 0, 2] = [0.0, 0.5, 2.0]
    points = collocation_pool(coords, np.zeros((3, 1)), np.ones((3, 1)), size=50, seed=1)
    np.testing.assert_allclose(points.coords[:, 1], points.coords[:, 2], atol=1e-6)
    assert points.coords[:, 1].min() >= 0.0 and points.coords[:, 1].max() <= 2.0


def test_pool_and_draw_depend_on_their_seeds_only():
    (_, one), (_, two), (_, other) = pool(), pool(), pool(seed=6)
    np.testing.assert_array_equal(one.coords, two.coords)
    assert not np.array_equal(one.coords, other.coords)
    first, again, next_step = (draw(one.tensors(), 16, tf.constant([42, step]))[0] for step in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, next_step)
