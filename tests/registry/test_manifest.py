"""Identity of an artifact: equal recipe and content give an equal hash, and nothing else does."""

import shutil

import pytest

from tasks.contracts.errors import StagegateError
from tasks.contracts.refs import ArtifactRef
from tasks.registry.entries import all_entries, bind, find, put_entry, register
from tasks.registry.manifest import ArtifactManifest, CanonicalError, canonical_json
from tasks.store.blobs import Store


def manifest(**changes):
    values = {
        "kind": "trained_model", "workload": "subsidence", "domain": "twin", "role": "predictor", "cycle_step": 5,
        "l_transition": "L3_L4", "component": {"factory": "net", "parameters": {"units": 8, "rate": 1e-3}},
        "code_digest": "c" * 64, "parents": {}, "oracle_slots": ("twin_city",), "data": {"train_inputs": "a" * 64},
        "blobs": {"weights": ArtifactRef(digest="b" * 64, size=3, media_type="application/x-hdf5", name="w.h5")},
        "rng": {"seed": 42},
    }  # fmt: skip
    return ArtifactManifest(**{**values, **changes})


def test_canonical_json_sorts_keys_and_writes_whole_floats_as_integers():
    assert canonical_json({"b": 1.0, "a": [-0.0, 0.1]}) == b'{"a":[0,0.1],"b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, b"x", {1, 2}, {1: "a"}])
def test_values_without_a_canonical_form_are_refused_with_their_path(value):
    with pytest.raises(CanonicalError, match=r"\$\.x"):
        canonical_json({"x": value})


def test_hash_follows_content():
    assert manifest().artifact_hash() == manifest().artifact_hash()
    assert manifest().artifact_hash() != manifest(rng={"seed": 43}).artifact_hash()


def test_registered_manifest_is_found_by_its_first_digits(tmp_path):
    store = Store(tmp_path)
    entry = manifest()
    register(entry, store)
    register(entry, store)
    assert find(entry.artifact_hash()[:8], store) == entry


def test_a_stored_manifest_is_found_once_it_is_bound_and_again_after_its_name_was_lost(tmp_path):
    store = Store(tmp_path)
    entry = put_entry(manifest(), store)
    assert entry.digest == manifest().artifact_hash()
    assert all_entries(store) == []
    for _ in range(2):
        bind(entry, store)
        assert find(entry.digest[:8], store) == manifest()
    shutil.rmtree(tmp_path / "refs")
    bind(entry, store)
    assert find(entry.digest[:8], store) == manifest()


def test_short_or_unknown_reference_is_refused(tmp_path):
    store = Store(tmp_path)
    register(manifest(), store)
    with pytest.raises(StagegateError, match="at least 8 digits"):
        find("abc", store)
    with pytest.raises(StagegateError, match=manifest().artifact_hash()[:12]):
        find("0" * 12, store)
