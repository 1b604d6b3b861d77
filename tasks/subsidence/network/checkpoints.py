"""Weights and training state as bytes: equal values give equal bytes, without a word of when they were written."""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.subsidence.model import SubsidenceNetwork

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
STATE, VARIABLES, BEST = "state.json", "variables.npz", "best.npz"
SUFFIX = ".weights.h5"


def weights_bytes(model: SubsidenceNetwork, scratch: Path) -> bytes:
    """The weights in HDF5, without optimizer state."""
    path = scratch / "one.weights.h5"
    model.save_weights(path, overwrite=True)
    data = path.read_bytes()
    path.unlink()
    return data


def check_tensors(model: SubsidenceNetwork, weights: Path) -> None:
    """Refuse stored weights that lack a tensor, hold one more, or one of another shape (UnsafeCheckpointError).

    Keras reads only what it looks for, so that a larger file would go into a smaller network without a word.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / f"own{SUFFIX}"
        model.save_weights(own)
        expected, found = tensor_shapes(own), tensor_shapes(weights)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UnsafeCheckpointError(
                "weights do not fit the network of the init manifest",
                where=weights.name,
                expected=_told(name, expected.get(name)),
                found=_told(name, found.get(name)),
            )


def tensor_shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a weights file, by its path in the file."""
    import h5py

    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = tuple(item.shape)

    with h5py.File(weights) as stored:
        stored.visititems(note)
    return shapes


def _told(name: str, shape: tuple[int, ...] | None) -> str:
    return f"no tensor {name}" if shape is None else f"{name} of shape {shape}"


def archive_bytes(model: SubsidenceNetwork, scratch: Path) -> bytes:
    """The Keras archive for outside tools, rewritten without dates; this product never loads one."""
    path = scratch / "one.keras"
    model.save(path, overwrite=True)
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    path.unlink()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "date_saved": "1980-01-01@00:00:00"}, sort_keys=True).encode()
            target.writestr(zipfile.ZipInfo(name, ZIP_DATE), data)
    return out.getvalue()


def values_of(model: SubsidenceNetwork) -> list[np.ndarray]:
    """Copies of all weights, frozen ones included."""
    return [np.array(weight) for weight in model.weights]


def put_values(model: SubsidenceNetwork, values: list[np.ndarray]) -> None:
    """The inverse of `values_of`."""
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)


def pack(arrays: list[np.ndarray]) -> bytes:
    """A list of arrays as an npz."""
    out = io.BytesIO()
    np.savez(out, **{f"a{place:05d}": array for place, array in enumerate(arrays)})
    return out.getvalue()


def unpack(data: bytes) -> list[np.ndarray]:
    """The inverse of `pack`; raises UnsafeCheckpointError where the bytes hold objects."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return [stored[name] for name in sorted(stored.files)]
    except ValueError as error:
        raise UnsafeCheckpointError("does not hold plain arrays", where="saved progress", found=str(error)) from error
