"""Settings that the handoff has a say in: owned by it, agreed with it, merged with it, or only its own concern."""

from tasks.subsidence.settings.key import Key

PHYSICS_BOUNDS = {
    "K_min": 1e-12,
    "K_max": 1e-7,
    "Ss_min": 1e-6,
    "Ss_max": 1e-3,
    "tau_min": 604_800.0,
    "tau_max": 9_467_085_600.0,
    "H_min": 0.1,
    "H_max": 30.0,
    "Ka_min": 1e-7,
    "Ka_max": 1e-3,
    "Sa_min": 1e-6,
    "Sa_max": 1e-4,
}


def _owned(name: str, kind: str, doc: str, manifest: str, **rest) -> Key:
    return Key(name, "manifest", kind, None, doc, manifest=manifest, **rest)


def _block(name: str, doc: str) -> Key:
    return _owned(name, "map", doc, name)


def _scaling(name: str, kind: str, doc: str, **rest) -> Key:
    return _owned(name, kind, doc, f"scaling_kwargs.{name}", **rest)


MANIFEST_OWNED = (
    _owned("TIME_STEPS", "int", "History steps of a window.", "TIME_STEPS", low=1, high=1000),
    _owned("FORECAST_HORIZON_YEARS", "int", "Forecast steps of a window.", "FORECAST_HORIZON_YEARS", low=1, high=1000),
    _owned("MODE", "text", "Layout of the future drivers.", "MODE", choices=("tft_like", "pihal_like")),
    _owned("TRAIN_END_YEAR", "int", "Last year of the targets.", "TRAIN_END_YEAR", low=1800, high=2300),
    _owned("FORECAST_START_YEAR", "int", "First year to forecast.", "FORECAST_START_YEAR", low=1800, high=2300),
    _block("cols", "Column names of the panel."),
    _block("features", "Feature names in array order."),
    _block("indices", "Positions of depth, subsidence and surface elevation."),
    _block("conventions", "Kind and sign of groundwater columns."),
    _block("feature_registry", "What the preparation was asked for."),
    _block("censoring", "Capped columns."),
    _block("units_provenance", "Unit factors already applied."),
    _block("holdout", "How groups were split."),
    _block("scaler_info", "Scaled features."),
    _owned("DYNAMIC_FEATURE_NAMES", "texts", "Dynamic features in order.", "features.dynamic"),
    _owned("FUTURE_FEATURE_NAMES", "texts", "Future drivers in order.", "features.future"),
    _owned("GWL_DYN_INDEX", "int", "Dynamic column of depth.", "indices.gwl_dyn_index", low=0, high=100_000),
    _owned("SUBS_SCALE_SI", "float", "Factor from stored subsidence to m.", "scaling_kwargs.subs_scale_si"),
    _owned("SUBS_BIAS_SI", "float", "Offset of subsidence, m.", "scaling_kwargs.subs_bias_si"),
    _owned("HEAD_SCALE_SI", "float", "Factor from stored head to m.", "scaling_kwargs.head_scale_si"),
    _owned("HEAD_BIAS_SI", "float", "Offset of head, m.", "scaling_kwargs.head_bias_si"),
    _owned("H_SCALE_SI", "float", "Factor from stored thickness to m.", "scaling_kwargs.H_scale_si"),
    _owned("H_BIAS_SI", "float", "Offset of thickness, m.", "scaling_kwargs.H_bias_si"),
    _scaling("coords_normalized", "bool", "Whether coordinates are divided by their range."),
    _scaling("coord_order", "texts", "Order of the coordinate axes.", choices=("t", "x", "y")),
    _scaling("coord_ranges", "map", "Range of each axis."),
    _scaling("coord_epsg_used", "int", "Projection of x and y.", low=1024, high=999_999),
    _scaling("coord_target_epsg", "int", "Projection asked for.", low=1024, high=999_999),
    _scaling("coords_in_degrees", "bool", "Whether x and y are degrees."),
    _scaling("deg_to_m_lon", "float", "Metres per degree of longitude."),
    _scaling("deg_to_m_lat", "float", "Metres per degree of latitude."),
    _scaling("lat_ref_deg", "float", "Latitude of these factors.", low=-90, high=90),
    _scaling("coord_shift_mins", "map", "Minima taken off the coordinates."),
)


def _agreed(name: str, kind: str, doc: str, manifest: str, **rest) -> Key:
    return Key(name, "must-agree", kind, None, doc, manifest=manifest, **rest)


