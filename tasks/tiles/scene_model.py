"""The windows of a scene through the engine's refinery, so that they get the same care as tiles."""

from dataclasses import dataclass, field

import numpy as np

from tasks.contracts.tiles import OomEvent, TileMeta
from tasks.tiles.batches import Failed, Loaded, Refined, Refinery
from tasks.tiles.metadata import ModelInputs
from tasks.tiles.plan import Header, PlannedBatch
from tasks.tiles.windows import LARGEST_TILE_SIDE


@dataclass
class SceneModel:
    """Refines windows of one scene, which share its month and place, and remembers what really ran.

    Memory that runs out, single failures and values that are not finite are met as for tiles; a window that fails all
    the same raises its TileError.
    """

    refinery: Refinery
    sees: ModelInputs
    scene_id: str
    patch: int
    precisions: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)
    events: list[OomEvent] = field(default_factory=list)
    largest_batch: int = 0

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """(N, 4, h, w) in 0..1 for windows (N, T, 4, h, w) with validity (N, h, w)."""
        tiles = [self._loaded(*window) for window in zip(values, valid, strict=True)]
        together = 1 if max(valid.shape[1:]) > LARGEST_TILE_SIDE else len(tiles)  # as the plan does with large tiles
        groups = [tiles[first : first + together] for first in range(0, len(tiles), together)]
        refined = np.stack([outcome.values for group in groups for outcome in self._outcomes(group)])
        return np.where(valid[:, None], refined, values[:, -1])  # invalid pixels take no part in a change

    def _outcomes(self, tiles: list[Loaded]) -> list[Refined]:
        headers = tuple(tile.header for tile in tiles)
        outcomes = self.refinery.refine(PlannedBatch(0, self._padded(tiles[0].valid.shape), headers), tiles)
        self._remember(outcomes)
        return [_succeeded(outcome) for outcome in outcomes]

    def _loaded(self, values: np.ndarray, valid: np.ndarray) -> Loaded:
        header = Header(self.scene_id, *valid.shape, file="", sidecar=None, input_sha256="")
        return Loaded(header, TileMeta(), values, valid, self.sees, "opt_v1", 0.0, float(valid.mean()))

    def _padded(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = (-(-side // self.patch) * self.patch for side in shape)
        return height, width

    def _remember(self, outcomes: list[Refined | Failed]) -> None:
        done = [outcome for outcome in outcomes if isinstance(outcome, Refined)]
        self.precisions |= {outcome.precision for outcome in done}
        self.devices |= {outcome.device for outcome in done}
        # All windows carry the scene's id, so each outcome of a batch lists all events of the batch.
        self.events += max((list(outcome.events) for outcome in outcomes), key=len, default=[])
        self.largest_batch = max([self.largest_batch, *(outcome.batch_size for outcome in done)])


def _succeeded(outcome: Refined | Failed) -> Refined:
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome
