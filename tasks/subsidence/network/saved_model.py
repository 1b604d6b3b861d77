"""The network as a SavedModel for outside tools: a tar with fixed dates, checked like the weights before it is kept.

Its function `serve` (signature `serving_default`) takes what the network sees of a window: the arrays of the handoff in
SI units, `history_mask` (ones: observed) and `known` (ones up to the last target year of the training, zeros beyond),
and gives subs_pred and gwl_pred, (N, H, Q, 1) in m. Equal networks give equal bytes on one TensorFlow release.
"""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.network.datasets import batches
from tasks.subsidence.network.origins import Windows, stored_windows
from tasks.subsidence.network.saved_graph import canonical
from tasks.subsidence.network.start import add_neighbours
from tasks.subsidence.scoring.calibration import reload_difference

GRAPH, FINGERPRINT = "saved_model.pb", "fingerprint.pb"
BATCH = 512


def saved_model_tar(network: SubsidenceNetwork, val: Split, trained: Prediction, scratch: Path) -> bytes:
    """The network as a tar that holds a SavedModel.

    The tar is unpacked and loaded again; ReloadMismatchError where it predicts the validation windows more than 1e-6 m
    away from the trained network.
    """
    windows = add_neighbours(network, stored_windows(val, network.semantics, float(network.known_until.numpy())))
    folder = scratch / "saved_model"
    try:
        _save(network, windows, folder / "made")
        data = packed(folder / "made")
        unpack(data, folder / "loaded")
        reload_difference(trained, predict(folder / "loaded", windows, network.levels), what="the SavedModel")
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # made above, by this call
    return data


def _save(network: SubsidenceNetwork, windows: Windows, folder: Path) -> None:
    """Write the SavedModel, its graph in canonical form."""
    arrays = windows.inputs.items()
    signature = {name: tf.TensorSpec((None, *array.shape[1:]), array.dtype, name) for name, array in arrays}

    def serve(inputs):
        return network(inputs)

    module = tf.Module()
    module.network = network
    module.serve = tf.function(serve, input_signature=[signature])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    (folder / FINGERPRINT).unlink(missing_ok=True)
    graph = folder / GRAPH
    graph.write_bytes(canonical(graph.read_bytes()))


def packed(folder: Path) -> bytes:
    """All files below a folder as a tar: names in order, no dates, no owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data, entry = path.read_bytes(), tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """The inverse of `packed`; nothing may leave the folder."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")


def predict(folder: Path, windows: Windows, levels: tuple[float, ...]) -> Prediction:
    """What an unpacked SavedModel says of N windows; float64 (N, H, Q) m."""
    served = tf.saved_model.load(str(folder))
    rows, _ = batches(np.arange(len(windows)), min(BATCH, len(windows)))
    inputs = ({name: tf.constant(array[chunk]) for name, array in windows.inputs.items()} for chunk in rows)
    parts = [served.serve(batch) for batch in inputs]
    joined = {
        name: np.concatenate([part[name].numpy() for part in parts])[: len(windows), ..., 0].astype(np.float64)
        for name in ("subs_pred", "gwl_pred")
    }
    return Prediction(levels, joined["subs_pred"], joined["gwl_pred"])
