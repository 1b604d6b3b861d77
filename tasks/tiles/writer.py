"""A refined tile on disk: deterministic NPZ bytes first, then the JSON that marks it as done.

Both get their final names by a rename, so that a reader never sees half a file. They are durable once `settle` has
been called, once per shard; until then a power failure can cost tiles, but each JSON names the digest of its NPZ.
"""

import ctypes
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import NonFiniteOutputError
from tasks.contracts.tiles import BANDS
from tasks.store.failures import typed
from tasks.tiles.output_sidecar import sidecar_bytes
from tasks.tiles.zipped import Compression, single_array

KEY = "opt_v2"
TEMP_FOLDER = ".stagegate/tmp"
MEDIA_TYPE = "application/x-npz"
_MAX_NAME_BYTES = 255


def output_bytes(values: np.ndarray, valid: np.ndarray, compression: Compression = "none") -> bytes:
    """NPZ of one array `opt_v2` (4,H,W) float32, NaN at pixels that are not `valid` (H,W); equal values, equal bytes.

    Raises NonFiniteOutputError where a valid pixel holds no value in 0..1, StoreError for another shape.
    """
    if values.shape != (len(BANDS), *valid.shape):
        expected = f"({len(BANDS)}, {valid.shape[0]}, {valid.shape[1]})"
        raise StoreError("has the wrong shape to be written", where=f"'{KEY}'", expected=expected, found=values.shape)
    array = np.ascontiguousarray(values, "<f4") if valid.all() else _gaps_as(0, values, valid)
    _check_range(array)
    return single_array(KEY, array if valid.all() else _gaps_as(np.nan, values, valid), compression)


def output_ref(npz: bytes, tile_id: str) -> ArtifactRef:
    """What names the bytes of an output in sidecars and manifests."""
    digest = hashlib.sha256(npz).hexdigest()
    return ArtifactRef(digest=digest, size=len(npz), media_type=MEDIA_TYPE, name=f"{tile_id}.npz")


def commit(folder: Path, tile_id: str, output: bytes | Path, sidecar: dict[str, Any], suffix: str = ".npz") -> None:
    """Put the output, then JSON, in place below `folder`; ids may hold '/'. A file given by its path is copied.

    Raises StoreError, StorageFullError; no temporary file stays behind.
    """
    document = sidecar_bytes(sidecar)
    _place(folder, f"{tile_id}{suffix}", output)
    _place(folder, f"{tile_id}.json", document)


def remove_leftovers(folder: Path) -> int:
    """Delete the temporary files of runs that were killed; how many there were. Only with the folder's lock held."""
    removed = 0
    for path in (folder / TEMP_FOLDER).glob("*.tmp"):
        with typed("remove", str(path)), suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed


def settle(folder: Path) -> None:
    """Wait until all that was written to the file system of `folder` is on disk; once per shard."""
    with typed("sync", str(folder)):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_file_system(descriptor)
        finally:
            os.close(descriptor)


def _gaps_as(number: float, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    array = np.array(values, "<f4", order="C")
    array[:, ~valid] = number
    return array


def _check_range(samples: np.ndarray) -> None:
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        remedy = "Compute it again in fp32; if that does not help, the checkpoint is at fault."
        raise NonFiniteOutputError(
            "is no reflectance", where=f"'{KEY}'", expected="0 to 1", found=f"{low:g} to {high:g}", remedy=remedy
        )


def _place(folder: Path, name: str, content: bytes | Path) -> None:
    target, temp = folder / name, folder / TEMP_FOLDER / _temp_name(name)
    with typed("write", str(target)):
        try:
            _write(temp, content)
            _rename(temp, target)
        except BaseException:
            with suppress(OSError):
                temp.unlink()
            raise


def _write(path: Path, content: bytes | Path) -> None:
    try:
        _write_file(path, content)
    except FileNotFoundError:
        if isinstance(content, Path) and not content.exists():
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(path, content)


def _write_file(path: Path, content: bytes | Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
        return
    with open(path, "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _rename(temp: Path, target: Path) -> None:
    try:
        os.replace(temp, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temp, target)


def _temp_name(name: str) -> str:
    ending = f".{os.getpid()}.tmp"
    if "/" not in name and len(os.fsencode(name + ending)) <= _MAX_NAME_BYTES:
        return name + ending
    return hashlib.sha256(os.fsencode(name)).hexdigest() + ending


def _sync_file_system(descriptor: int) -> None:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
