"""The SavedModel: equal bytes for equal networks, and the same predictions after it has been loaded again."""

import io
import os
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.errors import ReloadMismatchError
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.network.origins import stored_windows
from tasks.subsidence.network.saved_model import packed, predict, saved_model_tar, unpack
from tests.subsidence.small_network import small_network, small_validation


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> bytes:
    return saved_model_tar(small_network(), *small_validation(), tmp_path_factory.mktemp("scratch"))


def test_a_second_export_gives_the_same_bytes(made, tmp_path):
    """TensorFlow numbers what it traces, so that the same graph has other names the second time."""
    tf.function(lambda: tf.constant(1.0)).get_concrete_function()
    assert saved_model_tar(small_network(), *small_validation(), tmp_path) == made
    assert list(tmp_path.iterdir()) == []


def test_the_tar_holds_graph_and_variables_without_dates_owners_or_paths(made, tmp_path):
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        entries = tar.getmembers()
    assert [entry.name for entry in entries] == [
        "saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index",
    ]  # fmt: skip
    assert {(entry.mtime, entry.uid, entry.uname) for entry in entries} == {(0, 0, "")}
    assert b"saved_model/made" not in made and b"/site-packages/" not in made


def test_the_public_signature_predicts_what_the_network_predicts(made, tmp_path):
    val, trained = small_validation()
    unpack(made, tmp_path)
    windows = stored_windows(val, small_network().semantics, float(small_network().known_until.numpy()))
    found = predict(tmp_path, windows, trained.levels)
    np.testing.assert_array_equal(found.subsidence, trained.subsidence)
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    served = signature(**{name: tf.constant(array[:3]) for name, array in windows.inputs.items()})
    np.testing.assert_allclose(served["gwl_pred"][..., 0], trained.head[:3], atol=1e-6)
    assert served["subs_pred"].shape == (3, 3, 3, 1)


def test_an_export_that_predicts_something_else_is_refused_and_leaves_nothing(tmp_path):
    val, trained = small_validation()
    other = Prediction(trained.levels, trained.subsidence + 2e-6, trained.head)
    with pytest.raises(ReloadMismatchError, match=r"the SavedModel predicts something else.*found 2e-06 m"):
        saved_model_tar(small_network(), val, other, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_packing_does_not_depend_on_dates_or_the_order_of_writing(tmp_path):
    for folder, names in (("one", ("b", "a/c")), ("two", ("a/c", "b"))):
        for age, name in enumerate(names):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (age, age))
    assert packed(tmp_path / "one") == packed(tmp_path / "two")


def test_unpacking_stays_in_its_folder(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(out.getvalue(), tmp_path / "inside")
    assert not (tmp_path / "escaped").exists()
