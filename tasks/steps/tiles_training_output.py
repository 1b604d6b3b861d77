"""The output folder of a training: one run at a time, and files that take their place together."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks.contracts.tile_errors import OutputDirError
from tasks.orchestration.run_folder import RunFolder
from tasks.store.blobs import Store
from tasks.store.failures import typed
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME
from tasks.tiles.flow.types import CheckpointFile
from tasks.tiles.lock import locked
from tasks.tiles.output_folder import LOCK, OWN

LOG_FILE = "training_log.csv"
STAGED = f"{OWN}/checkpoint"
NOT_PROMOTED = "not-promoted"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made if absent, locked, and without what killed runs have left.

    Raises OutputDirError, OutputBusyError.
    """
    with ExitStack() as stack:
        try:
            (folder / OWN).mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / LOCK, folder))
            _clean(folder)
        except OSError as error:
            remedy = "Choose a folder that this user may write to."
            found = error.strerror or error
            raise OutputDirError("cannot be written", where=str(folder), found=found, remedy=remedy) from error
        yield


def place(checkpoint: CheckpointFile, log: bytes, folder: Path, below: str, store: Store) -> dict[str, Path]:
    """Weights, config and log in the folder or `below` it; name to path. Only with the folder's lock held.

    All are written and on disk before the first takes its place. Raises StoreError.
    """
    staged, target = RunFolder(folder / STAGED), folder / below
    staged.put_ref(WEIGHTS_NAME, checkpoint.weights, store)
    staged.put_ref(CONFIG_NAME, checkpoint.config, store)
    staged.put(LOG_FILE, log)
    with typed("write", str(target)):
        target.mkdir(exist_ok=True)
        for name in staged.written:
            os.replace(staged.path / name, target / name)
        _sync(target)
        staged.path.rmdir()
    return {name: target / name for name in staged.written}


def _clean(folder: Path) -> None:
    if (folder / STAGED).exists():
        shutil.rmtree(folder / STAGED)
    for name in (WEIGHTS_NAME, CONFIG_NAME, LOG_FILE):
        for part in folder.glob(f".{name}.*.part"):
            part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
