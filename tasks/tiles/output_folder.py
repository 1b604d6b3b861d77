"""The user's output folder as a sink: tiles and sidecars at the top, everything else below `.stagegate`."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import StoreError
from tasks.contracts.tile_errors import OutputDirError
from tasks.contracts.tiles import TileMeta, TileRecord
from tasks.store.failures import typed
from tasks.tiles.job import Effort, Finding, Job
from tasks.tiles.listing import SCENE_SUFFIXES
from tasks.tiles.lock import locked
from tasks.tiles.naming import fitting
from tasks.tiles.output_sidecar import sidecar_document
from tasks.tiles.plan import Header
from tasks.tiles.resume import find
from tasks.tiles.writer import TEMP_FOLDER, commit, remove_leftovers, settle

OWN = ".stagegate"
STALE = f"{OWN}/stale"
LOCK = f"{OWN}/lock"


@dataclass(frozen=True)
class OutputFolder:
    """A sink that names files after tiles."""

    path: Path

    def finished(self, header: Header, job: Job) -> Finding:
        """By the rules of `resume`."""
        return find(self.path, header, job.facts)

    def commit(self, record: TileRecord, npz: bytes, meta: TileMeta, job: Job, effort: Effort) -> None:
        """NPZ first, then the JSON that marks it as done."""
        sidecar = sidecar_document(meta, record, job.facts, **effort._asdict())
        commit(self.path, record.id, npz, sidecar)

    def failed(self, record: TileRecord) -> None:
        """Move an old output of this tile to `.stagegate/stale`, its marker first."""
        for name in (f"{record.id}{suffix}" for suffix in (".json", ".npz", *SCENE_SUFFIXES)):
            source, target = self.path / name, self.path / STALE / fitting(f"{name}.stale")
            if os.path.lexists(source):
                with typed("move", str(source)):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(source, target)

    def settle(self) -> None:
        """Wait until the file system has everything."""
        settle(self.path)

    def orphans(self, ids: Collection[str]) -> list[str]:
        """Names of outputs without input; they are left alone."""
        return sorted(name for name in _outputs(self.path, "") if os.path.splitext(name)[0] not in ids)


@contextmanager
def opened(folder: Path, input_dir: Path) -> Iterator[OutputFolder]:
    """The folder, made if absent, locked, and without the temporary files of killed runs.

    Raises OutputDirError, OutputBusyError.
    """
    if folder.resolve() == input_dir.resolve():
        remedy = "Choose another output folder; inputs are never overwritten."
        raise OutputDirError("is the input folder", where=str(folder), remedy=remedy)
    _prepare(folder)
    with locked(folder / LOCK, folder):
        remove_leftovers(folder)
        try:
            yield OutputFolder(folder)
        finally:
            with suppress(StoreError):  # of workers that were killed in this run; the next run looks again
                remove_leftovers(folder)


def _prepare(folder: Path) -> None:
    probe = folder / TEMP_FOLDER / f"probe.{os.getpid()}.tmp"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        found = error.strerror or error
        remedy = "Choose a folder that this user may write to."
        raise OutputDirError("cannot be written", where=str(folder), found=found, remedy=remedy) from error


def _outputs(top: Path, below: str) -> Iterator[str]:
    with os.scandir(top / below) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name != OWN:
                yield from _outputs(top, f"{below}{entry.name}/")
            elif entry.name.endswith((".npz", *SCENE_SUFFIXES)):
                yield f"{below}{entry.name}"
