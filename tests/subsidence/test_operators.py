"""The operators are the equations that are meant: closed forms, mutations, and derivatives two other ways."""

import time

import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.ground import analytic
from tasks.subsidence.operators import (
    Jet,
    add,
    analytic_checks,
    groundwater_terms,
    multiply,
    scale,
    terzaghi_degree,
)
from tests.subsidence.physics_cases import fields, scattered

TERMS = ("storage", "xx", "yy", "grade_x", "grade_y", "source", "coefficient")


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    return analytic.run_cases(quick=False)


@pytest.mark.parametrize("case", sorted(analytic.LIMITS))
def test_closed_form_is_met(errors, case):
    assert errors[case] <= analytic.LIMITS[case]


def test_every_case_has_a_limit_and_every_limit_a_case(errors):
    assert set(errors) == set(analytic.LIMITS)


def test_quick_checks_take_less_than_a_second_of_work_and_meet_the_same_limits():
    analytic_checks()
    start = time.process_time()
    errors = analytic_checks()
    assert time.process_time() - start < 1.0
    assert all(errors[case] <= limit for case, limit in analytic.LIMITS.items())


def test_theis_well_in_single_precision():
    residual = analytic.scaled(analytic.theis_terms(500, tf.float32))
    assert residual.dtype == np.float32
    assert analytic.largest(residual) <= 1e-3


def test_theis_head_agrees_with_its_own_derivatives_near_the_well():
    terms = analytic.theis_terms(64, tf.float64)
    assert analytic.largest(analytic.scaled(terms._replace(residual=terms.lateral))) > 0.01


@pytest.mark.parametrize("term", TERMS)
def test_wrong_sign_of_a_term_is_visible(term):
    head, log_Ka, log_Sa, source = analytic.manufactured(500)
    wrong = {
        "storage": {"head": head._replace(t=-head.t)},
        "xx": {"head": head._replace(xx=-head.xx)},
        "yy": {"head": head._replace(yy=-head.yy)},
        "grade_x": {"log_Ka": log_Ka._replace(x=-log_Ka.x)},
        "grade_y": {"log_Ka": log_Ka._replace(y=-log_Ka.y)},
        "source": {"source": -source},
        "coefficient": {"log_Sa": log_Sa + np.log(1.1)},
    }[term]
    parts = {"head": head, "log_Ka": log_Ka, "log_Sa": log_Sa, "source": source, **wrong}
    assert analytic.largest(analytic.scaled(groundwater_terms(*parts.values()))) > 0.1


def test_steady_flow_needs_the_conductivity_gradient():
    head, log_Ka = analytic.steady_graded(64)
    assert analytic.relative_lateral(head, log_Ka._replace(x=0.0 * log_Ka.x)) > 0.1


def test_ten_per_cent_of_conductivity_is_a_residual_of_a_tenth_however_small_it_is_in_si():
    zero = tf.zeros(1, tf.float64)
    rate = (
        zero + analytic.HEAD_CHANGE_M / YEAR_S
    )  # one characteristic head change per year, all of it drained laterally
    head = Jet(zero, rate, zero, zero, 0.25 * rate, 0.75 * rate)
    right, wrong = (
        groundwater_terms(head, Jet(zero + np.log(K), x=zero, y=zero), zero + np.log(1e-5), zero)
        for K in (1e-5, 1.1e-5)
    )
    assert analytic.largest(analytic.scaled(right)) < 1e-12
    assert analytic.scaled(wrong)[0] == pytest.approx(-0.1, rel=1e-9)
    assert abs(1e-5 * float(wrong.residual[0])) < 1e-13  # 1/s: a floor of 1e-6 would have hidden it


def test_source_moves_the_head_by_its_own_rate():
    level = tf.zeros(1, tf.float64)
    flat = Jet(level, level + 2e-8, level, level, level, level)
    terms = groundwater_terms(flat, flat._replace(value=level - 11.0), level + np.log(1e-5), level + 2e-13)
    np.testing.assert_allclose(terms.residual, [0.0], atol=1e-20)


def test_products_and_sums_follow_the_rules_of_calculus():
    one = tf.ones(1, tf.float64)
    f = Jet(2.0 * one, 3.0 * one, 5.0 * one, one, 7.0 * one, one)
    g = Jet(11.0 * one, 13.0 * one, 17.0 * one, one, 19.0 * one, one)
    product = multiply(f, g)
    assert [float(part[0]) for part in (product.value, product.t, product.x, product.xx)] == [22.0, 59.0, 89.0, 285.0]
    total = scale(add(f, g), 2.0, 1.0)
    assert [float(part[0]) for part in (total.value, total.t, total.xx)] == [27.0, 32.0, 52.0]


def test_derivatives_that_are_not_carried_stay_absent():
    one = tf.ones((1, 2), tf.float64)
    product = multiply(Jet(one, x=one, y=one), Jet(one, one, one, one, one, one))
    assert product.t is None and product.xx is None
    np.testing.assert_allclose(product.x, 2.0 * one)


def test_degree_of_consolidation_has_its_textbook_values():
    np.testing.assert_allclose(terzaghi_degree(np.array([0.0, 0.008, 0.197, 0.848])), [0, 0.1009, 0.5, 0.9], atol=1e-3)


def test_derivatives_of_the_head_agree_with_nested_automatic_differentiation():
    layer = fields()
    coords, static, thickness = scattered()
    unit = layer.spec.coord_scale_si
    with tf.GradientTape() as outer:
        outer.watch(coords)
        with tf.GradientTape() as inner:
            inner.watch(coords)
            value = layer.bundle(coords, static, thickness).h.value
        slope = inner.gradient(value, coords)
    curvature = outer.batch_jacobian(slope, coords)
    jet = layer.bundle(coords, static, thickness).h
    for derivative, reference in (
        (jet.t, slope[:, 0] / unit.t),
        (jet.x, slope[:, 1] / unit.x),
        (jet.y, slope[:, 2] / unit.y),
        (jet.xx, curvature[:, 1, 1] / unit.x**2),
        (jet.yy, curvature[:, 2, 2] / unit.y**2),
    ):
        np.testing.assert_allclose(derivative, reference, rtol=1e-9, atol=1e-12 * np.max(np.abs(reference)))
