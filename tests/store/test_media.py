"""Media types come from the last suffix, whatever its case."""

import pytest

from tasks.store.media import media_type_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train_inputs.npz", "application/x-npz"),
        ("MAP.PNG", "image/png"),
        ("best.weights.h5", "application/x-hdf5"),
        ("manifest.json", "application/json"),
        ("notes", "application/octet-stream"),
        ("json", "application/octet-stream"),
        ("archive.unknown", "application/octet-stream"),
    ],
)
def test_media_type_of_a_name(name, expected):
    assert media_type_of(name) == expected
