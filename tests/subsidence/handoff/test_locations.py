"""Joins by place."""

import numpy as np

from tasks.subsidence.handoff.locations import match, unique_places


def test_match_finds_the_nearest_place_within_the_tolerance():
    reference = np.array([[0.0, 0.0], [100.0, 0.0]])
    index, found = match(np.array([[99.5, 0.0], [0.0, 0.2], [50.0, 0.0]]), reference)
    assert index[:2].tolist() == [1, 0]
    assert found.tolist() == [True, True, False]


def test_unique_places_keep_the_order_of_first_appearance():
    first, place = unique_places(np.array([5.0, 1.0, 5.0, 3.0]), np.array([0.0, 0.0, 0.0, 0.0]))
    assert first.tolist() == [0, 1, 3]
    assert place.tolist() == [0, 1, 0, 2]
