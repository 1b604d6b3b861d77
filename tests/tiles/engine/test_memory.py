"""Workers by CPUs, quota and memory; what counts as memory that ran out."""

import numpy as np
import pytest

from tasks.tiles import devices, memory
from tasks.tiles.devices import starting_device, worker_number
from tasks.tiles.memory import is_out_of_memory

GB = 1 << 30


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 8 CPUs with the files of a control group."""
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)

    def write(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    return write


def test_cpus_are_those_of_the_affinity_within_the_quota(machine):
    assert memory.usable_cpus() == 8
    machine(cpu_max="max 100000")
    assert memory.usable_cpus() == 8
    machine(cpu_max="250000 100000")
    assert memory.usable_cpus() == 2
    machine(cpu_max="50000 100000")
    assert memory.usable_cpus() == 1


def test_free_memory_is_what_the_container_leaves(machine):
    machine(memory_max=f"{4 * GB}", memory_current=f"{3 * GB}")
    assert memory.free_bytes() == GB
    machine(memory_max="max")
    assert memory.free_bytes() > 0


def test_models_take_at_most_seventy_percent_of_the_free_memory(machine, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10 * GB)
    assert memory.worker_count(0) == 8
    assert memory.worker_count(3 * GB) == 2
    assert memory.worker_count(100 * GB) == 1


def test_workers_are_as_asked_and_no_more_than_batches(monkeypatch):
    monkeypatch.setattr(devices, "worker_count", lambda size: 8)
    monkeypatch.setattr(devices, "gpu_count", lambda: 3)
    assert worker_number(None, "cpu", 0, batches=5) == 5
    assert worker_number(None, "cpu", 0, batches=50) == 8
    assert worker_number(2, "cpu", 0, batches=50) == 2
    assert worker_number(12, "cpu", 0, batches=5) == 5
    assert worker_number(None, "cuda", 0, batches=50) == 3
    assert worker_number(None, "cuda:1", 0, batches=50) == 1


def test_without_a_gpu_the_cpu_is_used_with_one_warning(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(devices, "_DEVICES", tmp_path)
    assert starting_device("cuda", required=False) == "cpu"
    assert [record.message for record in caplog.records] == ["no usable device cuda; continuing on the CPU"]
    with pytest.raises(devices.ConfigError, match="require_device"):
        starting_device("cuda:1", required=True)


def test_gpus_are_those_that_are_visible(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_DEVICES", tmp_path)
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpu_count() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.gpu_count() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.gpu_count() == 0
    assert starting_device("cpu", required=True) == "cpu"


def test_torch_numpy_and_python_say_out_of_memory_in_their_own_ways():
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
