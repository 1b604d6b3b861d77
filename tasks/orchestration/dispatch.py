"""Where step bodies run. `execute` is the only function that knows about executors."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import StorageFullError
from tasks.orchestration.run import Run
from tasks.orchestration.signals import polite
from tasks.store.progress import Progress
from tasks.store.telemetry import save_telemetry
from tasks.store.workspace import Workspace

if TYPE_CHECKING:
    from tasks.orchestration.step import Step

MIN_FREE_BYTES = 64 * 2**20


def execute(step: "Step", inputs: dict[str, Any], key: str, run: Run) -> dict[str, Any]:
    """Run a step's body where the settings say; inputs and output are plain JSON."""
    return _EXECUTORS[run.settings.executor](step, inputs, key, run)


def run_here(step: "Step", inputs: dict[str, Any], key: str, run: Run) -> dict[str, Any]:
    """The body in this process, with a scratch folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"stagegate-{step.name}-"))
    try:
        _refuse_full_disk(folder)
        here = _workspace(step, key, run, folder)
        started = time.monotonic()
        with polite(run.stop):
            output = step.call(inputs, here)
        here.telemetry["seconds"] = round(time.monotonic() - started, 3)
        save_telemetry(run.store, key, here.telemetry)
        here.progress.drop()
        return output
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _workspace(step: "Step", key: str, run: Run, folder: Path) -> Workspace:
    def tell(share: float, line: str) -> None:
        if run.tell is not None:
            run.tell(step.name, share, line)

    return Workspace(
        run.store, folder, Progress(run.settings.store, key), tell, run.stop.is_set, step.accelerator(run), {}
    )


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


_EXECUTORS = {"inprocess": run_here}
