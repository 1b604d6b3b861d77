"""Everything that the export reads: forecasts, scores, physics and what earlier steps have left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.contracts.refs import ArtifactRef
from tasks.subsidence.forecast import Forecast, file_stem
from tasks.subsidence.products.payload import PhysicsScalars
from tasks.subsidence.semantics import Semantics

RELOAD_LIMIT_M = 1e-6
DATASET_NAMES = {"test": "TestSet", "val": "ValidationSet"}


@dataclass(frozen=True)
class Judged:
    """Scores of the model on one split, as `metrics.score` gives them, and its skill against the baselines."""

    before: Mapping[str, Any]  # raw intervals
    after: Mapping[str, Any] | None  # calibrated intervals; None: nothing was calibrated
    skill: Mapping[str, Any]

    @property
    def best(self) -> Mapping[str, Any]:
        """Scores of the forecast that is meant to be used."""
        return self.before if self.after is None else self.after


@dataclass(frozen=True)
class Earlier:
    """What earlier steps have left: bytes under their public names, and the contents that are quoted."""

    files: Mapping[str, ArtifactRef]
    stage1_manifest: ArtifactRef
    train_log: bytes
    training: Mapping[str, Any]  # core of the training summary, as the train step wrote it
    init_manifest: Mapping[str, Any]
    config: Mapping[str, Any]  # resolved values
    calibration_stats: Mapping[str, Any]  # on the rows of the evaluation split
    audit: Mapping[str, Any]  # handshake report
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportInputs:
    """One run, ready to be written down."""

    model: str
    sem: Semantics
    evaluation: Forecast
    future: Forecast | None
    future_factors: np.ndarray | None  # (H,) the same for years after training
    factors: np.ndarray | None  # (H,) interval factors of subsidence; None: nothing was calibrated
    physics: Mapping[str, np.ndarray] | None  # (N, H) SI fields of the evaluation split; empty: no physics
    scalars: PhysicsScalars | None
    judged: Judged
    judged_future: Judged | None
    baselines: Mapping[str, Any]  # report of all baselines
    protocol: Mapping[str, Any]  # how the splits were drawn and what that means for the scores
    reload_max_abs_difference_m: float
    earlier: Earlier
    identifiability: Mapping[str, Any] | None = None  # gradient correlations, made where the model is at hand
    physics_future: Mapping[str, np.ndarray] | None = None  # the fields at the future windows: maps of all places

    @property
    def prefix(self) -> str:
        """`{city}_{model}`, safe inside a file name."""
        return f"{self.city_stem}_{file_stem(self.model)}"

    @property
    def city_stem(self) -> str:
        """The city as part of a file name."""
        return file_stem(self.sem.city)

    @property
    def model_stem(self) -> str:
        """The model in lower case as part of a file name."""
        return file_stem(self.model).lower()

    @property
    def dataset(self) -> str:
        """TestSet, or ValidationSet when no test split was exported."""
        return DATASET_NAMES[self.evaluation.split.name]

    @property
    def mapped(self) -> tuple[Forecast, Mapping[str, np.ndarray]]:
        """Windows and fields for parameter maps: all places of the handoff where known, else the evaluated ones."""
        if self.future is not None and self.physics_future:
            return self.future, self.physics_future
        return self.evaluation, self.physics or {}

    @property
    def reload_check(self) -> dict[str, Any]:
        """The comparison of the trained with the reloaded model."""
        found = float(self.reload_max_abs_difference_m)
        return {"max_abs_difference_m": found, "limit_m": RELOAD_LIMIT_M, "passed": found <= RELOAD_LIMIT_M}
