"""Errors of the workload `tiles`. A `TileError` spoils one tile; all others end the run.

HandshakeError
└── TileError                    exit 1  one tile failed: it has no output, the others go on
    ├── TileReadError                    not an NPZ, truncated, gone
    ├── InputChangedError                other bytes than when the run was planned
    ├── TileShapeError                   keys or shapes that make no tile
    ├── TileTooLargeError                more pixels than a tile may have
    ├── AmbiguousInputError              both layouts are there and differ
    ├── AmbiguousUnitsError              integers, and nobody said their scale
    ├── ValueRangeError                  values that are no reflectance
    ├── TileEmptyError                   no valid pixel
    ├── SidecarError                     the sidecar is no JSON object
    ├── InvalidMonthError                a month that does not exist
    ├── InvalidBiomeError                a biome code that does not exist
    ├── BandSelectionError               a scene does not say which bands are which
    ├── NonFiniteOutputError             the model gives NaN or infinity, in fp32 too
    ├── TileOutOfMemoryError             no memory for this tile alone
    ├── TileModelError                   the model raised on this tile alone
    └── WorkerDiedError                  this tile killed its worker twice
ConfigError
├── InputDirError                exit 2  no folder, or nothing in it
└── OutputDirError               exit 2  not writable, or the input folder itself
    └── OutputBusyError          exit 2  another run writes there
ConfigError
└── CheckpointError              exit 2  a checkpoint is absent, damaged, of another stage, or does not fit its model
RedFlagError
├── NoRefinementError            exit 1  the outputs are copies of the inputs
└── NotBetterThanIdentityError   exit 3  training never beat the identity; the model is kept, not promoted
NonFiniteLossError
└── TrainingDivergedError        exit 4  the loss was not finite too often in a row
"""

from typing import Literal

from tasks.contracts.errors import ConfigError, HandshakeError, NonFiniteLossError, RedFlagError

Phase = Literal["read", "sidecar", "model", "write", "scene"]


class TileError(HandshakeError):
    """One tile failed. `phase` says in which part of the work, `tile_id` which one (set where it is known)."""

    exit_code = 1
    phase: Phase = "read"
    tile_id: str = ""


class TileReadError(TileError):
    """The file is not an NPZ, is truncated, fails its checksum, holds objects, or is gone."""


class InputChangedError(TileError):
    """The file holds other bytes than when the run was planned."""


class TileShapeError(TileError):
    """Neither layout is complete, or a shape is not (4, H, W)."""


class TileTooLargeError(TileError):
    """More pixels than a tile may have, as its header says."""


class AmbiguousInputError(TileError):
    """Both layouts are present and differ."""


class AmbiguousUnitsError(TileError):
    """Integer values without a scale."""


class ValueRangeError(TileError):
    """Values outside what reflectance can be; the message names the likely cause."""


class TileEmptyError(TileError):
    """No pixel is valid."""


class SidecarError(TileError):
    """The sidecar is not a JSON object in UTF-8."""

    phase = "sidecar"


class InvalidMonthError(SidecarError):
    """The sidecar's month is none of the twelve."""


class InvalidBiomeError(SidecarError):
    """The sidecar's biome code is none of 0 to 15."""


class BandSelectionError(TileError):
    """A scene does not say which of its bands are blue, green, red and near infrared."""

    phase = "scene"


class NonFiniteOutputError(TileError):
    """The model gives values that are not finite, in fp32 too."""

    phase = "model"


class TileOutOfMemoryError(TileError):
    """There is not memory enough for this tile alone on the CPU."""

    phase = "model"


class TileModelError(TileError):
    """The model raised on this tile alone."""

    phase = "model"


class WorkerDiedError(TileError):
    """This tile killed its worker process twice."""

    phase = "model"


class InputDirError(ConfigError):
    """The input folder does not exist, or holds no tile."""


class OutputDirError(ConfigError):
    """The output folder cannot be written, or is the input folder."""


class OutputBusyError(OutputDirError):
    """Another run writes to the output folder."""


class CheckpointError(ConfigError):
    """A checkpoint is absent, damaged, of another stage, or does not fit the model that it describes."""


class NoRefinementError(RedFlagError):
    """Nearly all outputs are copies of their inputs, bit for bit."""

    exit_code = 1


class NotBetterThanIdentityError(RedFlagError):
    """Training never beat the identity on the validation scenes; the model is kept and not promoted."""


class TrainingDivergedError(NonFiniteLossError):
    """The training loss was not finite too often in a row."""
