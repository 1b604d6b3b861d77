"""Where a training stands, as files that give back every bit: numbers as JSON, tensors as safetensors, no pickle."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import Parameter

from tasks.contracts.errors import ConfigError
from tasks.store.jsons import canonical_json, read_json
from tasks.store.tensors import TensorLimits, read_safetensors

STATE, TENSORS = "state.json", "tensors.safetensors"
WEIGHT, BEST, ADAM, RANDOM = "weight/", "best/", "adam/", "random/"


@dataclass
class Counters:
    """Plain numbers only, so that JSON gives them back exactly."""

    epoch: int = 0
    batch: int = 0  # position of the sampler in the epoch
    step: int = 0  # batches seen, skipped ones too: the place in the schedule
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_epoch: int | None = None
    best: dict[str, float] = field(default_factory=dict)  # validation scores of that epoch
    sums: dict[str, float] = field(default_factory=dict)  # of the losses in the epoch, `count` of them
    rows: list[dict[str, Any]] = field(default_factory=list)  # of the log, one per epoch


class TrainState:
    """Counters, learning weights, optimizer and random numbers as one thing to save and restore."""

    def __init__(self, weights: dict[str, Parameter], optimizer: torch.optim.Optimizer, scaler: Any, identity: str):
        self.weights, self.optimizer, self.scaler, self.identity = weights, optimizer, scaler, identity
        self.counters = Counters()
        self.best: dict[str, Tensor] = {}

    def keep_best(self, scores: dict[str, float]) -> None:
        """Take the present weights for the best ones."""
        self.counters.best_epoch, self.counters.best = self.counters.epoch, scores
        self.best = {name: weight.detach().cpu().clone() for name, weight in self.weights.items()}

    def use_best(self) -> None:
        """Put the best weights back into the model; without any, the present ones stay."""
        _put(self.weights, self.best)

    def files(self) -> dict[str, bytes]:
        """Everything that an uninterrupted continuation needs."""
        document = {"identity": self.identity, "counters": asdict(self.counters), "scaler": self.scaler.state_dict()}
        tensors = {
            **_named(WEIGHT, self.weights),
            **_named(BEST, self.best),
            **_named(ADAM, self._adam()),
            **_named(RANDOM, _random_states()),
        }
        return {STATE: canonical_json(document), TENSORS: save(tensors)}

    def restore(self, files: dict[str, bytes]) -> None:
        """The inverse of `files`. Raises ConfigError where they belong to another training."""
        document = read_json(files[STATE], name=STATE)
        if document["identity"] != self.identity:
            remedy = "Give the same settings, pairs and starting weights, or start without the saved state."
            raise ConfigError("belongs to another training", where="the saved state", remedy=remedy)
        limits = TensorLimits(max_bytes=len(files[TENSORS]))
        arrays = read_safetensors(files[TENSORS], name=TENSORS, limits=limits)
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.counters = Counters(**document["counters"])
        self.scaler.load_state_dict(document["scaler"])
        _put(self.weights, _below(WEIGHT, tensors))
        self.best = _below(BEST, tensors)
        self._put_adam(_below(ADAM, tensors))
        _put_random_states(_below(RANDOM, tensors))

    def _adam(self) -> dict[str, Tensor]:
        state = self.optimizer.state
        return {
            f"{part}/{name}": value
            for name, weight in self.weights.items()
            for part, value in state.get(weight, {}).items()
        }

    def _put_adam(self, tensors: dict[str, Tensor]) -> None:
        self.optimizer.state.clear()
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            weight = self.weights[name]
            # The step counts on the CPU; moments lie beside their weight.
            self.optimizer.state[weight][part] = value if part == "step" else value.to(weight.device)


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.detach().cpu().contiguous() for name, value in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _put(weights: dict[str, Parameter], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states |= {f"cuda{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _put_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    for number in range(torch.cuda.device_count()):
        if f"cuda{number}" in states:
            torch.cuda.set_rng_state(states[f"cuda{number}"], number)
