"""Where the tensor work runs: threads, visible GPUs and their memory, settled before TensorFlow starts its runtime.

TensorFlow takes these settings once per process. A later run in the same process keeps what the first one has set; what
of its own settings is lost is said, not hidden.
"""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal

import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.store.workspace import Workspace
from tasks.subsidence.config import Config

Kind = Literal["cpu", "gpu"]
log = logging.getLogger(__name__)


def configure(cfg: Config, here: Workspace, *, runtime: Any = tf.config) -> Kind:
    """Apply the TF_* settings, start the runtime, and return the device that it has really got.

    A GPU is used where TF_DEVICE_MODE and the step's accelerator both allow it. Raises ConfigError where the mode `gpu`
    finds none. `runtime` stands for tf.config.
    """
    mode, may = cfg["TF_DEVICE_MODE"], here.accelerator != "cpu"
    gpus = runtime.list_physical_devices("GPU")
    if mode == "gpu" and not (gpus and may):
        raise _no_gpu(_present(runtime) if may else f"{_present(runtime)}; this run may use the CPU only")
    used = [] if mode == "cpu" or not may else gpus
    lost = [*_set_threads(cfg, runtime), *_set_gpus(cfg, runtime, used)]
    kind: Kind = "gpu" if runtime.list_logical_devices("GPU") else "cpu"
    if mode == "gpu" and kind == "cpu":
        raise _no_gpu("a TensorFlow that already runs without one in this process")
    if (
        here.accelerator == "cuda" and mode == "auto" and kind == "cpu"
    ):  # else a CPU's result would be cached as a GPU's
        raise _no_gpu(_present(runtime), "a step that was given one")
    for text in lost:
        _log_once(text)
        here.tell(0.0, text)
    return kind


def _set_threads(cfg: Config, runtime: Any) -> Iterator[str]:
    """Threads inside an operation and operations side by side; null leaves them to TensorFlow."""
    setters = {
        "TF_INTRA_THREADS": runtime.threading.set_intra_op_parallelism_threads,
        "TF_INTER_THREADS": runtime.threading.set_inter_op_parallelism_threads,
    }
    for name, setter in setters.items():
        value = cfg[name]
        if value is not None:
            yield from _tried(f"{name}={value}", setter, value)


def _set_gpus(cfg: Config, runtime: Any, used: list[Any]) -> Iterator[str]:
    """Show these GPUs only, and how much of their memory may be taken; a limit is taken at once and never grows."""
    limit, growth = cfg["TF_GPU_MEMORY_LIMIT_MB"], cfg["TF_GPU_ALLOW_GROWTH"]
    yield from _tried(f"{'using' if used else 'hiding'} the GPU", runtime.set_visible_devices, used, "GPU")
    for gpu in used:
        if limit is None:
            set_growth = runtime.experimental.set_memory_growth
            yield from _tried(f"TF_GPU_ALLOW_GROWTH={growth}", set_growth, gpu, growth)
        else:
            shares = [runtime.LogicalDeviceConfiguration(memory_limit=limit)]
            set_share = runtime.set_logical_device_configuration
            yield from _tried(f"TF_GPU_MEMORY_LIMIT_MB={limit}", set_share, gpu, shares)


def _tried(what: str, setter: Callable, *values: Any) -> Iterator[str]:
    """Set it; a sentence where TensorFlow no longer takes it."""
    try:
        setter(*values)
    except (RuntimeError, ValueError):
        yield f"{what} has no effect: TensorFlow already runs with other values in this process. Start a new process."


def _no_gpu(found: str, where: str = "TF_DEVICE_MODE gpu") -> ConfigError:
    return ConfigError(
        "needs a GPU",
        where=where,
        expected="a GPU that TensorFlow may use",
        found=found,
        remedy="Use --accelerator none (and TF_DEVICE_MODE auto), or repair the driver.",
    )


def _present(runtime: Any) -> str:
    """All devices of the machine, as TensorFlow names them."""
    names = [device.name.removeprefix("/physical_device:") for device in runtime.list_physical_devices()]
    return f"{', '.join(names)} ({'with' if tf.test.is_built_with_cuda() else 'without'} CUDA support)"


@cache
def _log_once(text: str) -> None:
    log.warning(text)
