"""Turn one joblib archive of a MinMaxScaler into plain numbers: the only place where such an archive is ever opened.

The caller names the digest; the archive is read in a process of its own, from bytes that were checked in this one.
"""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError, DependencyError, MissingInputError, UnsafeCheckpointError

MAX_BYTES = 16 * 2**20
TIMEOUT_S = 120
WORKER = Path(__file__).with_name("convert_worker.py")


def convert_scaler(file: Path, *, allow_sha256: str) -> dict[str, Any]:
    """{"kind": "minmax", "feature_names", "min", "scale", "sha256_source"}; stored = (value - min) / scale.

    Raises UnsafeCheckpointError where the digest is another one (the archive is then not opened at all) or where the
    archive holds anything but a fitted MinMaxScaler; ConfigError for a text that is no digest.
    """
    data = _checked_bytes(Path(file), allow_sha256)
    reply = run_worker(data, name=Path(file).name)
    if "error" in reply:
        raise UnsafeCheckpointError(
            "is refused",
            where=Path(file).name,
            expected="a fitted MinMaxScaler",
            found=reply["error"],
            remedy="Export the numbers as JSON where they were fitted.",
        )
    return {**reply["scaler"], "sha256_source": allow_sha256.lower()}


def run_worker(data: bytes, *, name: str) -> dict[str, Any]:
    """What the isolated process says: {"scaler", "guards"} or {"error", "guards"}."""
    command = [sys.executable, "-I", "-S", "-B", str(WORKER), *_package_roots()]
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=TIMEOUT_S, env=quiet, cwd="/", check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnsafeCheckpointError("did not finish", where=name, expected=f"at most {TIMEOUT_S} s") from error
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise UnsafeCheckpointError(
            "stopped the process that read it",
            where=name,
            expected="exit status 0",
            found=f"{done.returncode}: {last[:200]}",
        ) from error


def _checked_bytes(file: Path, allow_sha256: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", allow_sha256):
        raise ConfigError("is no sha256", where="--allow-sha256", expected="64 hex digits", found=repr(allow_sha256))
    if not file.is_file():
        raise MissingInputError("does not exist", where=str(file))
    if file.stat().st_size > MAX_BYTES:
        raise UnsafeCheckpointError(
            "is too large for a scaler",
            where=file.name,
            expected=f"at most {MAX_BYTES} bytes",
            found=file.stat().st_size,
        )
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != allow_sha256.lower():
        raise UnsafeCheckpointError(
            "is not the archive that was allowed, and was not opened",
            where=file.name,
            expected=f"sha256 {allow_sha256.lower()}",
            found=digest,
            remedy="Allow a digest only for a file whose origin you trust.",
        )
    return data


def _package_roots() -> list[str]:
    """Folders that hold the packages which the worker needs; it gets no other search path."""
    roots = []
    for package in ("numpy", "scipy", "sklearn", "joblib"):
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise DependencyError("is not installed", where=package, remedy="Install scikit-learn to convert a scaler.")
        roots.append(str(Path(found.origin).parents[1]))
    return list(dict.fromkeys(roots))
