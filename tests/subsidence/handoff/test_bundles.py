import io
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError, UnsafeArchiveError
from tasks.store.blobs import Store
from tasks.subsidence.handoff.bundles import has_split, read_bundle, read_split
from tasks.subsidence.manifest import ingest_handoff, load_handoff
from tests.subsidence.mini import write_mini_handoff
from tests.subsidence.mini_city import mini_bundles, mini_city

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "subsidence" / "zhongshan" / "manifest.json"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="the shared Zhongshan handoff is not on this machine")


def _loaded(tmp_path, **spoil):
    store = Store(tmp_path / "store")
    return load_handoff(ingest_handoff(write_mini_handoff(tmp_path / "handoff", **spoil), store), store), store


def test_a_bundle_gives_the_arrays_of_its_file(tmp_path):
    arrays = read_bundle(*_loaded(tmp_path), "val_targets")
    assert arrays.keys() == {"subs_pred", "gwl_pred"}
    np.testing.assert_array_equal(arrays["gwl_pred"], mini_bundles(mini_city())["val_targets"]["gwl_pred"])


def test_a_bundle_that_is_not_there_is_named(tmp_path):
    handoff, store = _loaded(tmp_path)
    with pytest.raises(HandshakeError, match=r"oos_time_inputs.npz is not part of the handoff"):
        read_bundle(handoff, store, "oos_time_inputs")


def test_a_split_gives_stored_values_by_their_meaning(tmp_path):
    split = read_split(*_loaded(tmp_path), "train")
    assert len(split) == 60
    assert (split.coords.shape, split.dynamic.shape, split.static.shape) == ((60, 3, 3), (60, 5, 5), (60, 6))
    assert (split.future.shape, split.thickness.shape) == ((60, 8, 1), (60, 3, 1))
    assert (split.subsidence.shape, split.head.shape) == ((60, 3, 1), (60, 3, 1))
    assert split.coords.max() == 1.0


def test_the_future_has_no_targets(tmp_path):
    split = read_split(*_loaded(tmp_path), "future")
    assert (len(split), split.subsidence, split.head) == (40, None, None)


def test_a_split_without_a_target_file_has_no_targets(tmp_path):
    handoff, store = _loaded(tmp_path, after=lambda folder: (folder / "artifacts/test_targets.npz").unlink())
    split = read_split(handoff, store, "test")
    assert (len(split), split.subsidence, split.head) == (20, None, None)
    assert has_split(handoff, store, "test")


def test_absent_static_and_future_drivers_have_no_width(tmp_path):
    def bare(bundles):
        for arrays in bundles.values():
            arrays.pop("static_features", None)
            arrays.pop("future_features", None)

    def recorded(record):
        record["config"]["features"].update(static=[], future=[])

    split = read_split(*_loaded(tmp_path, arrays=bare, manifest=recorded), "val")
    assert (split.static.shape, split.future.shape) == ((20, 0), (20, 8, 0))


@pytest.mark.parametrize("kind", [np.float64, np.int32, ">f4", np.float16])
def test_other_kinds_of_numbers_become_native_single_precision(tmp_path, kind):
    def cast(bundles):
        bundles["val_inputs"]["H_field"] = np.asfortranarray(bundles["val_inputs"]["H_field"].astype(kind))

    thickness = read_split(*_loaded(tmp_path, arrays=cast), "val").thickness
    assert thickness.dtype == np.float32 and thickness.dtype.isnative and thickness.flags.c_contiguous
    np.testing.assert_allclose(thickness, mini_bundles(mini_city())["val_inputs"]["H_field"], atol=1.0)


def test_a_misshapen_split_is_refused_and_can_be_asked_about(tmp_path):
    def shorter(bundles):
        bundles["future_inputs"]["coords"] = bundles["future_inputs"]["coords"][:, :2]

    handoff, store = _loaded(tmp_path, arrays=shorter)
    with pytest.raises(HandshakeError, match=r"future_inputs.npz is misshapen"):
        read_split(handoff, store, "future")
    assert not has_split(handoff, store, "future")
    assert has_split(handoff, store, "train")


def test_a_split_that_was_not_exported_can_be_asked_about(tmp_path):
    handoff, store = _loaded(tmp_path, after=lambda folder: (folder / "artifacts/test_inputs.npz").unlink())
    assert not has_split(handoff, store, "test")


def test_targets_of_another_length_are_refused(tmp_path):
    def fewer(bundles):
        bundles["val_targets"] = {name: array[:19] for name, array in bundles["val_targets"].items()}

    with pytest.raises(HandshakeError, match=r"val_targets.npz has another number of windows"):
        read_split(*_loaded(tmp_path, arrays=fewer), "val")


def test_pickled_arrays_are_refused(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, coords=np.array([print], dtype=object))

    def plant(folder):
        (folder / "artifacts/train_inputs.npz").write_bytes(stream.getvalue())

    with pytest.raises(UnsafeArchiveError, match=r"object"):
        read_split(*_loaded(tmp_path, after=plant), "train")


@needs_real
def test_the_real_splits_have_their_sizes(tmp_path):
    store = Store(tmp_path / "store")
    handoff = load_handoff(ingest_handoff(REAL, store), store)
    sizes = {split: len(read_split(handoff, store, split)) for split in ("train", "val", "test", "future")}
    assert sizes == {"train": 1404, "val": 401, "test": 201, "future": 2006}
