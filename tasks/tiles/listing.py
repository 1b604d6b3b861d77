"""What lies in an input folder: tiles in byte order of their names, scenes, and what is left aside."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.tile_errors import InputDirError

OWN_FOLDER = ".stagegate"
SCENE_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class InputFile:
    """A tile or scene, and its sidecar where there is one."""

    id: str  # path below the folder without the suffix, '/' between folders
    path: Path
    sidecar: Path | None


@dataclass(frozen=True)
class Listing:
    """The content of an input folder, each part in byte order of the file names."""

    tiles: tuple[InputFile, ...]
    scenes: tuple[InputFile, ...]
    ignored: tuple[str, ...]  # names that look like tiles and are none, for a warning
    orphan_sidecars: tuple[str, ...]  # JSON files without a tile or scene


def list_inputs(folder: Path | str, recursive: bool = False) -> Listing:
    """List a folder. Other files than `*.npz`, `*.tif`, `*.tiff` and their `.json` are passed over.

    So are sub-folders that runs wrote their outputs to.

    Raises InputDirError where there is no folder, no tile and no scene, or one name for two inputs.
    """
    top = Path(folder)
    names = _names(top, recursive)
    usable = [name for name in names if _is_text(name)]
    sidecars = {name for name in usable if name.endswith(".json")}
    tiles = _inputs(top, usable, (".npz",), sidecars)
    scenes = _inputs(top, usable, SCENE_SUFFIXES, sidecars)
    ids = [found.id for found in (*tiles, *scenes)]
    ignored = tuple(ascii(name)[1:-1] for name in names if _is_ignored(name))
    if not ids:
        raise InputDirError(f"No NPZ tiles found in {folder}", remedy=_advice(top, recursive, ignored))
    _check_unique(ids, top)
    paired = {f"{tile_id}.json" for tile_id in ids}
    return Listing(tiles, scenes, ignored, tuple(name for name in usable if name in sidecars - paired))


def one_scene(path: Path) -> Listing:
    """The listing of a folder that holds one scene and its sidecar. Raises InputDirError for what is no scene file."""
    if path.suffix not in SCENE_SUFFIXES:
        raise InputDirError("is no scene", where=str(path), expected=f"a file *{' or *'.join(SCENE_SUFFIXES)}")
    if not path.is_file():
        raise InputDirError("does not exist", where=str(path), remedy="Check --scene.")
    sidecar = path.with_suffix(".json")
    return Listing((), (InputFile(path.stem, path, sidecar if sidecar.is_file() else None),), (), ())


def _names(top: Path, recursive: bool) -> list[str]:
    """Paths of all files below `top`, in byte order."""
    try:
        return sorted(_files(top, "", recursive), key=os.fsencode)
    except FileNotFoundError as error:
        raise InputDirError("does not exist", where=str(top), expected="the folder of the tiles") from error
    except OSError as error:
        remedy = "Name a folder that this user may read."
        raise InputDirError("cannot be listed", where=str(top), found=error.strerror, remedy=remedy) from error


def _files(top: Path, below: str, recursive: bool) -> Iterator[str]:
    with os.scandir(top / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if not entry.is_dir():  # a dangling link counts: its tile fails by name instead of being passed over
                yield name
            elif recursive and not entry.is_symlink() and not _is_output(entry):
                yield from _files(top, f"{name}/", recursive)


def _is_output(entry: os.DirEntry) -> bool:
    """Whether a folder is the output of a run, or what the run keeps in there."""
    return entry.name == OWN_FOLDER or os.path.isdir(os.path.join(entry.path, OWN_FOLDER))


def _inputs(top: Path, names: list[str], suffixes: tuple[str, ...], sidecars: set[str]) -> tuple[InputFile, ...]:
    found = []
    for name in names:
        tile_id, suffix = os.path.splitext(name)
        if suffix in suffixes:
            sidecar = f"{tile_id}.json"
            found.append(InputFile(tile_id, top / name, top / sidecar if sidecar in sidecars else None))
    return tuple(found)


def _is_ignored(name: str) -> bool:
    suffix = os.path.splitext(name)[1]
    known = (".npz", *SCENE_SUFFIXES)
    return suffix.lower() in known and (suffix not in known or not _is_text(name))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_unique(ids: list[str], top: Path) -> None:
    if len(set(ids)) < len(ids):
        twice = next(tile_id for tile_id in ids if ids.count(tile_id) > 1)
        remedy = "Rename one: their results would overwrite each other."
        raise InputDirError("holds two inputs of one name", where=str(top), found=twice, remedy=remedy)


def _advice(top: Path, recursive: bool, ignored: tuple[str, ...]) -> str:
    if ignored:
        return f"'{ignored[0]}' and the like are ignored: rename them to .npz in lower case."
    if not recursive and next(top.glob("*/*.npz"), None) is not None:
        return "Sub-folders hold tiles: use --recursive, or name one of them."
    return "Tiles are files <id>.npz with the key 'opt_v1'."
