"""A source means what its kind and flags say."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.ground.sources import volumetric_source
from tests.subsidence.physics_cases import SCALES, fields, site, spec

SOURCE_CASES = [
    ({"kind": "per_volume"}, 2.0 / YEAR_S),
    ({"kind": "per_volume", "wrt_normalized_time": True}, 2.0 / (7.0 * YEAR_S)),
    ({"kind": "per_volume", "in_per_second": True}, 2.0),
    ({"kind": "per_volume", "in_si": True}, 2.0),
    ({"kind": "per_volume", "head_unit_m": 0.01}, 2.0 / YEAR_S),
    ({"kind": "recharge_rate"}, 2.0 / YEAR_S / 20.0),
    ({"kind": "recharge_rate", "aquifer_thickness_m": 50.0}, 2.0 / YEAR_S / 50.0),
    ({"kind": "recharge_rate", "head_unit_m": 0.01}, 0.02 / YEAR_S / 20.0),
    ({"kind": "recharge_rate", "head_unit_m": 0.01, "length_in_si": True}, 2.0 / YEAR_S / 20.0),
    ({"kind": "recharge_rate", "head_unit_m": 0.01, "in_si": True}, 2.0 / 20.0),
    ({"kind": "head_rate"}, 1e-5 * 2.0 / YEAR_S),
    ({"kind": "head_rate", "in_per_second": True, "head_unit_m": 0.01}, 1e-5 * 0.02),
]


@pytest.mark.parametrize("term, expected", SOURCE_CASES)
def test_source_kinds_and_flags_change_the_units_they_name(term, expected):
    one = tf.ones((), tf.float64)
    rate = volumetric_source(2.0 * one, np.log(1e-5) * one, 12.0 * one, spec(source=term))
    assert float(rate) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("thickness, divisor", [(12.0, 12.0), (0.4, 1.0)])
def test_recharge_into_a_shared_layer_spreads_over_its_thickness(thickness, divisor):
    one = tf.ones((), tf.float64)
    settings = spec(source={"kind": "recharge_rate", "in_si": True}, gw_layer="shared")
    assert float(volumetric_source(one, -11.0 * one, thickness * one, settings)) == pytest.approx(1.0 / divisor)


@pytest.mark.parametrize("kind", ["per_volume", "recharge_rate", "head_rate"])
@pytest.mark.parametrize("flag", [None, "wrt_normalized_time", "in_si", "in_per_second"])
def test_source_starts_small_whatever_its_units(kind, flag):
    layer = fields(lively=False, source={"kind": kind, **({flag: True} if flag else {})})
    unit = SCALES.Sa_c * SCALES.h_c / SCALES.T_c
    assert 0.0 < np.max(np.abs(layer.bundle(*site()).source)) / unit < 1.0
