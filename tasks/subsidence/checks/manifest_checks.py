"""Checks of what the manifest says: stage, schema, city, years, indices, names, spellings."""

from collections.abc import Iterator
from typing import Any

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.registry import Finding, Note, Outcome, check
from tasks.subsidence.handoff.manifest_parse import REQUIRED_BUNDLES, STAGE_TAGS

SCHEMAS = ("3.2", "stagegate-1")
WRONG_MANIFEST = "Pass the manifest of the run that was meant (--stage1-manifest)."
REQUIRED_KEYS = (
    "timestamp",
    "city",
    "stage",
    "config.TIME_STEPS",
    "config.FORECAST_HORIZON_YEARS",
    "config.MODE",
    "config.TRAIN_END_YEAR",
    "config.FORECAST_START_YEAR",
    "config.features",
    "config.indices",
    "config.conventions",
    "config.scaling_kwargs",
    "config.scaling_kwargs.coords_normalized",
    "artifacts",
    *(f"artifacts.numpy.{name}_npz" for name in REQUIRED_BUNDLES),
)
MODES = ("tft_like", "pihal_like")
LIVE_KEYS = ("TIME_STEPS", "FORECAST_HORIZON_YEARS", "MODE", "TRAIN_END_YEAR", "FORECAST_START_YEAR")
DEPTH_NAMES = frozenset({"z_GWL", "Z_GWL", "gwl", "GWL", "depth_to_water"})
# Spellings that have been in use for one and the same setting.
SPELLINGS = (
    ("time_units", "time_unit"),
    ("cons_residual_units", "cons_residual_unit", "consolidation_residual_units"),
    ("gw_residual_units", "gw_residual_unit"),
    ("scaling_error_policy", "error_policy", "scaling_policy"),
    ("coords_normalized", "coord_normalized", "coords_norm"),
    ("coords_in_degrees", "coord_in_degrees", "coords_deg"),
    ("coord_order", "coords_order"),
    ("coord_ranges", "coord_range"),
    ("gwl_col", "gwl_dyn_name", "gwl_dyn_col", "gwl_name"),
    ("subs_model_col", "subs_dyn_name", "subs_col", "subs_dyn_col", "subsidence_dyn_name"),
    ("gwl_dyn_index", "gwl_index", "gwl_feature_index", "gwl_channel_index"),
    ("subs_dyn_index", "subs_index", "subs_feature_index", "subs_channel_index"),
    ("z_surf_col", "z_surf_key", "z_surf_name"),
    ("cons_drawdown_mode", "drawdown_mode", "cons_delta_mode"),
    ("cons_drawdown_rule", "drawdown_rule", "cons_delta_rule"),
    ("cons_stop_grad_ref", "stop_grad_ref", "cons_stopgrad_ref"),
    ("cons_relu_beta", "relu_beta", "cons_beta"),
    ("mv_prior_mode", "mv_mode", "mvprior_mode", "mv_prior_kind"),
)


@check("M-01", "fail", pub="y")
def stage_tag(e: Evidence) -> Iterator[Outcome]:
    """The manifest is one of Stage-1."""
    stage = e.manifest.stage
    if (stage or "").strip().lower() not in STAGE_TAGS:
        yield Finding(
            "manifest.json",
            f"stage is {stage!r}, not a Stage-1 tag",
            ", ".join(STAGE_TAGS),
            repr(stage),
            "Pass the manifest that Stage-1 wrote, not one of a later stage.",
        )


