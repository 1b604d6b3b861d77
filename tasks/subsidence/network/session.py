"""One training that can be put down and taken up again: counters, best weights, log rows, and their saved form."""

import json
import math
from dataclasses import asdict, dataclass, field

import numpy as np

from tasks.subsidence.network.checkpoints import BEST, STATE, VARIABLES, pack, put_values, unpack, values_of
from tasks.subsidence.network.engine import Engine
from tasks.subsidence.network.logbook import Means


@dataclass
class Counters:
    """Where a training stands; plain numbers only, so that JSON gives them back exactly."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    wait: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, list[float]] = field(default_factory=dict)
    telemetry: list[dict[str, float]] = field(default_factory=list)
    start: dict[str, float | None] = field(default_factory=dict)
    year_effects: list | None = None
    stop_reason: str | None = None


class Session:
    """Counters, model, optimizer and best weights as one thing to save and restore."""

    def __init__(self, engine: Engine):
        self.engine, self.model = engine, engine.model
        self.counters = Counters()
        self.means = Means()
        self.best: list[np.ndarray] | None = None

    def files(self) -> dict[str, bytes]:
        """Everything that an uninterrupted continuation needs."""
        self.counters.sums = self.means.sums
        live = [*values_of(self.model), *(np.array(variable) for variable in self.engine.adam.state())]
        files = {STATE: json.dumps(asdict(self.counters)).encode(), VARIABLES: pack(live)}
        return files if self.best is None else {**files, BEST: pack(self.best)}

    def restore(self, files: dict[str, bytes]) -> None:
        """The inverse of `files`."""
        self.counters = Counters(**json.loads(files[STATE]))
        self.means = Means(self.counters.sums)
        live, count = unpack(files[VARIABLES]), len(self.model.weights)
        put_values(self.model, live[:count])
        for variable, value in zip(self.engine.adam.state(), live[count:], strict=True):
            variable.assign(value)
        self.best = unpack(files[BEST]) if BEST in files else None

    def close_epoch(self, row: dict[str, float], monitored: float, patience: int) -> None:
        """Keep the row, judge the epoch, and move on to the next one."""
        counters = self.counters
        counters.rows.append(row)
        better = math.isfinite(monitored) and (counters.best_value is None or monitored < counters.best_value)
        if better:
            counters.best_value, counters.best_epoch, counters.wait = monitored, counters.epoch, 0
            self.best = values_of(self.model)
        else:
            counters.wait += 1
            if counters.wait >= max(patience, 1):
                counters.stop_reason = "early_stopping"
        counters.epoch, counters.batch = counters.epoch + 1, 0
        self.means = Means()
