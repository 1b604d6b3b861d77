"""Windows seen from other origins: earlier ones with a shorter history, later ones with a shorter horizon.

A window covers T+H time steps. Its stored origin splits them into T observed and H forecast ones; every other split
teaches increments instead of calendar years.
"""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.semantics import Semantics

SHORTEST_HISTORY = 2  # steps; one annual increment


@dataclass(frozen=True)
class Windows:
    """Arrays of N windows in the layout of the network; float32, SI."""

    inputs: dict[str, np.ndarray]
    subsidence: np.ndarray  # (N, H) m
    head: np.ndarray  # (N, H) m
    weight: np.ndarray  # (N, H) 1 where the target is known

    def __len__(self) -> int:
        return self.weight.shape[0]


def stored_time_step(sem: Semantics) -> float:
    """One time step in stored units of the time coordinate."""
    return sem.seconds_per_time_unit / sem.coord_scale_si.t


def stored_windows(split: Split, sem: Semantics, known_until: float) -> Windows:
    """A split as it is stored; targets that do not exist weigh nothing.

    `known_until` is the last target time of the training windows in stored units. Maps of the target years are made
    for windows that end there; a window with other target years sees none of them, not even for the years it shares.
    """
    n = len(split)
    known = np.repeat(_ends_at(split.coords, known_until, sem), sem.horizon, axis=1)
    inputs = _inputs(split.static, split.dynamic, split.future, split.coords, split.thickness)
    inputs |= {"history_mask": np.ones((n, sem.time_steps), np.float32), "known": known.astype(np.float32)}
    return Windows(inputs, *_targets(split, sem.horizon))


def _ends_at(coords: np.ndarray, known_until: float, sem: Semantics) -> np.ndarray:
    """(N, 1) whether the last target time of a window is that of the training windows."""
    return np.abs(coords[:, -1:, 0] - known_until) <= 0.25 * stored_time_step(sem)


def feasible_origins(sem: Semantics) -> tuple[int, ...]:
    """Numbers of observed time steps, other than the stored T, for which every driver of the window is known."""
    first = SHORTEST_HISTORY
    if sem.mode == "pihal_like" and not set(sem.future_names) <= set(sem.dynamic_names):
        first = sem.time_steps
    last = sem.time_steps + sem.horizon - 1 if _heads_give_depths(sem) else sem.time_steps
    return tuple(origin for origin in range(first, last + 1) if origin != sem.time_steps)


def windows_from(split: Split, sem: Semantics, origins: np.ndarray, known_until: float) -> Windows:
    """Each window (N) from its own origin, counted in observed steps (N,) int; needs targets.

    Seen from another origin the maps of the target years are hidden, as they are in a real forecast.
    """
    line = _Timeline(split, sem)
    steps, horizon = sem.time_steps, sem.horizon
    past = origins[:, None] + np.arange(-steps, 0)
    ahead = origins[:, None] + np.arange(horizon)
    coords = split.coords.copy()
    coords[:, :, 0] += (origins - steps)[:, None] * stored_time_step(sem)
    future = line.future(np.concatenate([past, ahead], axis=1) if sem.mode == "tft_like" else ahead)
    inputs = _inputs(split.static, line.dynamic(past), future, coords, split.thickness)
    at_home = (origins == steps)[:, None] & _ends_at(coords, known_until, sem)
    inputs["history_mask"] = (past >= 0).astype(np.float32)
    inputs["known"] = np.repeat(at_home, horizon, axis=1).astype(np.float32)
    weight = (ahead < steps + horizon).astype(np.float32)
    return Windows(inputs, line.subsidence(ahead), line.head(ahead), weight)


