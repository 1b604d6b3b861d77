"""`.pt` files: sound ones, and some that try to run code when they are read."""

import io
import pickle
import zipfile
from pathlib import Path

import torch

from tasks.tiles.checkpoint_document import FORMAT
from tasks.tiles.model import Refiner


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.trace),)


def write_pt(path: Path, model: Refiner, **changes) -> Path:
    """A checkpoint in one file."""
    content = {"format": FORMAT, "config": model.config.model_dump(mode="json"), "model_state_dict": model.state_dict()}
    torch.save({**content, **changes}, path)
    return path


def write_code(path: Path, trace: Path, kind: str) -> Path:
    """A file whose reading runs code: as torch saves it today, as it did before, or as a plain pickle."""
    content = {"format": FORMAT, "config": {}, "model_state_dict": {"a": RunsCode(trace)}}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content))
    elif kind == "text":
        path.write_bytes(pickle.dumps(content, protocol=0))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def without_directory(data: bytes) -> bytes:
    """A ZIP archive that was cut off before its end."""
    assert zipfile.is_zipfile(io.BytesIO(data))
    return data[: len(data) // 2]
