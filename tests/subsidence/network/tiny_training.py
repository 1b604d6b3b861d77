"""A training of seconds: a twin city in SI units, networks small enough to trace quickly, a workspace of its own."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tasks.store.blobs import Store
from tasks.store.progress import Progress
from tasks.store.workspace import Workspace
from tasks.subsidence import scaling
from tasks.subsidence.arrays import Split
from tasks.subsidence.build import init_manifest
from tasks.subsidence.config import Config, read_layers, resolve
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.losses import LossWeights, Targets, loss_weights
from tasks.subsidence.manifest import parse_manifest
from tasks.subsidence.model import SubsidenceNetwork, rebuild
from tasks.subsidence.network.engine import Engine
from tasks.subsidence.network.neighbours import NeighbourContext
from tasks.subsidence.network.origins import Windows, stored_windows
from tasks.subsidence.network.start import add_neighbours, bank_rows, fit_linear, initialise
from tasks.subsidence.semantics import Semantics
from tasks.subsidence.train import Trainer, TrainResult, train
from tests.subsidence.small_twin import small_twin_handoff

SMALLEST = {
    "EMBED_DIM": 8, "HIDDEN_UNITS": 8, "LSTM_UNITS": 8, "ATTENTION_UNITS": 8, "VSN_UNITS": 8, "MEMORY_SIZE": 4,
    "BATCH_SIZE": 16, "EPOCHS": 2,
}  # fmt: skip
# Tracing is what a tiny training spends its time on: half of the blocks are left out where they do not matter.
LIGHT = {"SCALES": [1], "ATTENTION_LEVELS": ["memory"], "USE_VSN": False}
DATA_ONLY = {**LIGHT, "MODEL_NAME": "HybridAttn-NoPhysics"}
# Fields whose relaxation starts faster than allowed, so that the bounds loss is large.
OUTSIDE = {"PHYSICS_BOUNDS_MODE": "soft", "PHYSICS_BOUNDS": {"tau_min": 3e8}}
BUNDLE = ("coords", "dynamic_features", "static_features", "future_features", "H_field")
TARGETS = ("subs_pred", "gwl_pred")


@dataclass(frozen=True)
class Case:
    """Everything that training is called with."""

    cfg: Config
    sem: Semantics
    splits: dict[str, Split]

    @property
    def manifest(self) -> dict[str, Any]:
        """What a network is rebuilt from, as a step reads it: through JSON."""
        return json.loads(json.dumps(init_manifest(self.sem, self.cfg)))

    @property
    def train(self) -> Split:
        """84 windows: five batches of 16 and one of 4."""
        return self.splits["train"]

    @property
    def val(self) -> Split:
        """24 windows."""
        return self.splits["val"]

    @property
    def select(self) -> np.ndarray:
        """The validation rows that choose the checkpoint: all but one."""
        return np.arange(len(self.val) - 1)

    def network(self) -> SubsidenceNetwork:
        """An untrained network."""
        return rebuild(self.manifest, bank_rows(self.manifest, self.train))

    def started(self) -> SubsidenceNetwork:
        """A network where training starts from."""
        model = self.network()
        initialise(model, self.train)
        fit_linear(model, self.train)
        return model

    def weights(self, model: SubsidenceNetwork) -> LossWeights:
        """Loss weights of this configuration."""
        return loss_weights(model.levels, self.cfg)


@cache
def _handoff() -> tuple[Stage1Manifest, dict[str, Split], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = small_twin_handoff(Path(folder))
        stored = {name: _stored(path.parent / "artifacts", name) for name in ("train", "val", "test", "future")}
        scalers = json.loads((path.parent / "scalers.json").read_text())
        return parse_manifest(path.read_bytes()), stored, {"scalers": scalers}


def _stored(folder: Path, name: str) -> Split:
    """One split, read-only: all tests of a process share it."""
    inputs = np.load(folder / f"{name}_inputs.npz")
    targets = {} if name == "future" else np.load(folder / f"{name}_targets.npz")
    arrays = [*(inputs[key] for key in BUNDLE), *(targets.get(key) for key in TARGETS)]
    for array in arrays:
        if array is not None:
            array.setflags(write=False)
    return Split(name, *arrays)


def twin_case(**settings: Any) -> Case:
    """The small twin city with the smallest network; settings as after `--set`."""
    record, stored, sources = _handoff()
    sets = [f"{name}={json.dumps(value)}" for name, value in {**SMALLEST, **settings}.items()]
    cfg = Config(resolve(record, read_layers(sets=sets))[0])
    sem = scaling.finalize(record, cfg, stored["train"], future=stored["future"], sources=sources)
    return Case(cfg, sem, {name: scaling.to_si(split, sem) for name, split in stored.items()})


def workspace(root: Path, stopping: Callable[[], bool] = lambda: False) -> Workspace:
    """A workspace in a folder that nobody else has; what is told ends in `telemetry["told"]`."""
    scratch, telemetry = root / "scratch", {"told": []}
    scratch.mkdir(parents=True, exist_ok=True)
    return Workspace(
        store=Store(root / "store"),
        scratch=scratch,
        progress=Progress(root / "store", "train-1"),
        tell=lambda share, text: telemetry["told"].append((share, text)),
        stopping=stopping,
        accelerator="cpu",
        telemetry=telemetry,
    )


def stop_after(steps: int) -> Callable[[], bool]:
    """A signal that arrives once so many steps are done."""
    left = iter(range(steps))
    return lambda: next(left, None) is None


def trained(case: Case, root: Path | None = None, **options: Any) -> TrainResult:
    """A finished training, in a folder that may hold saved progress."""
    with tempfile.TemporaryDirectory() as fresh:
        here = workspace(root or Path(fresh), options.pop("stopping", lambda: False))
        return train(case.train, case.val, case.select, case.manifest, case.cfg, here, **options)


def stand_still(patch: pytest.MonkeyPatch) -> None:
    """Training steps that move nothing and need no trace: good ones with a loss of zero."""

    def step(self, *_):
        self.train_names = ["loss", "skipped_steps", "weight"]
        return np.array([0.0, 0.0, 1.0])

    patch.setattr(Engine, "train_step", step)


def trainer(case: Case, root: Path, **options: Any) -> Trainer:
    """The training loop before its start."""
    return Trainer(case.train, case.val, case.manifest, case.cfg, workspace(root, **options))


REFERENCE = {**LIGHT, "EPOCHS": 4}


@cache
def reference() -> tuple[Case, TrainResult]:
    """One training with both equations that many tests look at; one per process."""
    case = twin_case(**REFERENCE)
    return case, trained(case)


def digests(result: TrainResult) -> dict[str, str]:
    """sha256 of everything that a training leaves."""
    names = ("best_weights", "final_weights", "best_archive", "final_archive", "log")
    files = {name: getattr(result, name) for name in names}
    files |= {name: json.dumps(getattr(result, name)).encode() for name in ("architecture", "summary")}
    files |= {name: getattr(result.val_prediction, name).tobytes() for name in ("subsidence", "head")}
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def rows_of(result: TrainResult) -> list[dict[str, float | None]]:
    """The training log; empty cells are None."""
    lines = [line.split(",") for line in result.log.decode().splitlines()]
    cells = ([float(cell) if cell else None for cell in line] for line in lines[1:])
    return [dict(zip(lines[0], row, strict=True)) for row in cells]


def column(result: TrainResult, name: str) -> list[float | None]:
    """One column of the training log."""
    return [row[name] for row in rows_of(result)]


def windows_of(model: SubsidenceNetwork, split: Split, rows: slice | list[int] = slice(None)) -> Windows:
    """Windows of a split as the network is asked for a forecast; copies, which a test may change."""
    windows = stored_windows(split, model.semantics, float(model.known_until.numpy()))
    inputs = {name: array[rows].copy() for name, array in add_neighbours(model, windows).inputs.items()}
    truth = {name: getattr(windows, name)[rows].copy() for name in ("subsidence", "head", "weight")}
    return replace(windows, inputs=inputs, **truth)


def tensors_of(inputs: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    """Inputs of a forward pass."""
    return {name: tf.constant(array) for name, array in inputs.items()}


def targets_of(windows: Windows, present: list[float] | None = None) -> Targets:
    """Truth of a batch; `present` is 0 for padded rows."""
    rows = np.ones(len(windows), np.float32) if present is None else np.array(present, np.float32)
    parts = (windows.subsidence, windows.head, windows.weight * rows[:, None], rows)
    return Targets(*(tf.constant(part) for part in parts))


def slopes(tape: tf.GradientTape, value: tf.Tensor, model: SubsidenceNetwork) -> dict[str, np.ndarray]:
    """Gradient of a scalar by the path of every trainable weight; zeros where they are not connected."""
    weights = model.trainable_variables
    found = tape.gradient(value, [weight.value for weight in weights])
    return {
        weight.path: np.zeros(weight.shape) if slope is None else tf.convert_to_tensor(slope).numpy()
        for weight, slope in zip(weights, found, strict=True)
    }


def bank(model: SubsidenceNetwork) -> NeighbourContext:
    """What the network knows of the train groups."""
    return next(layer for layer in model.layers if isinstance(layer, NeighbourContext))


def open_gates(model: SubsidenceNetwork, value: float = 1.0) -> SubsidenceNetwork:
    """The network with all gates at one value."""
    for gate in model.gates.values():
        gate.assign(value)
    return model


def shaken(model: SubsidenceNetwork, seed: int = 0, spread: float = 0.1) -> SubsidenceNetwork:
    """The network with noise on every trainable weight, so that nothing rests on a zero at the start."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(weight.numpy() + rng.normal(0.0, spread, weight.shape).astype(np.float32))
    return model
