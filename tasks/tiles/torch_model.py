"""The refiner of a checkpoint on a device, as the engine calls it; the only part of the engine that imports torch."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.tiles.batches import Inputs, TileModel
from tasks.tiles.settings import Loading, WorkerSettings


def load_refiner(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    """The model of worker `number` on its device; global settings of torch last until the stack is closed.

    Raises CheckpointError, and ConfigError where a required device cannot be used.
    """
    from tasks.tiles.checkpoint import check_installed, load_checkpoint
    from tasks.tiles.precision import global_settings, resolve

    check_installed()

    device, notes = _usable(settings, number)
    threads = 1 if device == "cpu" else None
    matmul = stack.enter_context(global_settings(device, threads=threads))
    checkpoint = load_checkpoint(Path(settings.checkpoint), sha256=settings.checkpoint_sha256)
    precision = resolve(settings.precision, device, settings.no_amp)
    model = TorchModel(checkpoint, device, precision, resolve(settings.precision, "cpu", settings.no_amp))
    return Loading(model, (*notes, f"device {device}, precision {precision}, fp32 matrix precision {matmul}"))


class TorchModel:
    """One copy of the weights on one device in one precision; others are made when they are asked for."""

    def __init__(self, checkpoint, device: str, precision: str, cpu_precision: str):
        from tasks.tiles.checkpoint import build
        from tasks.tiles.precision import prepared

        self.device, self.precision = device, precision
        self._checkpoint, self._cpu_precision = checkpoint, cpu_precision
        self._refiner = prepared(build(checkpoint), precision).to(device)
        self._others: dict[tuple[str, str], TorchModel] = {}

    def __call__(self, inputs: Inputs) -> np.ndarray:
        import torch

        from tasks.tiles.model import Batch

        with torch.inference_mode():
            batch = Batch(*(torch.from_numpy(array) for array in inputs)).to(self.device)
            return self._refiner(batch).cpu().numpy()

    def in_fp32(self) -> TileModel:
        return self._other(self.device, "fp32")

    def on_cpu(self) -> TileModel:
        return self._other("cpu", self._cpu_precision)

    def free(self) -> None:
        import torch

        if self.device != "cpu":
            torch.cuda.empty_cache()

    def _other(self, device: str, precision: str) -> "TorchModel":
        if (device, precision) == (self.device, self.precision):
            return self
        if (device, precision) not in self._others:
            self._others[device, precision] = TorchModel(self._checkpoint, device, precision, self._cpu_precision)
        return self._others[device, precision]


def _usable(settings: WorkerSettings, number: int) -> tuple[str, tuple[str, ...]]:
    """The device that is there, and what to tell people when it is not the one that was asked for."""
    import torch

    if settings.device == "cpu":
        return "cpu", ()
    index = int(settings.device.partition(":")[2] or number)
    if torch.cuda.is_available() and index < torch.cuda.device_count():
        return f"cuda:{index}", ()
    if settings.require_device:
        remedy = "Leave --require_device out to run on the CPU."
        raise ConfigError("cannot be used here", where=f"device {settings.device}", remedy=remedy)
    return "cpu", (f"WARNING: no usable device {settings.device}; continuing on the CPU",)