MUST_AGREE = (
    _agreed("CITY_NAME", "text", "City of the handoff; CITY and --city are the same setting.", "city"),
    _agreed("GWL_KIND", "text", "Kind of the raw groundwater column.", "conventions.gwl_kind"),
    _agreed(
        "GWL_SIGN",
        "text",
        "Sign of the raw groundwater column.",
        "conventions.gwl_sign",
        choices=("down_positive", "up_positive"),
    ),
    _agreed(
        "USE_HEAD_PROXY", "bool", "Head is minus depth where no surface elevation exists.", "conventions.use_head_proxy"
    ),
    _agreed("TIME_UNITS", "text", "Unit of the time coordinate.", "conventions.time_units"),
    _agreed(
        "SUBSIDENCE_KIND", "text", "Cumulative subsidence since the first panel year.", "scaling_kwargs.subsidence_kind"
    ),
    _agreed("COORD_MODE", "text", "What the raw coordinates were.", "scaling_kwargs.coord_mode"),
    _agreed("UTM_EPSG", "int", "Projection of x and y.", "scaling_kwargs.coord_epsg_used", low=1024, high=999_999),
    _agreed(
        "COORD_SRC_EPSG",
        "int",
        "Projection of the raw coordinates.",
        "scaling_kwargs.coord_src_epsg",
        low=1024,
        high=999_999,
    ),
)


def _merged(name: str, kind: str, default, doc: str, manifest: str = "", **rest) -> Key:
    place = f"scaling_kwargs.{manifest}" if manifest else ""
    return Key(name, "merged", kind, default, doc, manifest=place, **rest)


_ZERO_ALWAYS = "the drawdown and its slope are zero at the origin whatever this says"
MERGED = (
    _merged(
        "PHYSICS_BOUNDS",
        "numbers",
        PHYSICS_BOUNDS,
        "Linear SI limits of the fields.",
        "bounds",
        sub_keys=tuple(PHYSICS_BOUNDS),
        low=0,
        high=1e12,
        open_low=True,
    ),
    _merged(
        "SUBS_WEIGHTS",
        "weights",
        {},
        "Weight per quantile level of subsidence; 1 where not named.",
        low=0,
        high=1e3,
        open_low=True,
    ),
    _merged(
        "GWL_WEIGHTS",
        "weights",
        {},
        "Weight per quantile level of head; 1 where not named.",
        low=0,
        high=1e3,
        open_low=True,
    ),
    _merged(
        "Q_KIND",
        "text",
        "per_volume",
        "What the forcing Q is.",
        "Q_kind",
        choices=("per_volume", "recharge_rate", "head_rate"),
    ),
    _merged("Q_WRT_NORMALIZED_TIME", "bool", False, "Q is per normalized time.", "Q_wrt_normalized_time"),
    _merged("Q_IN_SI", "bool", False, "Q is already in SI.", "Q_in_si"),
    _merged("Q_IN_PER_SECOND", "bool", False, "Q is already per second.", "Q_in_per_second"),
    _merged("Q_LENGTH_IN_SI", "bool", False, "The length in Q is already in metres.", "Q_length_in_si"),
    _merged(
        "CONS_DRAWDOWN_MODE",
        "text",
        "smooth_relu",
        "Shape of the drawdown near zero.",
        "cons_drawdown_mode",
        choices=("relu", "smooth_relu"),
    ),
    _merged(
        "CONS_DRAWDOWN_RULE",
        "text",
        "ref_minus_mean",
        "Sign of the drawdown.",
        "cons_drawdown_rule",
        choices=("ref_minus_mean", "mean_minus_ref"),
    ),
    _merged(
        "CONS_DRAWDOWN_ZERO_AT_ORIGIN",
        "bool",
        False,
        "Public switch for a drawdown of 0 at 0.",
        "cons_drawdown_zero_at_origin",
        settled=_ZERO_ALWAYS,
    ),
    _merged(
        "CONS_DRAWDOWN_CLIP_MAX",
        "float",
        None,
        "Largest drawdown, m.",
        "cons_drawdown_clip_max",
        low=0,
        high=1e4,
        open_low=True,
        nullable=True,
    ),
    _merged("CONS_STOP_GRAD_REF", "bool", True, "No gradient into the reference head.", "cons_stop_grad_ref"),
    _merged(
        "CONS_RELU_BETA",
        "float",
        20.0,
        "Steepness of smooth_relu, 1/m.",
        "cons_relu_beta",
        low=0,
        high=1e4,
        open_low=True,
    ),
    _merged(
        "MV_PRIOR_UNITS",
        "text",
        "strict",
        "The prior compares SI values.",
        "mv_prior_units",
        choices=("strict",),
        settled="the prior always compares SI values",
    ),
    _merged(
        "MV_PRIOR_MODE",
        "text",
        "calibrate",
        "calibrate: no gradient into Ss; field: with it; off: no prior.",
        "mv_prior_mode",
        choices=("calibrate", "field", "off"),
    ),
    _merged("MV_ALPHA_DISP", "float", 0.1, "Weight of the spread in the m_v prior.", "mv_alpha_disp", low=0, high=1e3),
    _merged(
        "MV_HUBER_DELTA",
        "float",
        1.0,
        "Where the m_v prior turns linear.",
        "mv_huber_delta",
        low=0,
        high=1e3,
        open_low=True,
    ),
    _merged(
        "MV_WEIGHT", "float", 1e-3, "Final weight inside the m_v prior, times LAMBDA_MV.", "mv_weight", low=0, high=1e3
    ),
    _merged(
        "MV_SCHEDULE_UNIT", "text", "epoch", "Unit of the m_v schedule.", "mv_schedule_unit", choices=("epoch", "step")
    ),
    _merged("MV_DELAY_EPOCHS", "int", 1, "Epochs without the m_v prior.", "mv_delay_epochs", low=0, high=100_000),
    _merged("MV_WARMUP_EPOCHS", "int", 2, "Epochs in which it fades in.", "mv_warmup_epochs", low=0, high=100_000),
    _merged(
        "MV_DELAY_STEPS",
        "int",
        None,
        "The same in steps (unit step).",
        "mv_delay_steps",
        low=0,
        high=100_000_000,
        nullable=True,
    ),
    _merged(
        "MV_WARMUP_STEPS",
        "int",
        None,
        "The same in steps (unit step).",
        "mv_warmup_steps",
        low=0,
        high=100_000_000,
        nullable=True,
    ),
    _merged(
        "DT_MIN_UNITS",
        "float",
        1e-6,
        "Smallest time step, in time units.",
        "dt_min_units",
        low=0,
        high=1,
        open_low=True,
    ),
    _merged(
        "DRAINAGE_MODE",
        "text",
        "double",
        "Drained from both sides or one.",
        "drainage_mode",
        choices=("double", "single"),
    ),
    _merged(
        "CONS_RESIDUAL_UNITS",
        "text",
        "second",
        "Time unit of the reported raw residual.",
        "cons_residual_units",
        choices=("second", "time_unit", "step"),
    ),
    _merged(
        "GW_RESIDUAL_UNITS",
        "text",
        "second",
        "Time unit of the reported raw residual.",
        "gw_residual_units",
        choices=("second", "time_unit"),
    ),
    _merged(
        "CONS_SCALE_FLOOR",
        "float",
        3e-11,
        "Raw scale below which a residual is flagged, m/s; never a clamp.",
        "cons_scale_floor",
        low=0,
        high=1e3,
    ),
    _merged(
        "GW_SCALE_FLOOR",
        "float",
        1e-12,
        "Raw scale below which a residual is flagged, 1/s; never a clamp.",
        "gw_scale_floor",
        low=0,
        high=1e3,
    ),
    _merged(
        "SCALING_ERROR_POLICY",
        "text",
        "raise",
        "When georeference sources contradict each other.",
        "scaling_error_policy",
        choices=("raise", "warn"),
    ),
)

