"""From references to what the science works on. Used by step bodies only."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.contracts.refs import ArtifactRef
from tasks.store.workspace import Workspace
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.config import Config
from tasks.subsidence.handoff.truth import Truth, read_truth
from tasks.subsidence.scaling import to_si
from tasks.subsidence.semantics import Semantics
from tasks.subsidence.types import Blueprint, Scaled, Settings, SplitName, SplitRefs

if TYPE_CHECKING:
    from tasks.subsidence.model import SubsidenceNetwork


def semantics(scaled: Scaled, here: Workspace) -> Semantics:
    """The finalized scaling."""
    return Semantics.model_validate_json(json.dumps(here.store.get_json(scaled.semantics)))


def config(settings: Settings) -> Config:
    """The resolved configuration."""
    return Config(settings.values)


def split(parts: SplitRefs, name: SplitName, sem: Semantics, here: Workspace) -> Split:
    """One audited split in SI units; targets are None where no truth exists."""
    return to_si(
        stored_split(parts, name, sem.horizon if sem.mode == "pihal_like" else sem.time_steps + sem.horizon, here), sem
    )


def stored_split(parts: SplitRefs, name: SplitName, driver_steps: int, here: Workspace) -> Split:
    """One audited split as stored; zero-width arrays, `driver_steps` long, stand for absent drivers."""
    inputs = _floats(parts, f"{name}_inputs", here)
    targets = _floats(parts, f"{name}_targets", here) if name != "future" and f"{name}_targets" in parts.bundles else {}
    rows = len(inputs["coords"])
    return Split(
        name=name,
        coords=inputs["coords"],
        dynamic=inputs["dynamic_features"],
        static=inputs.get("static_features", np.zeros((rows, 0), np.float32)),
        future=inputs.get("future_features", np.zeros((rows, driver_steps, 0), np.float32)),
        thickness=inputs["H_field"],
        subsidence=targets.get("subs_pred"),
        head=targets.get("gwl_pred"),
    )


def _floats(parts: SplitRefs, bundle: str, here: Workspace) -> dict[str, np.ndarray]:
    arrays = here.store.get_npz(parts.bundles[bundle])
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def future_truth(panel: ArtifactRef | None, future: Split | None, sem: Semantics, here: Workspace) -> Truth | None:
    """Truth of the forecast years, where both a panel and future windows exist."""
    return None if panel is None or future is None else read_truth(here.store.get_bytes(panel), future, sem)


def network(blueprint: Blueprint, weights: ArtifactRef, here: Workspace) -> "SubsidenceNetwork":
    """The trained network, rebuilt from its manifest and its verified weights."""
    from tasks.subsidence.infer import load

    return load(init_manifest(blueprint, here), here.store.fetch(weights, here.scratch))


def init_manifest(blueprint: Blueprint, here: Workspace) -> dict[str, Any]:
    """What the network is rebuilt from."""
    return here.store.get_json(blueprint.init_manifest)


def put_prediction(prediction: Prediction, name: str, here: Workspace) -> ArtifactRef:
    """Quantiles as one archive."""
    arrays = {"levels": np.array(prediction.levels), "subsidence": prediction.subsidence, "head": prediction.head}
    return here.store.put_npz(arrays, name=name)


def get_prediction(ref: ArtifactRef, here: Workspace) -> Prediction:
    """The archive of `put_prediction`."""
    arrays = here.store.get_npz(ref)
    return Prediction(tuple(arrays["levels"].tolist()), arrays["subsidence"], arrays["head"])
