"""Tiles through the model, batch by batch: what happens when memory runs out, the model raises, or gives no numbers."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from tasks.contracts.errors import StagegateError
from tasks.contracts.tile_errors import (
    CheckpointError,
    NonFiniteOutputError,
    TileError,
    TileModelError,
    TileOutOfMemoryError,
)
from tasks.contracts.tiles import OomEvent, TileMeta, TilesConfig
from tasks.tiles.memory import MemoryPolicy, is_out_of_memory
from tasks.tiles.metadata import ModelInputs
from tasks.tiles.plan import Header, PlannedBatch, Size
from tasks.tiles.windows import refine_large


@dataclass(frozen=True)
class Loaded:
    """A tile as the model takes it: every pixel filled."""

    header: Header
    meta: TileMeta
    values: np.ndarray  # (T, 4, H, W) reflectance
    valid: np.ndarray  # (H, W)
    sees: ModelInputs
    layout: str
    clipped_fraction: float
    valid_fraction: float
    warnings: tuple[str, ...] = ()
    read_ms: float = 0.0


class Refined(NamedTuple):
    """A tile after the model."""

    tile: Loaded
    values: np.ndarray  # (4, H, W) in 0..1, NaN where the input is invalid
    precision: str
    device: str
    batch_size: int
    events: tuple[OomEvent, ...] = ()


class Failed(NamedTuple):
    """A tile that has no output."""

    header: Header
    error: TileError
    events: tuple[OomEvent, ...] = ()


class Inputs(NamedTuple):
    """A batch in the order of the model's own; the floats are NaN where unknown."""

    tiles: np.ndarray  # (B, T, 4, H, W) reflectance, float32
    valid: np.ndarray  # (B, H, W)
    month: np.ndarray  # (B,) 0..12
    biome: np.ndarray  # (B,) 0..16
    year: np.ndarray
    day_of_year: np.ndarray
    lat: np.ndarray
    lon: np.ndarray


class TileModel(Protocol):
    """A model on a device in a precision; gives (B, 4, H, W) that is not clamped."""

    device: str
    precision: str

    def __call__(self, inputs: Inputs) -> np.ndarray: ...

    def in_fp32(self) -> "TileModel": ...

    def on_cpu(self) -> "TileModel": ...

    def free(self) -> None:
        """Give back what memory the device still holds without need."""


