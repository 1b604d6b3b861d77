"""Where the files of a handoff lie: recorded paths are relocated to the manifest's folder and may not leave it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tasks.contracts.errors import UnsafePathError
from tasks.store.paths import resolve_inside
from tasks.subsidence.handoff.manifest_parse import manifest_bytes, read_plain

BESIDE = {"stage1_scaling_audit": "stage1_scaling_audit.json", "scalers": "scalers.json"}
_DRIVE = re.compile(r"^[A-Za-z]:")
_NOT_PATHS = frozenset({"shapes", "sha256", "scaled_ml_numeric_cols", "dims"})


class Located(NamedTuple):
    """One recorded path. `resolved` is absolute, None where no such file exists in the manifest's folder."""

    key: str
    stored: str
    resolved: Path | None
    relocated: bool


def locate_files(manifest_path: Path) -> list[Located]:
    """Every file the manifest names (and those beside it) as (key, stored, resolved, relocated), by key.

    Relative paths are used as they are; absolute ones lose the recorded run folder, else fall back to the base name
    in artifacts/. Raises UnsafePathError for `..`, NUL, drive letters and links that leave the manifest's folder.
    """
    path = Path(manifest_path)
    return locate_all(read_plain(manifest_bytes(path)), path.parent)


def locate_all(plain: Mapping[str, Any], folder: Path) -> list[Located]:
    """All files a manifest names, then those known to lie beside it, by key. Raises UnsafePathError."""
    run_dir = _text(plain.get("paths"), "run_dir")
    named = [Located(key, stored, *_locate(folder, stored, run_dir, key)) for key, stored in named_paths(plain)]
    found = {place.key for place in named}
    beside = [place for key in BESIDE if key not in found and (place := _beside(folder, key))]
    return sorted([*named, *beside])


def named_paths(plain: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted manifest place and text of every path that stands for a file."""
    config = plain.get("config")
    config = config if isinstance(config, Mapping) else {}
    holdout = config.get("holdout")
    yield from _strings(plain.get("artifacts"), "artifacts")
    yield from _strings(holdout.get("artifacts") if isinstance(holdout, Mapping) else None, "config.holdout.artifacts")
    scalers = config.get("scaler_info")
    for feature, info in scalers.items() if isinstance(scalers, Mapping) else ():
        path = _text(info, "scaler_path")
        if path is not None:
            yield f"config.scaler_info.{feature}.scaler_path", path


def _strings(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            if name not in _NOT_PATHS:
                yield from _strings(inner, f"{place}.{name}")


def _locate(folder: Path, stored: str, run_dir: str | None, key: str) -> tuple[Path | None, bool]:
    text = stored.replace("\\", "/")
    if not (text.startswith("/") or _DRIVE.match(text)):
        return _file(folder, text), False
    if ".." in PurePosixPath(text).parts or "\0" in text:
        raise _unsafe(key, stored, "a plain path below the manifest's folder")
    rest = _below(text, run_dir)
    if rest is None and _DRIVE.match(text):
        raise _unsafe(key, stored, f"a relative path, or one below paths.run_dir ({run_dir})")
    candidates = ([rest] if rest else []) + [f"artifacts/{PurePosixPath(text).name}"]
    found = next((path for candidate in candidates if (path := _file(folder, candidate))), None)
    return found, found is not None


def _file(folder: Path, relative: str) -> Path | None:
    """The file at a relative path, None where there is none. Raises UnsafePathError when the path leaves the folder."""
    if not relative:
        return None
    path = resolve_inside(folder, relative)
    return path if path.is_file() else None


def _below(text: str, run_dir: str | None) -> str | None:
    prefix = (run_dir or "").replace("\\", "/").rstrip("/")
    return text[len(prefix) + 1 :] if prefix and text.startswith(f"{prefix}/") else None


def _beside(folder: Path, key: str) -> Located | None:
    for place in (BESIDE[key], f"artifacts/{BESIDE[key]}"):
        path = _file(folder, place)
        if path is not None:
            return Located(key, place, path, False)
    return None


def _text(node: Any, name: str) -> str | None:
    value = node.get(name) if isinstance(node, Mapping) else None
    return value if isinstance(value, str) else None


def _unsafe(key: str, stored: str, expected: str) -> UnsafePathError:
    return UnsafePathError(
        "names a path outside the handoff",
        where=f"manifest.json {key}",
        expected=expected,
        found=repr(stored),
        remedy="Use paths relative to the manifest.",
    )
