"""Every physics setting reaches the description that the model is rebuilt from."""

import json

import pytest

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.ground.physics import PhysicsSpec, physics_spec
from tasks.subsidence.semantics import Affine, Axes, Semantics, Standardisation
from tasks.subsidence.settings.table import OWNERSHIP
from tests.subsidence.physics_cases import BOUNDS, MINIMUM, RANGE, SCALES


def semantics(**changes) -> Semantics:
    standard = Standardisation(
        sigma_s=(0.01,) * 3, sigma_h=(0.7,) * 3, mean={"depth": 1.5, "z_surf": 0.5}, std={"depth": 0.6, "z_surf": 0.8}
    )
    values = {
        "city": "toy", "time_steps": 5, "horizon": 3, "mode": "tft_like", "train_end_year": 2022,
        "forecast_start_year": 2023, "time_units": "year", "seconds_per_time_unit": YEAR_S,
        "dynamic_names": ("depth", "subsidence"), "static_names": ("a", "b", "z"), "future_names": (),
        "depth_index": 0, "subsidence_index": 1, "z_surf_index": 2, "one_hot_blocks": {"soil": (0, 1)},
        "use_head_proxy": False, "coords_normalized": True, "coord_range": RANGE, "coord_min": MINIMUM,
        "coord_scale_si": Axes(t=RANGE.t * YEAR_S, x=RANGE.x, y=RANGE.y), "epsg": 32649, "georeference": "absolute",
        "future_time_shift": 0.0, "subsidence_affine": Affine(), "head_affine": Affine(scale=0.01),
        "thickness_affine": Affine(), "thickness_cap_m": 30.0, "standardisation": standard, "residual_scales": SCALES,
        "bounds": BOUNDS, "public": {},
    }  # fmt: skip
    return Semantics(**{**values, **changes})


def config(**changes) -> dict:
    return {**{name: key.default for name, key in OWNERSHIP.items()}, **changes}


def test_default_configuration_gives_the_default_physics():
    built = physics_spec(semantics(), config())
    assert built.names == ("log_K", "log_Ss", "log_Ka", "log_Sa", "dlogtau", "e0", "h", "Q")
    assert (built.modes, built.drainage_factor, built.h_ref) == (5, 0.6, "auto")
    assert built.class_columns == (0, 1)
    assert (built.head_mean_m, built.head_scale_m) == (-1.0, 1.0)
    assert PhysicsSpec.from_json(json.loads(json.dumps(built.to_json()))) == built


CHANGES = [
    ({"PDE_MODE_CONFIG": "consolidation"}, {"pde_mode": "consolidation"}),
    ({"GW_LAYER": "shared"}, {"gw_layer": "shared"}),
    ({"IDENTIFIABILITY_REGIME": "closure_locked"}, {"closure_locked": True}),
    ({"IDENTIFIABILITY_REGIME": "data_relaxed"}, {"time_varying": True}),
    ({"GEOPRIOR_KAPPA_MODE": "bar"}, {"kappa_mode": "bar"}),
    ({"GEOPRIOR_HD_FACTOR": 1.0}, {"drainage_factor": 1.0}),
    ({"GEOPRIOR_USE_EFFECTIVE_H": False}, {"drainage_factor": 0.5}),
    ({"GEOPRIOR_USE_EFFECTIVE_H": False, "DRAINAGE_MODE": "single"}, {"drainage_factor": 1.0}),
    ({"GEOPRIOR_INIT_MV": 1e-8}, {"init_mv": 1e-8}),
    ({"GEOPRIOR_INIT_KAPPA": 2.0}, {"init_kappa": 2.0}),
    ({"GEOPRIOR_H_REF": 3}, {"h_ref": 3.0}),
    ({"PHYSICS_BOUNDS_MODE": "soft"}, {"bounds_mode": "soft"}),
    ({"CONSOLIDATION_MODES": 1}, {"modes": 1}),
    ({"CONS_STEP": "constant"}, {"step": "constant"}),
    ({"CONSOLIDATION_STEP_RESIDUAL_METHOD": "backward_euler"}, {"residual_method": "backward_euler"}),
    ({"SCALE_PDE_RESIDUALS": False}, {"scale_residuals": False}),
    ({"CONS_RESIDUAL_UNITS": "step"}, {"cons_units": "step"}),
    ({"GW_RESIDUAL_UNITS": "time_unit"}, {"gw_units": "time_unit"}),
    ({"DT_MIN_UNITS": 0.5}, {"dt_min_units": 0.5}),
]


@pytest.mark.parametrize("changed, expected", CHANGES)
def test_a_setting_reaches_the_physics(changed, expected):
    built = physics_spec(semantics(), config(**changed))
    assert {name: getattr(built, name) for name in expected} == expected


def test_grouped_settings_reach_their_groups():
    built = physics_spec(
        semantics(),
        config(
            BOUNDS_LOSS_KIND="residual", BOUNDS_BETA=30.0, BOUNDS_GUARD=2.0, BOUNDS_W=2.0, BOUNDS_INCLUDE_TAU=False,
            BOUNDS_TAU_W=3.0, CONS_DRAWDOWN_MODE="relu", CONS_DRAWDOWN_RULE="mean_minus_ref", CONS_RELU_BETA=10.0,
            CONS_DRAWDOWN_CLIP_MAX=4.0, CONS_STOP_GRAD_REF=False, Q_KIND="head_rate", Q_LENGTH_IN_SI=True,
            Q_IN_PER_SECOND=True, AQUIFER_THICKNESS=35.0, MV_PRIOR_MODE="field", MV_HUBER_DELTA=2.0, MV_ALPHA_DISP=0.3,
        ),
    )  # fmt: skip
    assert list(built.barrier.model_dump().values()) == ["residual", 30.0, 2.0, 2.0, False, 3.0]
    assert list(built.drawdown.model_dump().values()) == ["relu", "mean_minus_ref", 10.0, 4.0, False]
    assert list(built.source.model_dump().values()) == ["head_rate", False, False, True, True, 0.01, 35.0]
    assert list(built.storage_prior.model_dump().values()) == ["field", 2.0, 0.3]


def test_source_per_normalized_time_and_per_second_contradict_each_other():
    with pytest.raises(ConfigError, match=r"Q_WRT_NORMALIZED_TIME.*per second"):
        physics_spec(semantics(), config(Q_WRT_NORMALIZED_TIME=True, Q_IN_SI=True))


def test_metric_coordinates_need_their_minima():
    raw = {"coords_normalized": False, "coord_scale_si": Axes(t=YEAR_S, x=1.0, y=1.0)}
    built = physics_spec(semantics(**raw), config())
    assert built.coord_center == Axes(t=2018.5, x=745_594.4375, y=2_488_542.375)
    with pytest.raises(ConfigError, match="coord_min"):
        physics_spec(semantics(coord_min=None, **raw), config())
