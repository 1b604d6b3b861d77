"""Is a finished folder of refined tiles still what was written? Every output is hashed again; torch is not needed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tasks.contracts.base import Frozen
from tasks.contracts.errors import HandshakeError
from tasks.contracts.tile_errors import OutputDirError
from tasks.contracts.tiles import STAGE
from tasks.store.jsons import read_json

PRIVATE = ".stagegate"
MANIFEST = f"{PRIVATE}/manifest.jsonl"
OUTPUT_SUFFIXES = (".npz", ".tif", ".tiff")
WRITTEN = ("done", "resumed")

State = Literal["intact", "damaged", "missing", "no commit marker", "sidecar damaged"]


class VerifiedTile(Frozen):
    """What one tile of the folder is."""

    id: str
    state: State
    detail: str = ""


class Verification(Frozen):
    """All tiles of a folder, in order of their ids."""

    tiles: tuple[VerifiedTile, ...]

    @property
    def intact(self) -> bool:
        """Whether there are tiles, and nothing is wrong with any of them."""
        return bool(self.tiles) and not self.faults

    @property
    def faults(self) -> tuple[VerifiedTile, ...]:
        """Every tile that is not as it was written."""
        return tuple(tile for tile in self.tiles if tile.state != "intact")

    @property
    def text(self) -> str:
        """One line per fault, then the counts."""
        lines = [f"{tile.id}: {tile.state}{f' ({tile.detail})' if tile.detail else ''}" for tile in self.faults]
        good = len(self.tiles) - len(self.faults)
        return "\n".join([*lines, f"{good} of {len(self.tiles)} tiles are intact"])


def verify(output_dir: Path) -> Verification:
    """Compare every output with the digest in its sidecar, and the folder with its manifest. Raises OutputDirError."""
    if not output_dir.is_dir():
        raise OutputDirError("is no folder", where=str(output_dir), remedy="Check the path.")
    found = {tile.id: tile for tile in _committed(output_dir)}
    outputs = {_id(path, output_dir) for path in _files(output_dir) if path.suffix in OUTPUT_SUFFIXES}
    for tile_id in outputs - found.keys():
        found[tile_id] = VerifiedTile(id=tile_id, state="no commit marker", detail="no sidecar of this stage")
    try:
        promised = _promised(output_dir)
    except (HandshakeError, KeyError, TypeError) as error:
        promised = set()
        found[MANIFEST] = VerifiedTile(id=MANIFEST, state="damaged", detail=str(error))
    for tile_id in promised - found.keys():
        found[tile_id] = VerifiedTile(id=tile_id, state="missing", detail="output and sidecar")
    return Verification(tiles=tuple(found[tile_id] for tile_id in sorted(found)))


def _committed(output_dir: Path) -> Iterator[VerifiedTile]:
    for sidecar in _files(output_dir):
        if sidecar.suffix == ".json":
            tile_id = _id(sidecar, output_dir)
            state, detail = _state(sidecar)
            yield VerifiedTile(id=tile_id, state=state, detail=detail)


def _state(sidecar: Path) -> tuple[State, str]:
    recorded = _recorded_sha256(sidecar)
    if recorded is None:
        return "sidecar damaged", "no JSON of this stage with processing.output_sha256"
    outputs = [path for suffix in OUTPUT_SUFFIXES if (path := sidecar.with_name(f"{sidecar.stem}{suffix}")).is_file()]
    if not outputs:
        return "missing", "output"
    found = [_sha256(path) for path in outputs]
    return ("intact", "") if recorded in found else ("damaged", f"expected {recorded[:8]}, found {found[0][:8]}")


def _recorded_sha256(sidecar: Path) -> str | None:
    try:
        document = read_json(sidecar.read_bytes(), name=sidecar.name)
    except (HandshakeError, OSError):
        return None
    if not isinstance(document, dict) or document.get("stage") != STAGE:
        return None
    processing = document.get("processing")
    recorded = processing.get("output_sha256") if isinstance(processing, dict) else None
    return recorded if isinstance(recorded, str) else None


def _promised(output_dir: Path) -> set[str]:
    """Ids that the manifest says were written; the last line about an id counts."""
    path = output_dir / MANIFEST
    if not path.is_file():
        return set()
    status = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            record = read_json(line, name=f"{path.name} line {number}")
            status[record["id"]] = record["status"]
    return {tile_id for tile_id, said in status.items() if said in WRITTEN}


def _files(output_dir: Path) -> Iterator[Path]:
    paths = (path for path in sorted(output_dir.rglob("*")) if PRIVATE not in path.relative_to(output_dir).parts)
    return (path for path in paths if path.is_file())


def _id(path: Path, output_dir: Path) -> str:
    return path.relative_to(output_dir).as_posix().removesuffix(path.suffix)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