@check("M-02", "fail", pub="-")
def schema_and_keys(e: Evidence) -> Iterator[Outcome]:
    """The schema is known; required keys are there, with the right types."""
    version = e.manifest.schema_version
    if version not in SCHEMAS:
        yield Finding(
            "manifest.json",
            f"schema_version is {version!r}, known are {', '.join(SCHEMAS)}",
            " or ".join(SCHEMAS),
            repr(version),
            "Re-run Stage-1 with a version whose schema is known.",
        )
    given = e.manifest.plain()
    absent = [place for place in REQUIRED_KEYS if _lookup(given, place) in (None, {})]
    if absent:
        yield Finding("manifest.json", f"lacks {', '.join(absent)}", "all required keys", "absent", WRONG_MANIFEST)
    for fault in e.manifest.faults:
        yield Finding("manifest.json", fault, "the documented type", "", WRONG_MANIFEST)
    mode = e.manifest.config.MODE
    if mode is not None and mode not in MODES:
        yield Finding(
            "manifest.json config.MODE",
            f"is {mode!r}, known are {', '.join(MODES)}",
            " or ".join(MODES),
            repr(mode),
            WRONG_MANIFEST,
        )
    yield from _positive_lengths(e)
    if e.manifest.unknown_keys:
        yield Note(f"keys kept but not read: {', '.join(e.manifest.unknown_keys)}")


def _positive_lengths(e: Evidence) -> Iterator[Outcome]:
    for key in ("TIME_STEPS", "FORECAST_HORIZON_YEARS"):
        value = getattr(e.manifest.config, key)
        if value is not None and value < 1:
            yield Finding(f"manifest.json config.{key}", f"is {value}", "at least 1", str(value), WRONG_MANIFEST)


def _lookup(plain: Any, place: str) -> Any:
    for name in place.split("."):
        plain = plain.get(name) if isinstance(plain, dict) else None
    return plain


@check("M-03", "fail", pub="y")
def active_city(e: Evidence) -> Iterator[Outcome]:
    """The manifest is of the active city."""
    asked = {"--city": e.city, "CITY_NAME": e.live.get("CITY_NAME"), "CITY": e.live.get("CITY")}
    given = {source: str(city).strip() for source, city in asked.items() if city is not None}
    listed = ", ".join(f"{source}={city}" for source, city in given.items())
    if len({city.casefold() for city in given.values()}) > 1:
        yield Finding(
            "live configuration",
            f"names several cities: {listed}",
            "one city",
            listed,
            "Let --city and the configuration agree.",
        )
    wrong = [city for city in given.values() if city.casefold() != (e.manifest.city or "").strip().casefold()]
    if wrong:
        yield Finding(
            "manifest.json city",
            f"is {e.manifest.city!r}, the active city is {wrong[0]!r}",
            wrong[0],
            str(e.manifest.city),
            WRONG_MANIFEST,
        )
    if not given:
        yield Note("no city was asked for; the manifest's is taken")


@check("M-04", "fail", pub="-")
def live_agrees(e: Evidence) -> Iterator[Outcome]:
    """Live values of time steps, horizon, mode and years equal the manifest's."""
    for key in LIVE_KEYS:
        live, recorded = e.live.get(key), getattr(e.manifest.config, key)
        if live is not None and recorded is not None and live != recorded:
            yield Finding(
                f"live {key}",
                f"is {live!r}, the manifest has {recorded!r}",
                repr(recorded),
                repr(live),
                "Drop the live value, or prepare a handoff with it.",
            )


@check("M-05", "warn", pub="-")
def start_follows_end(e: Evidence) -> Iterator[Outcome]:
    """The forecast starts in the year after the last train year."""
    end, start = e.manifest.config.TRAIN_END_YEAR, e.manifest.config.FORECAST_START_YEAR
    if end is not None and start is not None and start != end + 1:
        yield Finding(
            "manifest.json config.FORECAST_START_YEAR",
            f"is {start}, the train years end in {end}",
            str(end + 1),
            str(start),
            "Check the years of the handoff.",
        )


