"""Tensors of weight files, read without running any code of theirs."""

import pickletools
import zipfile
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tasks.contracts.errors import StagegateError, UnsafeCheckpointError
from tasks.tiles.checkpoint_document import refusal

State = dict[str, Tensor]

_SHOWN = 10
_ZIP_MAGIC = b"PK"
_CODE = {"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE"}


def read_safetensors(path: Path) -> State:
    """Tensors that stay mapped to the file until they are used. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise refusal(path, "is damaged or truncated", found=error) from error


def read_pickled(path: Path) -> Any:
    """What a `.pt` holds. Raises UnsafeCheckpointError where reading it would run code, else CheckpointError."""
    magic = _magic(path)
    if magic == _ZIP_MAGIC and not zipfile.is_zipfile(path):
        raise refusal(path, "is truncated", expected="a complete ZIP archive")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=magic == _ZIP_MAGIC)
    except UnpicklingError as error:
        if magic == _ZIP_MAGIC or _names_code(path):
            raise _unsafe(path) from error
        raise refusal(path, "is no PyTorch file") from error
    except Exception as error:  # torch names no class for damaged archives
        if "weights_only" in str(error):
            raise _unsafe(path) from error
        raise refusal(path, "is damaged or truncated", found=_first_line(error)) from error


def only_tensors(state: Any, path: Path) -> State:
    """A state dict, checked to be one. Raises CheckpointError."""
    if not isinstance(state, dict) or not state:
        raise refusal(path, "holds no state dict", found=type(state).__name__)
    if wrong := [str(key) for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]:
        raise refusal(path, "holds a state dict with values that are no tensors", found=_some(wrong))
    return state


def check_fit(state: State, expected: dict[str, torch.Size], path: Path) -> None:
    """Refuse a state whose names or shapes are not exactly the expected ones, or whose values are no floats."""
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    shared = sorted(expected.keys() & state.keys())
    shapes = [f"{key} {tuple(state[key].shape)}, not {tuple(expected[key])}" for key in shared
              if state[key].shape != expected[key]]  # fmt: skip
    kinds = [f"{key} {state[key].dtype}" for key in shared if not _is_plain(state[key])]
    groups = {"missing": missing, "unexpected": unexpected, "other shape": shapes, "no plain floats": kinds}
    if facts := [f"{len(keys)} {name} ({_some(keys)})" for name, keys in groups.items() if keys]:
        remedy = "Is it of another stage, or made with another config or variant?"
        raise refusal(path, "State dict mismatch", found="; ".join(facts), remedy=remedy)


def _is_plain(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout == torch.strided and value.device.type == "cpu"


def _some(keys: list[str]) -> str:
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2)
    except OSError as error:
        raise refusal(path, "cannot be read", found=error) from error


def _names_code(path: Path) -> bool:
    """Whether the pickles that a file begins with ask for functions or classes; nothing of them is executed."""
    with path.open("rb") as file, suppress(ValueError):  # the end of what can be read as pickles
        while True:
            if any(opcode.name in _CODE for opcode, _, _ in pickletools.genops(file)):
                return True
    return False


def _unsafe(path: Path) -> StagegateError:
    remedy = "Save it again as safetensors, or as a dict of tensors and plain values."
    what = "can only be read by running code that it names, and was not read"
    return UnsafeCheckpointError(what, where=str(path), remedy=remedy)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
