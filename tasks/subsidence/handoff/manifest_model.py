"""The typed view of a Stage-1 manifest: every key that is read has a place here, every other key is kept and listed.

A key that is absent is None (or an empty block): whether it may be absent is for the audit to say.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr

_READ_EXTRAS = {"config.holdout.window_end_years"}


class _Block(BaseModel):
    """Immutable and strict, but unknown keys are kept: other people's tools write manifests too."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", protected_namespaces=())

    def has(self, *names: str) -> bool:
        """Whether all these keys are present and not null."""
        return all(getattr(self, name, None) is not None for name in names)

    def plain(self) -> dict[str, Any]:
        """What was given, as plain JSON values; keys that were absent stay absent."""
        return self.model_dump(mode="json", exclude_unset=True)


class AxisValues(_Block):
    """One number per coordinate axis."""

    t: float | None = None
    x: float | None = None
    y: float | None = None


class Columns(_Block):
    """Names of the panel's columns."""

    time: str | None = None
    lon: str | None = None
    lat: str | None = None
    time_numeric: str | None = None
    time_used: str | None = None
    x_base: str | None = None
    y_base: str | None = None
    x_used: str | None = None
    y_used: str | None = None
    subs_raw: str | None = None
    subs_model: str | None = None
    depth_raw: str | None = None
    head_raw: str | None = None
    depth_model: str | None = None
    head_model: str | None = None
    h_field_raw: str | None = None
    h_field_model: str | None = None
    z_surf_raw: str | None = None
    z_surf_static: str | None = None


class Features(_Block):
    """Names of the array columns, in order."""

    static: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    group_id_cols: tuple[str, ...] = ()


class Indices(_Block):
    """Where depth, subsidence and surface elevation stand in the arrays."""

    gwl_dyn_index: int | None = None
    subs_dyn_index: int | None = None
    gwl_dyn_name: str | None = None
    z_surf_static_index: int | None = None


class Conventions(_Block):
    """Kinds and signs of the groundwater quantities."""

    gwl_kind: str | None = None
    gwl_sign: str | None = None
    use_head_proxy: bool | None = None
    time_units: str | None = None
    gwl_driver_kind: str | None = None
    gwl_driver_sign: str | None = None
    gwl_target_kind: str | None = None
    gwl_target_sign: str | None = None


class ScalingKwargs(_Block):
    """Scaling and physics settings under their public names. Limits, floors and EPSG codes are judged by the audit."""

    subs_scale_si: float | None = None
    subs_bias_si: float | None = None
    head_scale_si: float | None = None
    head_bias_si: float | None = None
    H_scale_si: float | None = None
    H_bias_si: float | None = None
    subsidence_kind: str | None = None
    allow_subs_residual: bool | None = None
    coords_normalized: bool | None = None
    coord_order: tuple[str, ...] | None = None
    coord_ranges: AxisValues | None = None
    coord_mode: str | None = None
    coord_src_epsg: Any = None
    coord_target_epsg: Any = None
    coord_epsg_used: Any = None
    coords_in_degrees: bool | None = None
    deg_to_m_lon: float | None = None
    deg_to_m_lat: float | None = None
    lat_ref_deg: float | None = None
    coord_shift_mins: AxisValues | None = None
    cons_residual_units: str | None = None
    gw_residual_units: str | None = None
    cons_scale_floor: Any = None
    gw_scale_floor: Any = None
    dt_min_units: Any = None
    Q_kind: str | None = None
    Q_wrt_normalized_time: bool | None = None
    Q_in_si: bool | None = None
    Q_in_per_second: bool | None = None
    Q_length_in_si: bool | None = None
    drainage_mode: str | None = None
    cons_drawdown_mode: str | None = None
    cons_drawdown_rule: str | None = None
    cons_stop_grad_ref: bool | None = None
    cons_drawdown_zero_at_origin: bool | None = None
    cons_drawdown_clip_max: float | None = None
    cons_relu_beta: float | None = None
    mv_prior_units: str | None = None
    mv_prior_mode: str | None = None
    mv_alpha_disp: float | None = None
    mv_huber_delta: float | None = None
    mv_weight: float | None = None
    mv_schedule_unit: str | None = None
    mv_delay_epochs: int | None = None
    mv_warmup_epochs: int | None = None
    mv_delay_steps: int | None = None
    mv_warmup_steps: int | None = None
    scaling_error_policy: str | None = None
    clip_global_norm: float | None = None
    gwl_dyn_index: int | None = None
    subs_dyn_index: int | None = None
    gwl_dyn_name: str | None = None
    z_surf_static_index: int | None = None
    gwl_col: str | None = None
    gwl_dyn_col: str | None = None
    gwl_target_col: str | None = None
    subs_model_col: str | None = None
    z_surf_col: str | None = None


class ScalerInfo(_Block):
    """Which column of which scaler a feature went through."""

    scaler_path: str | None = None
    all_features: tuple[str, ...] = ()
    idx: int | None = None


class CensorReport(_Block):
    """How one column was capped."""

    direction: str | None = None
    cap: float | None = None
    flag_col: str | None = None
    eff_col: str | None = None
    eff_mode: str | None = None
    censored_rate: float | None = None


class Censoring(_Block):
    """Capped columns: what was asked for and what was found."""

    specs: tuple[dict[str, Any], ...] = ()
    report: dict[str, CensorReport] = {}
    use_effective_h_field: bool | None = None
    flags_as_dynamic: bool | None = None
    flags_as_future: bool | None = None


