"""A scene and its sidecar as they were when the work on them began."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from tasks.contracts.tile_errors import InputChangedError, SidecarError, TileError, TileReadError
from tasks.contracts.tiles import TileMeta
from tasks.tiles.listing import InputFile
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.naming import naming


class SceneDigests(NamedTuple):
    """What names the bytes of a scene and of its sidecar, and the file's stamp from before they were read."""

    stamp: tuple[int, ...]
    scene: str
    sidecar: str | None


class TakenScene(NamedTuple):
    """What a scene is refined from."""

    found: InputFile
    digests: SceneDigests
    meta: TileMeta

    def confirm(self) -> None:
        """Raise InputChangedError where the file is another one by now."""
        if _stamp(self.found.path) != self.digests.stamp:
            remedy = "Run again when it is complete."
            raise InputChangedError("changed during the run", where=self.found.path.name, remedy=remedy)


def scene_digests(found: InputFile) -> SceneDigests:
    """Read both files once. Raises TileReadError, SidecarError."""
    with naming(found.id):
        stamp = _stamp(found.path)
        scene = _digest(found.path, TileReadError)
        return SceneDigests(stamp, scene, None if found.sidecar is None else _digest(found.sidecar, SidecarError))


def take_scene(found: InputFile, digests: SceneDigests) -> TakenScene:
    """The scene with what its sidecar says. Raises SidecarError, and InputChangedError for other bytes than before."""
    with naming(found.id):
        data = None if found.sidecar is None else _bytes(found.sidecar)
        if data is not None and hashlib.sha256(data).hexdigest() != digests.sidecar:
            raise InputChangedError("changed during the run", where=f"{found.id}.json", remedy="Run again.")
        return TakenScene(found, digests, read_sidecar(data, found.id))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, TileReadError, error) from error
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(path: Path, kind: type[TileError]) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, kind, error) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, SidecarError, error) from error


def _unreadable(path: Path, kind: type[TileError], error: OSError) -> TileError:
    remedy = "It vanished, or this user may not read it."
    return kind("cannot be read", where=path.name, found=error.strerror, remedy=remedy)
