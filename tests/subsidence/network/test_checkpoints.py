"""What is kept of a network: the same bytes again, no dates, and no objects that could run."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.subsidence.infer import load
from tasks.subsidence.model import GeoPriorSubsNet
from tasks.subsidence.network.checkpoints import archive_bytes, pack, unpack, weights_bytes
from tests.subsidence.network.tiny_training import reference, tensors_of, windows_of


@pytest.fixture(scope="module")
def physical():
    return reference()


def test_weights_that_are_loaded_and_written_again_are_the_same_bytes(physical, tmp_path):
    case, result = physical
    (tmp_path / "best.weights.h5").write_bytes(result.best_weights)
    model = load(case.manifest, tmp_path / "best.weights.h5")
    assert weights_bytes(model, tmp_path) == result.best_weights
    assert archive_bytes(model, tmp_path) == archive_bytes(model, tmp_path) == result.best_archive


def test_the_archive_holds_no_date(physical):
    with zipfile.ZipFile(io.BytesIO(physical[1].best_archive)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"
        assert archive.namelist() == sorted(archive.namelist())


def test_keras_alone_opens_the_archive(physical, tmp_path):
    case, result = physical
    (tmp_path / "best.keras").write_bytes(result.best_archive)
    model = keras.saving.load_model(tmp_path / "best.keras")
    assert type(model) is GeoPriorSubsNet
    outputs = model(tensors_of(windows_of(model, case.val).inputs))
    np.testing.assert_allclose(outputs["subs_pred"][..., 0], result.val_prediction.subsidence, atol=1e-6)


def test_objects_in_saved_progress_are_refused():
    spoilt = io.BytesIO()
    np.savez(spoilt, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UnsafeCheckpointError, match="plain arrays"):
        unpack(spoilt.getvalue())
    np.testing.assert_array_equal(unpack(pack([np.arange(3)]))[0], [0, 1, 2])
