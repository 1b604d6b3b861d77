"""Arrays of an archive as memory-mapped files, unpacked once: for training on more than fits into memory."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from tasks.contracts.errors import HandshakeError, MissingInputError, StoreError
from tasks.store.failures import typed
from tasks.store.jsons import canonical_json, read_json
from tasks.store.local import LocalPlace
from tasks.store.npz import DEFAULT_LIMITS, NpzLimits, iterate_npz, read_headers

_MARKER = "members.json"


def unpack_npz(
    source: bytes | Path, folder: Path, *, name: str | None = None, limits: NpzLimits = DEFAULT_LIMITS
) -> dict[str, np.memmap]:
    """Read-only memory maps of all arrays, native and in C order, below `folder/<digest of the archive>/`.

    What an earlier call left there is used again if it is complete and intact. Raises what read_npz raises.
    """
    if isinstance(source, Path) and not source.is_file():
        raise MissingInputError("does not exist", where=str(source), remedy="Check the path.")
    target = folder / _file_digest(source)[:16]
    keys = list(read_headers(source, name=name, limits=limits))
    if not _is_intact(target, keys):
        _unpack(source, target, name, limits)
    with typed("read", str(target)):
        return {key: np.load(target / f"{key}.npy", mmap_mode="r") for key in keys}


def _unpack(source: bytes | Path, target: Path, name: str | None, limits: NpzLimits) -> None:
    with typed("remove", str(target)):
        if target.exists():
            shutil.rmtree(target)
    place = LocalPlace(str(target), durable=False)
    members = {}
    for key, _, array in iterate_npz(source, name=name, limits=limits):
        with typed("write", str(target)):
            target.mkdir(parents=True, exist_ok=True)
            np.save(target / f"{key}.npy", array, allow_pickle=False)
        members[key] = _file_digest(target / f"{key}.npy")
    place.write(_MARKER, (canonical_json(members),))


def _is_intact(target: Path, keys: list[str]) -> bool:
    try:
        listed = read_json(b"".join(LocalPlace(str(target)).chunks(_MARKER)), name=_MARKER)
        return listed == {key: _file_digest(target / f"{key}.npy") for key in keys}
    except (HandshakeError, StoreError):  # absent, incomplete or damaged
        return False


def _file_digest(source: bytes | Path) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with typed("read", str(source)), source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
