"""The init manifest: everything needed to rebuild a network from typed numbers instead of from somebody's archive."""

import json
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.subsidence.ground.physics import PhysicsSpec, physics_spec
from tasks.subsidence.semantics import Semantics

SCHEMA_VERSION = "stagegate-1"
NO_PHYSICS = "HybridAttn-NoPhysics"
FLAVOURS = ("GeoPriorSubsNet", "PoroElasticSubsNet", NO_PHYSICS)
GATES = ("physics", "q", "subs_resid", "offset", "mv")
SPACE_FEATURES = 512  # random Fourier features of the year map


def init_manifest(sem: Semantics, cfg) -> dict[str, Any]:
    """Content of `model_init_manifest.json`: public keys first, ours after them; equal inputs give equal content.

    Raises ConfigError for an unknown flavour, levels without the median, or a flavour whose drivers are missing.
    """
    spec = physics_spec(sem, cfg)
    name = cfg["MODEL_NAME"]
    _check_flavour(name, spec, sem)
    return {
        "schema_version": SCHEMA_VERSION,
        "model_class": name,
        "dims": _dims(sem),
        "config": {**_public_config(sem, cfg, spec), "scaling_kwargs": sem.public},
        "seed": cfg["SEED"],
        "standardisation": sem.standardisation.model_dump(mode="json"),
        "semantics": sem.model_dump(mode="json"),
        "physics": spec.to_json(),
        "gates": list(GATES),
        "residual_allowed": bool(cfg["ALLOW_SUBS_RESIDUAL"]) or not spec.consolidation,
        "space_features": SPACE_FEATURES,
        "neighbour_context": cfg["NEIGHBOUR_CONTEXT"],
        "protocol": "spatial_fill" if cfg["NEIGHBOUR_CONTEXT"] else "forecast",
        "fields": {"layers": list(spec.names), **spec.nets.model_dump(mode="json")},
        "weights": {"file": f"{sem.city}_{name}_H{sem.horizon}_best.weights.h5", "sha256": None},
    }


def semantics_of(manifest: dict[str, Any]) -> Semantics:
    """The finalized scaling that a network was built for."""
    return Semantics.model_validate_json(json.dumps(manifest["semantics"]))


def physics_of(manifest: dict[str, Any]) -> PhysicsSpec:
    """The physics settings that a network was built with."""
    return PhysicsSpec.from_json(manifest["physics"])


def quantile_levels(values: list[float] | None) -> tuple[float, ...]:
    """Levels, ascending, with the median; null means the median alone. Raises ConfigError."""
    levels = tuple(float(value) for value in values or (0.5,))
    if 0.5 not in levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
        raise ConfigError(
            "levels must ascend strictly inside (0, 1) and hold the median",
            where="QUANTILES",
            expected="for example [0.1, 0.5, 0.9]",
            found=list(levels),
        )
    return levels


def _check_flavour(name: str, spec: PhysicsSpec, sem: Semantics) -> None:
    if name not in FLAVOURS:
        from difflib import get_close_matches

        near = get_close_matches(name, FLAVOURS, n=1, cutoff=0.3)
        remedy = f"Did you mean {near[0]}?" if near else ""
        raise ConfigError("is unknown", where="MODEL_NAME", expected=" or ".join(FLAVOURS), found=name, remedy=remedy)
    if name == NO_PHYSICS and spec.active:
        raise ConfigError("has no equations", where=NO_PHYSICS, expected="PDE_MODE_CONFIG none", found=spec.pde_mode)
    if spec.active and sem.depth_index is None:
        remedy = f"Use {NO_PHYSICS}, or export the depth."
        raise ConfigError("needs the depth to groundwater", where=name, remedy=remedy)


def _dims(sem: Semantics) -> dict[str, int]:
    return {
        "static_input_dim": len(sem.static_names),
        "dynamic_input_dim": len(sem.dynamic_names),
        "future_input_dim": len(sem.future_names),
        "output_subsidence_dim": 1,
        "output_gwl_dim": 1,
        "forecast_horizon": sem.horizon,
    }


def _public_config(sem: Semantics, cfg, spec: PhysicsSpec) -> dict[str, Any]:
    return {
        "quantiles": list(quantile_levels(cfg["QUANTILES"])),
        "pde_mode": spec.pde_mode,
        "mode": sem.mode,
        "time_units": sem.time_units,
        "embed_dim": cfg["EMBED_DIM"],
        "hidden_units": cfg["HIDDEN_UNITS"],
        "lstm_units": cfg["LSTM_UNITS"],
        "attention_units": cfg["ATTENTION_UNITS"],
        "num_heads": cfg["NUMBER_HEADS"],
        "dropout_rate": cfg["DROPOUT_RATE"],
        "memory_size": cfg["MEMORY_SIZE"],
        "scales": list(cfg["SCALES"]),
        "use_residuals": cfg["USE_RESIDUALS"],
        "use_batch_norm": cfg["USE_BATCH_NORM"],
        "use_vsn": cfg["USE_VSN"],
        "vsn_units": cfg["VSN_UNITS"],
        "attention_levels": list(cfg["ATTENTION_LEVELS"]),
        "geoprior": _geoprior(cfg, spec),
        "identifiability_regime": cfg["IDENTIFIABILITY_REGIME"],
    }


def _geoprior(cfg, spec: PhysicsSpec) -> dict[str, Any]:
    by_rule = isinstance(spec.h_ref, str)
    return {
        "init_mv": spec.init_mv,
        "init_kappa": spec.init_kappa,
        "gamma_w": spec.gamma_w,
        "h_ref_value": 0.0 if by_rule else spec.h_ref,
        "h_ref_mode": spec.h_ref if by_rule else "fixed",
        "kappa_mode": spec.kappa_mode,
        "use_effective_h": cfg["GEOPRIOR_USE_EFFECTIVE_H"],
        "hd_factor": spec.drainage_factor,
        "offset_mode": cfg["OFFSET_MODE"],
    }