class Refinery:
    """One model with its memory policy. A tile's fault never reaches its neighbours."""

    def __init__(self, model: TileModel, policy: MemoryPolicy, config: TilesConfig, patch: int):
        self._model, self._policy, self._config, self._patch = model, policy, config, patch

    def refine(self, batch: PlannedBatch, tiles: Sequence[Loaded]) -> list[Refined | Failed]:
        """An outcome for each tile: together first, in smaller parts where memory or the model asks for it."""
        outcomes: list[Refined | Failed] = []
        events: list[OomEvent] = []
        todo = deque([list(tiles)] if tiles else [])
        while todo:
            group = todo.popleft()
            if not batch.windowed and len(group) > (limit := self._policy.bucket(batch.padded).limit):
                todo.extendleft(reversed([group[i : i + limit] for i in range(0, len(group), limit)]))
                continue
            done, error = self._attempt(batch, group)
            if error is None:
                outcomes += done
            elif is_out_of_memory(error):
                events.append(self._shrink(batch, group))
                if events[-1].action == "give up":
                    outcomes.append(Failed(group[0].header, _too_large(group[0])))
                else:
                    todo.appendleft(group)
            elif len(group) > 1:
                todo.extendleft([tile] for tile in reversed(group))
            else:
                outcomes.append(Failed(group[0].header, _typed(error)))
        return [_with_events(outcome, events) for outcome in outcomes]

    def _attempt(self, batch: PlannedBatch, group: list[Loaded]) -> tuple[list[Refined | Failed], Exception | None]:
        """Outcomes, or the exception. It is caught here so that no frame keeps the memory of the failed attempt."""
        state = self._policy.bucket(batch.padded)
        try:
            model = self._model.on_cpu() if state.on_cpu else self._model
            if batch.windowed:
                return [self._by_windows(model, group[0], state.limit)], None
            return list(self._together(model, batch.padded, group)), None
        except Exception as error:  # whatever a model raises is this group's fault, and only its
            return [], error.with_traceback(None)

    def _together(self, model: TileModel, padded: Size, group: list[Loaded]) -> Iterator[Refined | Failed]:
        outputs = _shaped(model(stacked(group, padded)), len(group), padded)
        for tile, values in zip(group, outputs, strict=True):
            values, used = values[:, : tile.header.height, : tile.header.width], model
            if not np.isfinite(values).all():
                used = model.in_fp32()
                alone = _shaped(used(stacked([tile], padded)), 1, padded)
                values = alone[0, :, : tile.header.height, : tile.header.width]
            if np.isfinite(values).all():
                yield Refined(tile, masked(values, tile.valid), used.precision, used.device, len(group))
            else:
                yield Failed(tile.header, _not_finite())

    def _by_windows(self, model: TileModel, tile: Loaded, limit: int) -> Refined:
        try:
            return self._windows(model, tile, limit)
        except NonFiniteOutputError:
            return self._windows(model.in_fp32(), tile, limit)

    def _windows(self, model: TileModel, tile: Loaded, limit: int) -> Refined:
        def predict(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
            outputs = _shaped(model(_inputs(values, valid, [tile.sees] * len(values))), len(values), valid.shape[1:])
            if not np.isfinite(outputs).all():
                raise _not_finite()
            return np.clip(outputs, 0.0, 1.0)

        config = self._config
        values = refine_large(
            tile.values, tile.valid, predict,
            patch=self._patch, window=config.window, overlap=config.overlap, batch_size=limit,
        )  # fmt: skip
        return Refined(tile, masked(values, tile.valid), model.precision, model.device, limit)

    def _shrink(self, batch: PlannedBatch, group: list[Loaded]) -> OomEvent:
        self._model.free()
        size = self._policy.bucket(batch.padded).limit if batch.windowed else len(group)
        return self._policy.react(batch.padded, tuple(tile.header.id for tile in group), size)


def stacked(group: Sequence[Loaded], padded: Size) -> Inputs:
    """One batch of tiles, each grown to the padded size by reflection as the model does it."""
    values = np.stack([_grown(tile.values, padded) for tile in group])
    valid = np.stack([_grown(tile.valid, padded) for tile in group])
    return _inputs(values, valid, [tile.sees for tile in group])


def masked(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(4, H, W) float32 clamped to 0..1, NaN at invalid pixels."""
    values = np.clip(values.astype(np.float32, copy=False), 0.0, 1.0)
    if not valid.all():
        values[:, ~valid] = np.nan
    return values


def warm_up(model: TileModel, patch: int, num_frames: int) -> None:
    """One small batch. Raises CheckpointError where the model fails on it or gives anything but 4 finite bands."""
    side = 2 * patch
    tile = np.full((1, num_frames, 4, side, side), 0.1, np.float32)
    sees = ModelInputs(month=6, biome=0, year=np.nan, day_of_year=np.nan, lat=np.nan, lon=np.nan)
    remedy = "Check the checkpoint; it may belong to another stage, or its training may have diverged."
    try:
        output = model(_inputs(tile, np.ones((1, side, side), bool), [sees]))
    except StagegateError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise CheckpointError("the model fails on a warm-up batch", found=found, remedy=remedy) from error
    if output.shape != (1, 4, side, side) or not np.isfinite(output).all():
        found = f"shape {output.shape}" + ("" if np.isfinite(output).all() else " with NaN or infinity")
        expected = f"finite values of shape {(1, 4, side, side)}"
        raise CheckpointError("the model fails on a warm-up batch", expected=expected, found=found, remedy=remedy)


def _grown(image: np.ndarray, padded: Size) -> np.ndarray:
    bottom, right = padded[0] - image.shape[-2], padded[1] - image.shape[-1]
    if not bottom and not right:
        return image
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, bottom), (0, right)], mode="reflect")


def _inputs(values: np.ndarray, valid: np.ndarray, sees: Sequence[ModelInputs]) -> Inputs:
    codes = (np.array([getattr(one, name) for one in sees], np.int64) for name in ("month", "biome"))
    places = (
        np.array([getattr(one, name) for one in sees], np.float32) for name in ("year", "day_of_year", "lat", "lon")
    )
    return Inputs(np.ascontiguousarray(values, np.float32), valid, *codes, *places)


def _shaped(outputs: np.ndarray, count: int, size: Size) -> np.ndarray:
    if outputs.shape != (count, 4, *size):
        raise TileModelError("has the wrong shape", where="model", expected=(count, 4, *size), found=outputs.shape)
    return outputs


def _typed(error: Exception) -> TileError:
    if isinstance(error, TileError):
        return error
    return TileModelError("the model raised an error on this tile", found=f"{type(error).__name__}: {error}")


def _not_finite() -> NonFiniteOutputError:
    remedy = "Check the checkpoint; nothing was written for this tile."
    return NonFiniteOutputError("the model gives values that are not finite, in fp32 too", remedy=remedy)


def _too_large(tile: Loaded) -> TileOutOfMemoryError:
    found = f"{tile.header.height} x {tile.header.width} px"
    remedy = "Use fewer workers, a machine with more memory, or cut the tile."
    return TileOutOfMemoryError("does not fit into the memory of the CPU alone", found=found, remedy=remedy)


def _with_events(outcome: Refined | Failed, events: list[OomEvent]) -> Refined | Failed:
    tile = outcome.tile.header if isinstance(outcome, Refined) else outcome.header
    return outcome._replace(events=tuple(event for event in events if tile.id in event.tiles))