@dataclass(frozen=True)
class DriverLevels:
    """City-wide means of the drivers per time step of the windows; zero for what is no driver."""

    dynamic: np.ndarray  # (T+H, D)
    future: np.ndarray  # (T+H, F)
    steps: int
    horizon: int

    def exchange(
        self, inputs: dict[str, np.ndarray], origins: np.ndarray, exchanged: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Windows (N) at `origins` with the level of every time step replaced by that of step `exchanged` (N, T+H)."""
        past = self._shift(self.dynamic, origins, exchanged, -self.steps, 0)
        ahead = -self.steps if inputs["future_features"].shape[1] > self.horizon else 0
        future = self._shift(self.future, origins, exchanged, ahead, self.horizon)
        changed = {"dynamic_features": past, "future_features": future}
        return inputs | {name: inputs[name] + change for name, change in changed.items()}

    def _shift(self, levels: np.ndarray, origins, exchanged, first: int, last: int) -> np.ndarray:
        own = np.clip(origins[:, None] + np.arange(first, last), 0, len(levels) - 1)
        return (levels[np.take_along_axis(exchanged, own, axis=1)] - levels[own]).astype(np.float32)


def driver_levels(split: Split, sem: Semantics) -> DriverLevels:
    """Levels of a split with targets; depth and subsidence are no drivers."""
    line = _Timeline(split, sem)
    every = np.repeat(np.arange(sem.time_steps + sem.horizon)[None], len(split), axis=0)
    dynamic = line.dynamic(every).mean(axis=0, dtype=np.float64)
    dynamic[:, [column for column in (sem.depth_index, sem.subsidence_index) if column is not None]] = 0.0
    return DriverLevels(dynamic, line.future(every).mean(axis=0, dtype=np.float64), sem.time_steps, sem.horizon)


def common_levels(split: Split, sem: Semantics) -> np.ndarray:
    """(T+H, 2) m: mean cumulative subsidence and depth of a split with targets at the time steps of its windows."""
    line = _Timeline(split, sem)
    every = np.repeat(np.arange(sem.time_steps + sem.horizon)[None], len(split), axis=0)
    means = line.dynamic(every).mean(axis=0, dtype=np.float64)
    depth = np.zeros(len(means)) if sem.depth_index is None else means[:, sem.depth_index]
    return np.stack([means[:, sem.subsidence_index], depth], axis=1)


def _inputs(static, dynamic, future, coords, thickness) -> dict[str, np.ndarray]:
    named = {
        "static_features": static,
        "dynamic_features": dynamic,
        "future_features": future,
        "coords": coords,
        "H_field": thickness,
    }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in named.items()}


def _targets(split: Split, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (len(split), horizon)
    if split.subsidence is None or split.head is None:
        return (np.zeros(shape, np.float32),) * 3
    pair = (split.subsidence[:, :, 0], split.head[:, :, 0])
    return (*(array.astype(np.float32) for array in pair), np.ones(shape, np.float32))


def _heads_give_depths(sem: Semantics) -> bool:
    return sem.depth_index is None or sem.z_surf_index is not None or sem.use_head_proxy


class _Timeline:
    """Everything a window knows at its T+H time steps, addressed by step number; numbers outside are held."""

    def __init__(self, split: Split, sem: Semantics):
        self.split, self.sem = split, sem
        self.last = sem.time_steps + sem.horizon - 1
        self._dynamic = self._dynamic_line()
        past = split.dynamic[:, :, sem.subsidence_index]
        self._subsidence = np.concatenate([past, split.subsidence[:, :, 0]], axis=1)
        self._future = self._future_line()

    def dynamic(self, steps: np.ndarray) -> np.ndarray:
        """(N, len, D)"""
        return self._at(self._dynamic, steps)

    def future(self, steps: np.ndarray) -> np.ndarray:
        """(N, len, F)"""
        return self._at(self._future, steps)

    def subsidence(self, steps: np.ndarray) -> np.ndarray:
        """(N, len) m"""
        return self._at(self._subsidence, steps).astype(np.float32)

    def head(self, steps: np.ndarray) -> np.ndarray:
        """(N, len) m"""
        head = np.concatenate([history_head(self.split, self.sem), self.split.head[:, :, 0]], axis=1)
        return self._at(head, steps).astype(np.float32)

    def _at(self, line: np.ndarray, steps: np.ndarray) -> np.ndarray:
        held = np.clip(steps, 0, self.last)
        return line[np.arange(len(line))[:, None], held]

    def _dynamic_line(self) -> np.ndarray:
        """(N, T+H, D): depth and subsidence of the target years from the targets, drivers from the known future."""
        split, sem = self.split, self.sem
        ahead = np.repeat(split.dynamic[:, -1:], sem.horizon, axis=1)
        ahead[:, :, sem.subsidence_index] = split.subsidence[:, :, 0]
        if sem.depth_index is not None and _heads_give_depths(sem):
            ahead[:, :, sem.depth_index] = surface(split, sem) - split.head[:, :, 0]
        for column, name in enumerate(sem.dynamic_names):
            if name in sem.future_names:
                ahead[:, :, column] = split.future[:, -sem.horizon :, sem.future_names.index(name)]
        return np.concatenate([split.dynamic, ahead], axis=1)

    def _future_line(self) -> np.ndarray:
        """(N, T+H, F)"""
        split, sem = self.split, self.sem
        if sem.mode == "tft_like":
            return split.future
        columns = [sem.dynamic_names.index(name) for name in sem.future_names if name in sem.dynamic_names]
        known = len(columns) == len(sem.future_names)
        past = split.dynamic[:, :, columns] if known else np.repeat(split.future[:, :1], sem.time_steps, axis=1)
        return np.concatenate([past, split.future], axis=1)


def surface(split: Split, sem: Semantics) -> np.ndarray:
    """(N, 1) surface elevation in m; zero where head is minus depth."""
    if sem.z_surf_index is None:
        return np.zeros((len(split), 1), split.static.dtype)
    return split.static[:, sem.z_surf_index, None]


def history_head(split: Split, sem: Semantics) -> np.ndarray:
    """(N, T) observed heads in m, zeros where the handoff has no depth."""
    if sem.depth_index is None:
        return np.zeros(split.dynamic.shape[:2], split.dynamic.dtype)
    return surface(split, sem) - split.dynamic[:, :, sem.depth_index]
