"""Where step bodies run. `place_of` and `execute` are the only functions that know about executors."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import StorageFullError
from tasks.orchestration.places import Place, place_here
from tasks.orchestration.run import Run
from tasks.orchestration.signals import polite
from tasks.store.progress import Progress
from tasks.store.telemetry import save_telemetry
from tasks.store.workspace import Workspace

if TYPE_CHECKING:
    from tasks.orchestration.step import Step

MIN_FREE_BYTES = 64 * 2**20


def place_of(pool: str, run: Run) -> Place:
    """Where the steps of a pool run, as the settings and the request say; asked once in a run."""
    asked = (pool, run.accelerator)
    if asked not in run.places:
        if run.settings.executor == "pools":
            from tasks.orchestration.pools import place_in_pool

            run.places[asked] = place_in_pool(pool, run.accelerator)
        else:
            run.places[asked] = place_here(pool, run.accelerator)
    return run.places[asked]


def execute(step: "Step", inputs: dict[str, Any], document: dict[str, Any], key: str, run: Run) -> dict[str, Any]:
    """Run a step's body where the settings say; inputs and output are plain JSON."""
    place = place_of(step.pool, run)
    if run.settings.executor == "pools":
        from tasks.orchestration.pools import run_in_pool

        return run_in_pool(step, place, inputs, document, key, run)
    return run_here(step, inputs, key, place.accelerator, run)


def run_here(step: "Step", inputs: dict[str, Any], key: str, accelerator: str, run: Run) -> dict[str, Any]:
    """The body in this process, with a scratch folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"stagegate-{step.name}-"))
    try:
        _refuse_full_disk(folder)
        here = _workspace(step, key, accelerator, run, folder)
        started = time.monotonic()
        with polite(run.stop):
            output = step.call(inputs, here)
        here.telemetry["seconds"] = round(time.monotonic() - started, 3)
        save_telemetry(run.store, key, here.telemetry)
        here.progress.drop()
        return output
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _workspace(step: "Step", key: str, accelerator: str, run: Run, folder: Path) -> Workspace:
    def tell(share: float, line: str) -> None:
        if run.tell is not None:
            run.tell(step.name, share, line)

    return Workspace(run.store, folder, Progress(run.settings.store, key), tell, run.stop.is_set, accelerator, {})


def _refuse_full_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise StorageFullError(
            "scratch folder is nearly full",
            where=str(folder),
            expected=f"{MIN_FREE_BYTES} bytes free",
            found=free,
            remedy="Free space, or point TMPDIR at another disk, and run again.",
        )
