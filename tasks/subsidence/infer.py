"""Inference from a clean rebuild: init manifest plus weights, one compiled pass, no archive of anybody loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tasks.contracts.errors import HandshakeError, UnsafeCheckpointError
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.ground.residuals import consolidation, groundwater
from tasks.subsidence.losses import physics_multiplier
from tasks.subsidence.model import SubsidenceNetwork, rebuild
from tasks.subsidence.network.checkpoints import SUFFIX, check_tensors
from tasks.subsidence.network.datasets import batches
from tasks.subsidence.network.origins import stored_windows
from tasks.subsidence.network.start import add_neighbours
from tasks.subsidence.semantics import Semantics

BANK = "around/vars/3"  # places of the train groups, after three trained weights


def load(init_manifest: dict[str, Any], weights: Path) -> SubsidenceNetwork:
    """The trained network, rebuilt from its manifest. Raises UnsafeCheckpointError where the weights do not fit."""
    rows = _bank_rows(Path(weights)) if init_manifest["neighbour_context"] else 0
    model = rebuild(init_manifest, rows)
    load_weights(model, weights)
    return model


def load_weights(model: SubsidenceNetwork, weights: Path) -> None:
    """Put weights into a network. Raises UnsafeCheckpointError where they do not fit."""
    weights = Path(weights)
    try:
        check_tensors(model, weights)
        model.load_weights(weights)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        expected = f"{len(model.weights)} weights of {model.manifest['model_class']}"
        raise _misfit(weights, str(error), expected) from error


def _bank_rows(weights: Path) -> int:
    import h5py

    try:
        with h5py.File(weights) as stored:
            return int(stored[BANK].shape[0])
    except (OSError, KeyError) as error:
        raise _misfit(weights, str(error), "train groups of a network with neighbour context") from error


def _misfit(weights: Path, found: str, expected: str) -> UnsafeCheckpointError:
    lines = found.strip().splitlines() or ["nothing"]
    return UnsafeCheckpointError(
        "weights do not fit the network of the init manifest",
        where=weights.name,
        expected=f"{expected} in a file *{SUFFIX}",
        found=lines[0],
    )


def check_fits(model: SubsidenceNetwork, sem: Semantics) -> None:
    """Refuse a handoff whose names, steps or units differ from those the network was trained on (HandshakeError)."""
    own = model.semantics
    for field in ("dynamic_names", "static_names", "future_names", "time_steps", "horizon", "mode", "time_units"):
        if getattr(own, field) != getattr(sem, field):
            raise HandshakeError(
                "the network was trained on another kind of handoff",
                where=field,
                expected=getattr(own, field),
                found=getattr(sem, field),
                remedy="Train on this handoff, or pass one with the same features.",
            )


def predict(model: SubsidenceNetwork, split: Split, *, batch: int = 512, hide_years: bool = False) -> Prediction:
    """All quantiles of N windows in one compiled pass; float64 (N, H, Q), subsidence cumulative m, head m.

    `hide_years` withholds what the network knows of the training years from other places: a forecast as for years
    that nobody has observed, and the only honest one for another city.
    """

    def both(inputs) -> dict[str, tf.Tensor]:
        result = model.forward(inputs)
        return {"subsidence": result.subsidence, "head": result.head}

    found = _in_batches(model, split, batch, both, hide_years=hide_years)
    return Prediction(model.levels, found["subsidence"], found["head"])


def physics(model: SubsidenceNetwork, split: Split, sem: Semantics, *, batch: int = 512) -> dict[str, np.ndarray]:
    """Physical fields and residuals of N windows, (N, H) float64 in SI; names as in the payload.

    Where one layer carries everything its values stand for the aquifer's. Empty for a network without physics.
    Raises HandshakeError where the split belongs to another kind of handoff.
    """
    check_fits(model, sem)
    if not model.spec.active:
        return {}
    return _in_batches(model, split, batch, lambda inputs: _physics(model, inputs))


def _physics(model: SubsidenceNetwork, inputs) -> dict[str, tf.Tensor]:
    spec, result = model.spec, model.forward(inputs)
    data, settlement = result.data, result.settlement
    zero = tf.zeros_like(result.published)
    fields = {"H": data.H, "h_f": data.h.value, "drawdown": settlement.drawdown, "s_eq": settlement.s_eq,
              "s_phys": settlement.s_phys, "Q": zero if data.Q is None else data.Q}  # fmt: skip
    fields |= {"cons_res_vals": zero, "cons_res_scaled": zero, "gw_res_vals": zero, "gw_res_scaled": zero}
    if spec.consolidation:
        misfit = consolidation(settlement, result.published, spec)
        fields |= {"cons_res_vals": misfit.raw, "cons_res_scaled": misfit.scaled, "Hd": data.Hd,
                   "tau": tf.exp(data.log_tau), "tau_prior": tf.exp(data.log_tau_closure),
                   "tau_closure": tf.exp(data.log_tau_closure), "dlogtau": data.dlogtau}  # fmt: skip
    if spec.gw_flow:
        flow = groundwater(data, spec, model.gates["q"])
        fields |= {"gw_res_vals": flow.raw, "gw_res_scaled": flow.scaled}
    layers = {"K": data.log_K, "Ss": data.log_Ss, "K_aquifer": data.log_Ka, "S_aquifer": data.log_Sa}
    fields |= {name: tf.exp(jet.value) for name, jet in layers.items() if jet is not None}
    for name, stand_in in (("K_aquifer", "K"), ("S_aquifer", "Ss"), ("K", "K_aquifer"), ("Ss", "S_aquifer")):
        if name not in fields:
            fields[name] = fields[stand_in]
    total = tf.abs(settlement.s_phys) + tf.abs(result.residual)
    fields["residual_share"] = tf.math.divide_no_nan(tf.abs(result.residual), total)
    return fields


def scalars(model: SubsidenceNetwork) -> dict[str, Any]:
    """Learned and fixed scalars of the physics as the network holds them; SI."""
    spec, geoprior = model.spec, model.manifest["config"]["geoprior"]
    kappa, mv = (spec.init_kappa, spec.init_mv) if model.fields is None else _learned(model)
    return {
        "kappa": kappa,
        "kappa_mode": spec.kappa_mode,
        "use_effective_h": bool(geoprior["use_effective_h"]),
        "hd_factor": spec.drainage_factor,
        "mv": mv,
        "gamma_w": spec.gamma_w,
        "h_ref": float(geoprior["h_ref_value"]),
        "h_ref_mode": geoprior["h_ref_mode"],
        "lambda_offset": float(model.gates["offset"].numpy()),
        "physics_multiplier": float(physics_multiplier(model).numpy()),
        "pde_modes": tuple(name for name in ("consolidation", "gw_flow") if getattr(spec, name)),
        "residual_gate": float(model.gates["subs_resid"].numpy()) if model.manifest["residual_allowed"] else 0.0,
    }


def _learned(model: SubsidenceNetwork) -> tuple[float, float]:
    fields, spec = model.fields, model.spec
    kappa = spec.init_kappa if fields.log_kappa is None else float(np.exp(float(fields.log_kappa.numpy())))
    return kappa, spec.init_mv if fields.log_mv is None else float(np.exp(float(fields.log_mv.numpy())))


def diagnostics(model: SubsidenceNetwork, fields: dict[str, np.ndarray]) -> dict[str, float | str | None]:
    """Root mean squares of the residuals in `fields` (from `physics`): non-dimensional, and raw in m/s and 1/s.

    A forecast that consists of the physical mean alone leaves no consolidation residual by construction; that is said.
    """
    spec = model.spec

    def rms(name: str, active: bool) -> float | None:
        return float(np.sqrt(np.mean(np.square(fields[name])))) if active and name in fields else None

    constructed = spec.consolidation and scalars(model)["residual_gate"] == 0.0
    return {
        "epsilon_prior": rms("dlogtau", spec.consolidation),
        "epsilon_cons": rms("cons_res_scaled", spec.consolidation),
        "epsilon_gw": rms("gw_res_scaled", spec.gw_flow),
        "epsilon_cons_raw": rms("cons_res_vals", spec.consolidation),
        "epsilon_gw_raw": rms("gw_res_vals", spec.gw_flow),
        "epsilon_cons_reading": "zero_by_construction" if constructed else "share_not_explained_by_physics",
    }


def _in_batches(
    model: SubsidenceNetwork, split: Split, batch: int, function, *, hide_years: bool = False
) -> dict[str, np.ndarray]:
    """The function over fixed-size batches, compiled once; float64 (N, ...)."""
    windows = stored_windows(split, model.semantics, float(model.known_until.numpy()))
    if hide_years:
        windows.inputs["known"][:] = 0.0
    windows = add_neighbours(model, windows)
    size = min(batch, len(windows))
    inputs = {name: tf.constant(array) for name, array in windows.inputs.items()}

    def chosen(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return function({name: tf.gather(held, rows) for name, held in inputs.items()})

    compiled = tf.function(chosen, autograph=False)
    rows, _ = batches(np.arange(len(windows)), size)
    parts = [compiled(tf.constant(chunk)) for chunk in rows]
    return {name: np.concatenate([part[name].numpy() for part in parts])[: len(windows)].astype(np.float64)
            for name in parts[0]}  # fmt: skip
