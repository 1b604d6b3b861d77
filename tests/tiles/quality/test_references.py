"""What references are read, and how strong an oracle they make."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.contracts.errors import ConfigError
from tasks.contracts.tile_errors import AmbiguousUnitsError, TileReadError, TileShapeError
from tasks.store.npz_writer import write_npz
from tasks.tiles.references import STRENGTHS, oracle_of, read_reference, strength_of, unsharp

TARGET = np.random.default_rng(0).uniform(0, 1, (4, 6, 5)).astype(np.float32)


@pytest.mark.parametrize("key", ["target", "opt_ref"])
def test_either_key_is_a_target(key):
    np.testing.assert_array_equal(read_reference(write_npz({key: TARGET}), "a"), TARGET)


@pytest.mark.parametrize("plane", [lambda band: band, lambda band: band[None]])
def test_four_bands_are_a_target(plane):
    keys = ("s2_b2", "s2_b3", "s2_b4", "s2_b8")
    arrays = {key: plane(band.astype(np.float64)) for key, band in zip(keys, TARGET, strict=True)}
    np.testing.assert_array_equal(read_reference(write_npz(arrays), "a"), TARGET)


def test_a_pixel_that_one_band_lacks_is_invalid_in_all():
    gapped = TARGET.copy()
    gapped[1, 2, 3], gapped[0, 0, 0] = np.inf, np.nan
    found = read_reference(write_npz({"target": gapped}), "a")
    assert np.argwhere(np.isnan(found).all(axis=0)).tolist() == [[0, 0], [2, 3]]
    assert np.isnan(found).sum() == 8


@pytest.mark.parametrize(
    ("arrays", "error", "text"),
    [
        ({"opt_v1": TARGET}, TileShapeError, r"found opt_v1 \(4, 6, 5\)"),
        ({"s2_b2": TARGET[0], "s2_b3": TARGET[0], "s2_b4": TARGET[0]}, TileShapeError, "holds no target"),
        ({"target": TARGET.transpose(1, 2, 0)}, TileShapeError, r"expected \(4, H, W\), found \(6, 5, 4\)"),
        ({"target": (TARGET * 10_000).astype(np.uint16)}, AmbiguousUnitsError, "uint16"),
    ],
)
def test_what_is_no_target_is_refused_by_name(arrays, error, text):
    with pytest.raises(error, match=text):
        read_reference(write_npz(arrays), "a")


def test_a_damaged_reference_is_a_read_error():
    with pytest.raises(TileReadError, match="reference of a"):
        read_reference(write_npz({"target": TARGET})[:-40], "a")


def test_a_folder_without_a_word_holds_the_users_images(tmp_path):
    assert strength_of(tmp_path) == ("human_labels", STRENGTHS["human_labels"])


@pytest.mark.parametrize("text", ['{"format": "stagegate-oracle-1", "oracle_strength": "certain"}', "[1]", '{"a": 1}'])
def test_a_folder_that_describes_itself_wrongly_is_refused(tmp_path, text):
    (tmp_path / "oracle.json").write_text(text)
    with pytest.raises(ConfigError, match=r"oracle\.json does not describe an oracle"):
        strength_of(tmp_path)


def test_the_oracles_hash_follows_files_and_strength_and_not_their_order():
    files = {"a": "1" * 64, "b": "2" * 64}
    one = oracle_of("heuristic", files)
    assert one.sha256 == oracle_of("heuristic", dict(reversed(files.items()))).sha256
    assert one.sha256 != oracle_of("human_labels", files).sha256
    assert one.sha256 != oracle_of("heuristic", files | {"b": "3" * 64}).sha256


def test_unsharp_is_the_gaussian_one_within_reflectance():
    blurred = np.array([ndimage.gaussian_filter(band, 0.8, mode="reflect") for band in TARGET])
    np.testing.assert_allclose(unsharp(TARGET), np.clip(TARGET + 0.5 * (TARGET - blurred), 0, 1), atol=1e-6)


def test_unsharp_keeps_gaps_where_they_are():
    gapped = TARGET.copy()
    gapped[:, 3, 3] = np.nan
    assert np.argwhere(np.isnan(unsharp(gapped)).any(axis=0)).tolist() == [[3, 3]]
