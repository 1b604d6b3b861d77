"""Paths and names that came from somebody else: they stay where they must, or are refused."""

import os
import re
from pathlib import Path

from tasks.contracts.errors import UnsafePathError

MAX_PART_BYTES = 255
MAX_PATH_BYTES = 4095
_DRIVE = re.compile(r"^[A-Za-z]:")
_NAME_PART = re.compile(r"[\w=@+-][\w=@+.:-]*")


def resolve_inside(folder: Path, stored: str) -> Path:
    """The absolute path of a relative `stored` one under `folder`; backslashes separate as slashes do.

    Raises UnsafePathError for `..`, absolute paths, drive letters, NUL, over-long names and for symbolic links that
    lead out of the folder. The file need not exist. Relocating an absolute path is the caller's business.
    """
    parts = _relative_parts(stored)
    base = os.path.realpath(folder)
    path = os.path.join(base, *parts)
    _check_length(path, stored)
    if os.path.commonpath([base, os.path.realpath(path)]) != base:
        raise _unsafe(stored, "a symbolic link leads out of the folder", found=os.path.realpath(path))
    return Path(path)


def safe_name(name: str) -> str:
    """A name for something in the store: parts of letters, digits and `=@+.:-_`, separated by single slashes.

    No part starts with a dot. Raises UnsafePathError.
    """
    if any(not _NAME_PART.fullmatch(part) for part in name.split("/")):
        what = "a name in the store holds letters, digits and =@+.:-_ only, in parts separated by /"
        raise UnsafePathError(what, where=f"name {_shown(name)}", remedy="Choose a plain name.")
    _check_length(name, name)
    return name


def _relative_parts(stored: str) -> list[str]:
    if "\0" in stored:
        raise _unsafe(stored, "the path holds a NUL character")
    unified = stored.replace("\\", "/")
    if unified.startswith("/") or _DRIVE.match(unified):
        raise _unsafe(stored, "the path is absolute")
    parts = [part for part in unified.split("/") if part not in ("", ".")]
    if not parts:
        raise _unsafe(stored, "the path names no file")
    if ".." in parts:
        raise _unsafe(stored, "the path holds `..`")
    return parts


def _check_length(path: str, stored: str) -> None:
    try:
        longest = max(len(os.fsencode(part)) for part in path.split("/"))
        total = len(os.fsencode(path))
    except UnicodeEncodeError as error:
        raise _unsafe(stored, "the path cannot be encoded", found=error.reason) from error
    if longest > MAX_PART_BYTES or total > MAX_PATH_BYTES:
        limit = f"at most {MAX_PART_BYTES} bytes a part, {MAX_PATH_BYTES} in all"
        raise _unsafe(stored, "the path is too long", expected=limit, found=f"{longest} and {total}")


def _unsafe(stored: str, what: str, *, expected: object = None, found: object = None) -> UnsafePathError:
    remedy = "Use a relative path below the folder of the file that names it."
    return UnsafePathError(what, where=f"path {_shown(stored)}", expected=expected, found=found, remedy=remedy)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")
