"""TF_* settings: what TensorFlow is told, what it no longer takes, and which device is reported."""

import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.settings import device

CPU = SimpleNamespace(name="/physical_device:CPU:0")
GPU = SimpleNamespace(name="/physical_device:GPU:0")


@dataclass
class Runtime:
    """tf.config as far as it is used, on a machine with or without a GPU: frozen once it runs, as TensorFlow is."""

    gpus: list[Any]
    visible: list[Any] | None = None
    running: bool = False
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        names = ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads")
        self.threading = SimpleNamespace(**{name: lambda value, name=name: self._set(name, value) for name in names})
        self.experimental = SimpleNamespace(set_memory_growth=lambda gpu, on: self._set("growth", on))

    def _set(self, name: str, value: Any) -> None:
        if self.running and self.told.get(name) != value:
            raise RuntimeError("cannot be modified after being initialized")
        self.told[name] = value

    def list_physical_devices(self, kind: str | None = None) -> list[Any]:
        return self.gpus if kind == "GPU" else [CPU, *self.gpus]

    def set_visible_devices(self, gpus: list[Any], kind: str) -> None:
        if self.running and self._seen() != gpus:
            raise RuntimeError("cannot be modified after being initialized")
        self.visible = gpus

    def _seen(self) -> list[Any]:
        return self.gpus if self.visible is None else self.visible

    def list_logical_devices(self, kind: str) -> list[Any]:
        self.running = True
        return self._seen()

    def LogicalDeviceConfiguration(self, memory_limit: int) -> int:
        return memory_limit

    def set_logical_device_configuration(self, gpu: Any, shares: list[int]) -> None:
        self._set("memory_limit", shares)


def configure(runtime: Runtime, *, accelerator: str = "cuda", **settings: Any) -> tuple[str, list[str]]:
    """The device, and what was told."""
    told: list[str] = []
    here = SimpleNamespace(accelerator=accelerator, tell=lambda share, line: told.append(line))
    return device.configure(Config({**built_in(), **settings}), here, runtime=runtime), told


def test_threads_are_set_only_where_they_are_given():
    runtime = Runtime([])
    assert configure(runtime, accelerator="cpu") == ("cpu", []) and runtime.told == {}
    runtime = Runtime([])
    assert configure(runtime, accelerator="cpu", TF_INTRA_THREADS=3, TF_INTER_THREADS=0) == ("cpu", [])
    assert runtime.told == {"set_intra_op_parallelism_threads": 3, "set_inter_op_parallelism_threads": 0}


def test_cpu_hides_the_gpu_and_auto_uses_it():
    assert configure(Runtime([GPU]), TF_DEVICE_MODE="cpu") == ("cpu", [])
    runtime = Runtime([GPU])
    assert configure(runtime) == ("gpu", []) and runtime.told == {"growth": True}
    assert configure(Runtime([GPU]), TF_DEVICE_MODE="gpu")[0] == "gpu"


def test_auto_leaves_a_gpu_alone_that_the_step_may_not_use():
    runtime = Runtime([GPU])
    assert configure(runtime, accelerator="cpu") == ("cpu", []) and runtime.visible == []


def test_growth_can_be_switched_off_and_a_limit_stands_instead_of_it():
    runtime = Runtime([GPU])
    configure(runtime, TF_GPU_ALLOW_GROWTH=False)
    assert runtime.told == {"growth": False}
    runtime = Runtime([GPU])
    configure(runtime, TF_GPU_MEMORY_LIMIT_MB=512)
    assert runtime.told == {"memory_limit": [512]}


@pytest.mark.parametrize(("gpus", "accelerator", "found"), [
    ([], "cuda", "found CPU:0 (with"), ([GPU], "cpu", "found CPU:0, GPU:0 (with"),
    ([], "cpu", "this run may use the CPU only"),
])  # fmt: skip
def test_a_required_gpu_that_is_missing_is_refused_with_what_was_found(gpus, accelerator, found):
    with pytest.raises(ConfigError, match="TF_DEVICE_MODE gpu needs a GPU") as caught:
        configure(Runtime(gpus), accelerator=accelerator, TF_DEVICE_MODE="gpu")
    assert found in str(caught.value).replace("without", "with")


def test_a_step_that_was_given_a_gpu_does_not_compute_on_the_cpu_instead():
    with pytest.raises(ConfigError, match=r"a step that was given one needs a GPU.*found CPU:0"):
        configure(Runtime([]))


def test_a_required_gpu_that_an_earlier_run_has_hidden_is_refused():
    runtime = Runtime([GPU])
    configure(runtime, TF_DEVICE_MODE="cpu")
    with pytest.raises(ConfigError, match="already runs without one in this process"):
        configure(runtime, TF_DEVICE_MODE="gpu")


def test_a_second_run_with_other_settings_goes_on_and_says_what_is_lost(caplog):
    device._log_once.cache_clear()
    runtime = Runtime([GPU])
    configure(runtime, TF_INTRA_THREADS=1)
    kind, told = configure(runtime, TF_INTRA_THREADS=4, TF_DEVICE_MODE="cpu")
    assert kind == "gpu"  # the truth, not the wish
    assert [line.partition(" has no effect")[0] for line in told] == ["TF_INTRA_THREADS=4", "hiding the GPU"]
    assert configure(runtime, TF_INTRA_THREADS=4)[1] == told[:1]
    assert [record.message for record in caplog.records] == told  # logged once


def test_a_second_run_with_the_same_settings_is_silent():
    runtime, same = Runtime([GPU]), {"TF_INTRA_THREADS": 2, "TF_GPU_MEMORY_LIMIT_MB": 256}
    assert configure(runtime, **same) == configure(runtime, **same) == ("gpu", [])


REAL = """
import tensorflow as tf
import tasks.subsidence.train, tasks.subsidence.infer
from types import SimpleNamespace
from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.settings.device import configure

told = []
here = SimpleNamespace(accelerator="cuda", tell=lambda share, line: told.append(line))
def run(**settings):
    return configure(Config({**built_in(), "TF_DEVICE_MODE": "cpu", **settings}), here)

print(run(TF_INTRA_THREADS=3, TF_INTER_THREADS=2), told)
print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())
print(float(tf.reduce_sum(tf.ones(4))))
print(run(TF_INTRA_THREADS=1, TF_INTER_THREADS=2), told)
"""


def test_tensorflow_takes_the_threads_before_it_starts_and_a_later_change_does_not_stop_it():
    """Importing the training code must not start the runtime, or the settings would come too late."""
    lines = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[:3] == ["cpu []", "3 2", "4.0"]
    assert lines[3].startswith("cpu ['TF_INTRA_THREADS=1 has no effect: TensorFlow already runs")