@check("M-06", "fail", pub="y")
def indices_point_right(e: Evidence) -> Iterator[Outcome]:
    """Indices agree, lie inside and point to the named columns."""
    config = e.manifest.config
    indices, scaling, columns = config.indices, config.scaling_kwargs, config.cols
    depth = {columns.depth_model, indices.gwl_dyn_name, scaling.gwl_dyn_name, scaling.gwl_col}
    targets = (
        ("gwl_dyn_index", config.features.dynamic, depth),
        ("subs_dyn_index", config.features.dynamic, {columns.subs_model, scaling.subs_model_col}),
        ("z_surf_static_index", config.features.static, {columns.z_surf_static, scaling.z_surf_col}),
    )
    for key, names, wanted in targets:
        yield from _one_index(key, getattr(indices, key), getattr(scaling, key), names, wanted - {None})
    if e.manifest.subsidence_index is None:
        yield Finding("manifest.json config.indices.subs_dyn_index", "is absent", "an index", "absent")
    if None not in (indices.gwl_dyn_name, scaling.gwl_dyn_name) and indices.gwl_dyn_name != scaling.gwl_dyn_name:
        yield Finding(
            "manifest.json gwl_dyn_name",
            f"is {indices.gwl_dyn_name!r} in indices and {scaling.gwl_dyn_name!r} in scaling_kwargs",
            indices.gwl_dyn_name,
            scaling.gwl_dyn_name,
        )


def _one_index(
    key: str, index: int | None, other: int | None, names: tuple[str, ...], wanted: set[str]
) -> Iterator[Outcome]:
    place = f"manifest.json config.indices.{key}"
    if index is not None and other is not None and index != other:
        yield Finding(place, f"is {index}, config.scaling_kwargs.{key} is {other}", str(index), str(other))
    index = other if index is None else index
    if index is None:
        return
    if not 0 <= index < len(names):
        yield Finding(place, f"is {index}, there are {len(names)} columns", f"0..{len(names) - 1}", str(index))
    elif wanted and names[index] not in wanted and not (key == "gwl_dyn_index" and names[index] in DEPTH_NAMES):
        yield Finding(
            place,
            f"points to {names[index]!r}, the column is named {' or '.join(sorted(wanted))}",
            " or ".join(sorted(wanted)),
            names[index],
        )


@check("M-07", "fail", pub="-")
def names_are_sound(e: Evidence) -> Iterator[Outcome]:
    """Feature names are unique; scaled columns are features; scaler positions exist."""
    features = e.manifest.config.features
    lists = {"static": features.static, "dynamic": features.dynamic, "future": features.future}
    for block, names in lists.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield Finding(
                f"manifest.json config.features.{block}",
                f"lists {', '.join(twice)} more than once",
                "each name once",
                ", ".join(twice),
            )
    known = {name for names in lists.values() for name in names}
    stray = [name for name in e.manifest.artifacts.encoders.scaled_ml_numeric_cols if name not in known]
    if stray:
        yield Finding(
            "manifest.json artifacts.encoders.scaled_ml_numeric_cols",
            f"lists {', '.join(stray)}, which are no features",
            "features only",
            ", ".join(stray),
        )
    for name, info in e.manifest.config.scaler_info.items():
        if info.idx is not None and not 0 <= info.idx < len(info.all_features):
            yield Finding(
                f"manifest.json config.scaler_info.{name}.idx",
                f"is {info.idx}, all_features has {len(info.all_features)} names",
                f"0..{len(info.all_features) - 1}",
                str(info.idx),
            )


@check("M-08", "fail", pub="y")
def one_value_per_setting(e: Evidence) -> Iterator[Outcome]:
    """No setting of scaling_kwargs has two spellings with two values."""
    given = {key: value for key, value in e.manifest.scaling.plain().items() if value is not None}
    groups = [[key for key in spelling if key in given] for spelling in SPELLINGS]
    folded: dict[str, list[str]] = {}
    for key in given:
        folded.setdefault(key.replace("_", "").casefold(), []).append(key)
    for keys in [*groups, *folded.values()]:
        if any(given[key] != given[keys[0]] for key in keys[1:]):
            listed = ", ".join(f"{key}={given[key]!r}" for key in keys)
            yield Finding(
                "manifest.json config.scaling_kwargs",
                f"has one setting twice: {listed}",
                "one value",
                listed,
                "Keep the spelling that is right and remove the other.",
            )
