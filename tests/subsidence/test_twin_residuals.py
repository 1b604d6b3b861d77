"""Residuals of a city whose truth is known: what is left is the error of steps and grid, not of the equations."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.fields import FieldBundle
from tasks.subsidence.ground import residuals
from tasks.subsidence.ground.consolidation import Relaxation, Settlement, relax
from tasks.subsidence.operators import Jet
from tasks.subsidence.twin import TwinRequest, simulate
from tests.subsidence.physics_cases import SCALES, spec

GRADIENT_STEP = 7  # every seventh month is enough for the flow residual


@functools.cache
def truth(spacing_m: float = 250.0, grid: int = 64) -> dict[str, np.ndarray]:
    """An exactly observed city 16 km wide whose slowest ground relaxes in ten years."""
    request = TwinRequest(noise=False, tau_max_yr=10.0, grid=grid, spacing_m=spacing_m, points=1000, years=6)
    return simulate(request).truth


def settings(city: dict[str, np.ndarray]):
    change = {"s_c": float(np.diff(city["s_clean"], axis=1).std()), "h_c": float(np.diff(city["h"], axis=1).std())}
    return spec(scales=SCALES.model_copy(update=change), time_steps=1)


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def consolidation_residual(city: dict[str, np.ndarray], tau_factor: float = 1.0) -> np.ndarray:
    """Monthly, from the end of the first year, with the true modal state injected there."""
    s_eq = (city["Ss"] * city["H"])[:, None] * city["D_month"][:, 12:]
    dt = np.full((len(s_eq), s_eq.shape[1] - 1), float(city["dt_s"]))
    parts = (tf.constant(part) for part in (s_eq, dt, tau_factor * city["tau"][:, None]))
    path: Relaxation = relax(*parts, modes=5, state=tf.constant(city["modes"][:, 0]))
    published = tf.constant(city["s_month"][:, 13:] - city["s_month"][:, 12:13])
    nothing = tf.zeros_like(published)
    state = Settlement(published, nothing, nothing, nothing, path, 0)
    return residuals.consolidation(state, published, settings(city)).scaled.numpy()


def test_true_fields_and_state_leave_no_consolidation_residual():
    assert rms(consolidation_residual(truth())) <= 0.005


def test_ten_per_cent_of_relaxation_time_is_seen_above_that():
    assert rms(consolidation_residual(truth(), 1.1)) > 3.0 * rms(consolidation_residual(truth()))


def flow(city: dict[str, np.ndarray], spacing_m: float, Ka_factor: float = 1.0) -> list[residuals.Groundwater]:
    """Flow residual inside the grid, with central differences for the derivatives."""
    inner = (slice(1, -1), slice(1, -1))

    def slopes(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dy, dx = np.gradient(field, spacing_m)
        return dx[inner], dy[inner]

    def bends(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle = 2.0 * field[inner]
        xx = field[1:-1, 2:] - middle + field[1:-1, :-2]
        return xx / spacing_m**2, (field[2:, 1:-1] - middle + field[:-2, 1:-1]) / spacing_m**2

    found, log_Ka = [], np.log(Ka_factor * city["grid_Ka"])
    grade = dict(zip("xy", map(tf.constant, slopes(log_Ka)), strict=True))
    for month in range(1, len(city["grid_h"]), GRADIENT_STEP):
        head, before = city["grid_h"][month], city["grid_h"][month - 1]
        rate = ((head - before) / city["dt_s"])[inner]
        jet = Jet(*map(tf.constant, (head[inner], rate, *slopes(head), *bends(head))))
        source = tf.constant(city["grid_Q"][month - 1][inner])
        aquifer = {"log_Ka": Jet(tf.constant(log_Ka[inner]), **grade), "source": source}
        aquifer["log_Sa"] = Jet(tf.constant(np.log(city["grid_Sa"])[inner]))
        found.append(residuals.groundwater(FieldBundle(h=jet, H=source, **aquifer), settings(city)))
    return found


def relative(results: list[residuals.Groundwater]) -> float:
    """Residual over the lateral term."""
    left = rms([result.terms.residual for result in results])
    return left / rms([result.terms.lateral for result in results])


def test_flow_residual_of_the_truth_is_the_grid_error_and_shrinks_with_the_grid():
    coarse, fine = relative(flow(truth(), 250.0)), relative(flow(truth(125.0, 128), 125.0))
    assert coarse <= 0.02
    assert fine <= 0.4 * coarse


def test_ten_per_cent_of_aquifer_conductivity_is_seen_above_the_grid_error():
    assert relative(flow(truth(), 250.0, 1.1)) == pytest.approx(0.1, rel=0.2)


def test_lateral_flow_carries_its_share_in_an_aquifer_of_its_own():
    shares = [float(residuals.lateral_share(result.terms)) for result in flow(truth(), 250.0)]
    assert np.mean(shares) > 0.2