class Holdout(_Block):
    """How groups were split, and where each split's groups are listed."""

    strategy: str | None = None
    seed: int | None = None
    val_frac: float | None = None
    test_frac: float | None = None
    group_counts: dict[str, int] = {}
    row_counts_hist: dict[str, int] = {}
    sequence_counts: dict[str, int] = {}
    requirements: dict[str, Any] = {}
    artifacts: dict[str, str | None] = {}
    group_cols: tuple[str, ...] = ()
    coord_cols_for_blocking: dict[str, Any] = {}
    block_size_m: float | None = None


class Stage1Config(_Block):
    """The `config` block."""

    TIME_STEPS: int | None = None
    FORECAST_HORIZON_YEARS: int | None = None
    MODE: str | None = None
    TRAIN_END_YEAR: int | None = None
    FORECAST_START_YEAR: int | None = None
    cols: Columns = Columns()
    features: Features = Features()
    indices: Indices = Indices()
    conventions: Conventions = Conventions()
    scaling_kwargs: ScalingKwargs = ScalingKwargs()
    scaler_info: dict[str, ScalerInfo] = {}
    feature_registry: dict[str, Any] = {}
    censoring: Censoring = Censoring()
    units_provenance: dict[str, Any] = {}
    holdout: Holdout = Holdout()


class Encoders(_Block):
    """Fitted encoders and scalers of the preparation; archives of Python objects, never opened."""

    ohe: dict[str, str | None] = {}
    coord_scaler: str | None = None
    main_scaler: str | None = None
    scaled_ml_numeric_cols: tuple[str, ...] = ()


class Sequences(_Block):
    """Sequence archive and output widths."""

    joblib_train_sequences: str | None = None
    dims: dict[str, int] = {}


class Artifacts(_Block):
    """The files of the handoff. `sha256` (path relative to the manifest: hex digest) is ours, absent elsewhere."""

    csv: dict[str, str | None] = {}
    encoders: Encoders = Encoders()
    sequences: Sequences = Sequences()
    numpy: dict[str, str | None] = {}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    sha256: dict[str, str] = {}


class Paths(_Block):
    """Folders as they were on the machine that wrote the handoff."""

    run_dir: str | None = None
    artifacts_dir: str | None = None


class Versions(_Block):
    """Packages that wrote the handoff."""

    python: str | None = None
    tensorflow: str | None = None
    numpy: str | None = None
    pandas: str | None = None
    sklearn: str | None = None


class Stage1Manifest(_Block):
    """A Stage-1 manifest. `faults` lists keys whose value had a wrong type; they count as absent."""

    schema_version: str | None = None
    timestamp: str | None = None
    city: str | None = None
    model: str | None = None
    stage: str | None = None
    config: Stage1Config = Stage1Config()
    artifacts: Artifacts = Artifacts()
    paths: Paths = Paths()
    versions: Versions = Versions()
    _faults: tuple[str, ...] = PrivateAttr(default=())

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence per key that had a wrong type and was set aside."""
        return self._faults

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """Dotted places of keys that nothing here reads; their values are kept."""
        return tuple(sorted(set(_extras(self, "")) - _READ_EXTRAS))

    @property
    def depth_index(self) -> int | None:
        """Dynamic column of depth below ground."""
        return self._place("gwl_dyn_index", self.config.cols.depth_model, self.config.features.dynamic)

    @property
    def subsidence_index(self) -> int | None:
        """Dynamic column of cumulative subsidence."""
        return self._place("subs_dyn_index", self.config.cols.subs_model, self.config.features.dynamic)

    @property
    def z_surf_index(self) -> int | None:
        """Static column of surface elevation."""
        return self._place("z_surf_static_index", self.config.cols.z_surf_static, self.config.features.static)

    def _place(self, key: str, column: str | None, names: tuple[str, ...]) -> int | None:
        """From `indices`, else from scaling_kwargs, else by the column's name."""
        for block in (self.config.indices, self.scaling):
            if getattr(block, key) is not None:
                return getattr(block, key)
        return names.index(column) if column in names else None

    def window_end(self, split: str) -> int | None:
        """Last target year of the windows of a split: holdout.window_end_years where recorded, else TRAIN_END_YEAR."""
        ends = (self.config.holdout.model_extra or {}).get("window_end_years")
        year = ends.get(split) if isinstance(ends, dict) else None
        return year if isinstance(year, int) and not isinstance(year, bool) else self.config.TRAIN_END_YEAR

    @property
    def scaling(self) -> ScalingKwargs:
        """Short for config.scaling_kwargs."""
        return self.config.scaling_kwargs

    def one_hot_blocks(self) -> dict[str, tuple[int, ...]]:
        """Category name to its static columns, read from the feature names; the longest matching name wins."""
        named = self.config.feature_registry.get("resolved_optional_categorical")
        known = [name for name in named if isinstance(name, str)] if isinstance(named, list | tuple) else []
        categories = sorted({*known, *self.artifacts.encoders.ohe}, key=len, reverse=True)
        blocks: dict[str, list[int]] = {}
        for column, name in enumerate(self.config.features.static):
            owner = next((category for category in categories if name.startswith(f"{category}_")), None)
            if owner is not None and name != self.config.cols.z_surf_static:
                blocks.setdefault(owner, []).append(column)
        return {name: tuple(columns) for name, columns in blocks.items()}


def _extras(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{place}{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{place}{name}.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _extras(inner, f"{place}{name}.")