_STAGE1_NAMES = (
    "DATA_DIR",
    "DATASET_VARIANT",
    "BIG_FN",
    "BIG_FN_TEMPLATE",
    "SMALL_FN",
    "SMALL_FN_TEMPLATE",
    "ALL_CITIES_PARQUET",
    "TIME_COL",
    "LON_COL",
    "LAT_COL",
    "SUBSIDENCE_COL",
    "H_FIELD_COL_NAME",
    "GWL_COL",
    "Z_SURF_COL",
    "HEAD_COL",
    "INCLUDE_Z_SURF_AS_STATIC",
    "NORMALIZE_COORDS",
    "KEEP_COORDS_RAW",
    "SHIFT_RAW_COORDS",
    "SCALE_H_FIELD",
    "SCALE_GWL",
    "SCALE_Z_SURF",
    "ALREADY_NORMALIZED_FEATURES",
    "FUTURE_DRIVER_FEATURES",
    "CENSORING_SPECS",
    "INCLUDE_CENSOR_FLAGS_AS_DYNAMIC",
    "INCLUDE_CENSOR_FLAGS_AS_FUTURE",
    "USE_EFFECTIVE_H_FIELD",
    "BUILD_FUTURE_NPZ",
    "VAL_FRAC",
    "TEST_FRAC",
    "H_FIELD_MIN_SI",
    "AUTO_SI_AFFINE_FROM_STAGE1",
    "PHYSICS_BASELINE_MODE",
)
STAGE1_PATTERNS = ("OPTIONAL_*", "SPLIT_*", "HOLDOUT_*", "TUNER_*", "*_UNIT_TO_SI")
STAGE1_ONLY = tuple(
    Key(name, "stage1-only", "any", None, "Setting of the preparation.", nullable=True)
    for name in (*_STAGE1_NAMES, *STAGE1_PATTERNS)
)

ALIASES = {
    "CITY": "CITY_NAME",
    "CONSOLIDATION_RESIDUAL_UNITS": "CONS_RESIDUAL_UNITS",
    "COORD_TARGET_EPSG": "coord_target_epsg",
}
