"""Write a handoff into a folder as a whole, and never touch what somebody else put there."""

import csv
import errno
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import ConfigError, HandshakeError, StorageFullError, StoreError
from tasks.store.jsons import read_json

MANIFEST = "manifest.json"
SCHEMA_VERSION = "stagegate-1"
_MAX_MANIFEST_BYTES = 8 * 2**20


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes through a temporary name beside `path`; raises StoreError, StorageFullError when the disk is full."""
    with _typed(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def csv_bytes(columns: dict[str, np.ndarray]) -> bytes:
    """UTF-8 CSV with the shortest decimals that give the same numbers back; empty cells for NaN."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(column) for column in columns.values()), strict=True))
    return stream.getvalue().encode()


def _cells(column: np.ndarray) -> list[Any]:
    if column.dtype.kind != "f":
        return column.tolist()
    return ["" if value != value else value for value in column.tolist()]


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Relative path to sha256."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def previous_files(out: Path) -> dict[str, str]:
    """Files (relative path to sha256) of an earlier prepare in `out`, {} for a folder that is absent or empty.

    Raises ConfigError for a folder that holds anything else: it belongs to somebody.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError("is not a folder", where=f"--out {out.name}", remedy="Name a folder that prepare may create.")
    if not out.exists() or not any(out.iterdir()):
        return {}
    files = _recorded(out / MANIFEST)
    if files is None:
        raise ConfigError(
            "is not empty and was not written by prepare",
            where=f"--out {out.name}",
            expected=f"no folder, an empty one, or a {MANIFEST} of schema {SCHEMA_VERSION}",
            found=", ".join(sorted(entry.name for entry in out.iterdir())[:5]),
            remedy="Choose another folder; prepare deletes nothing that it did not write.",
        )
    return files


def _recorded(manifest: Path) -> dict[str, str] | None:
    """Digests in a manifest of ours; None where there is no such manifest."""
    try:
        recorded = read_json(manifest.read_bytes(), name=MANIFEST, max_bytes=_MAX_MANIFEST_BYTES, max_depth=32)
    except (OSError, HandshakeError):
        return None
    ours = isinstance(recorded, dict) and recorded.get("schema_version") == SCHEMA_VERSION
    artifacts = recorded.get("artifacts") if ours else None
    files = artifacts.get("sha256") if isinstance(artifacts, dict) else None
    return files if isinstance(files, dict) else None


def publish(out: Path, files: dict[str, bytes], manifest: bytes) -> Path:
    """Put all files and then the manifest into `out`; other content of an earlier handoff folder (runs) stays.

    A new folder appears in one rename. In an existing handoff each file is replaced whole, the manifest last: a kill in
    between leaves digests that do not match, which the audit refuses.
    """
    previous = previous_files(out)
    staging = out.parent / f".{out.name}.{uuid.uuid4().hex}"
    with _typed(out):
        try:
            for name, data in {**files, MANIFEST: manifest}.items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            if previous:
                _merge(staging, out, [*files, MANIFEST])
                _drop_stale(out, {name: sha for name, sha in previous.items() if name not in files})
            else:
                os.replace(staging, out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # made above, by this call
    return out / MANIFEST


def _merge(staging: Path, out: Path, names: list[str]) -> None:
    for name in names:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(out.resolve()):
            raise ConfigError(
                f"{target.parent.name} leads out of the folder",
                where=f"--out {out.name}",
                remedy="Remove the link, or choose another folder.",
            )
        os.replace(staging / name, target)


def _drop_stale(out: Path, stale: dict[str, str]) -> None:
    """Remove files of the earlier handoff that the new one does not have, if they are still what prepare wrote."""
    for name, sha256 in stale.items():
        path = out / name
        inside = path.parent.resolve().is_relative_to(out.resolve())
        if inside and path.is_file() and not path.is_symlink() and digests({name: path.read_bytes()})[name] == sha256:
            path.unlink()


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    """Turn what the file system says into the errors of the platform."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = StorageFullError if full else StoreError
        remedy = "Free some space." if full else "Check that the folder exists and may be written."
        raise kind(f"could not be written ({error.strerror or error})", where=path.name, remedy=remedy) from error
