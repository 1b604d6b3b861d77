import json
import shutil
import time
from pathlib import Path

import pytest

from tasks.contracts.errors import HandshakeError, MissingInputError, UnsafePathError
from tasks.store.blobs import Store
from tasks.subsidence.manifest import (
    find_manifest,
    ingest_handoff,
    load_handoff,
    locate_files,
    parse_manifest,
    read_manifest,
)
from tests.subsidence.audit_cases import DELETE, in_manifest
from tests.subsidence.mini import write_mini_handoff

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "subsidence" / "zhongshan" / "manifest.json"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="the shared Zhongshan handoff is not on this machine")
TRAIN = "artifacts.numpy.train_inputs_npz"


def _at(path, key):
    return next(place for place in locate_files(path) if place.key == key)


# ---- reading


def test_a_manifest_is_typed_and_frozen(tmp_path):
    manifest = parse_manifest(write_mini_handoff(tmp_path).read_bytes())
    assert (manifest.city, manifest.config.TIME_STEPS, manifest.scaling.coord_epsg_used) == ("minicity", 5, 32649)
    assert manifest.config.features.dynamic[1] == "subsidence_cum__si"
    assert manifest.artifacts.shapes["val_inputs"]["coords"] == (20, 3, 3)
    assert manifest.faults == () and manifest.unknown_keys == ()
    with pytest.raises(Exception, match=r"frozen"):
        manifest.city = "other"


def test_unknown_keys_are_kept_and_listed():
    manifest = parse_manifest(b'{"stage": "stage1", "extra": {"a": [1]}, "config": {"cols": {"slope": "s"}}}')
    assert manifest.unknown_keys == ("config.cols.slope", "extra")
    assert manifest.model_extra["extra"] == {"a": [1]}
    assert manifest.plain()["config"]["cols"] == {"slope": "s"}


def test_a_value_of_the_wrong_type_is_set_aside_and_named():
    manifest = parse_manifest(b'{"config": {"TIME_STEPS": "5", "MODE": "tft_like", "features": {"static": ["a", 3]}}}')
    assert manifest.config.TIME_STEPS is None
    assert manifest.config.MODE == "tft_like"
    assert manifest.config.features.static == ()
    places = [fault.partition(":")[0] for fault in manifest.faults]
    assert places == ["config.TIME_STEPS", "config.features.static"]
    assert "found '5'" in manifest.faults[0]


def test_one_hot_blocks_follow_the_longest_category_name():
    manifest = parse_manifest(
        json.dumps(
            {
                "config": {
                    "features": {
                        "static": ["lithology_Rock", "lithology_class_Soil", "lithology_class_Rock", "z_surf_m__si"]
                    },
                    "feature_registry": {"resolved_optional_categorical": ["lithology", "lithology_class"]},
                }
            }
        ).encode()
    )
    assert manifest.one_hot_blocks() == {"lithology": (0,), "lithology_class": (1, 2)}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "manifest.json is empty"),
        (b"  \n", "manifest.json is empty"),
        (b'{"stage": "sta', "manifest.json is not valid JSON"),
        (b"[1, 2]", "expected an object with stage, city, config, found list"),
        (b"\xff\xfe\x00", "manifest.json is not valid JSON"),
        (b'{"city": "\\ud800"}', "manifest.json cannot be read as a manifest"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": "' + b"x" * (5 << 20) + b'"}', "too large"),
    ],
    ids=["empty", "blank", "truncated", "list", "binary", "surrogate", "deep", "large"],
)
def test_a_manifest_that_cannot_be_read_is_a_typed_error_at_once(data, says):
    begin = time.process_time()
    with pytest.raises(HandshakeError, match=says) as error:
        parse_manifest(data)
    assert error.value.exit_code == 2
    assert time.process_time() - begin < 0.5  # of this process; 50 ms are meant


def test_a_hundred_megabytes_are_refused_without_being_read(tmp_path):
    path = tmp_path / "manifest.json"
    with path.open("wb") as stream:
        stream.truncate(100 << 20)
    with pytest.raises(HandshakeError, match=r"manifest.json is too large: expected at most 4194304 bytes"):
        ingest_handoff(path, Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("path", ["nowhere/manifest.json", "."])
def test_a_manifest_that_is_not_there_is_a_missing_input(tmp_path, path):
    with pytest.raises(MissingInputError, match=r"manifest does not exist"):
        ingest_handoff(tmp_path / path, Store(tmp_path / "store"))


# ---- the path rule


def _placed(folder, stored, run_dir="/data/city_stage1"):
    def spoil(record):
        record["artifacts"]["numpy"]["train_inputs_npz"] = stored
        record["paths"]["run_dir"] = run_dir

    return write_mini_handoff(folder, manifest=spoil)


def test_a_relative_path_is_used_as_it_is(tmp_path):
    place = _at(write_mini_handoff(tmp_path), TRAIN)
    assert (place.resolved, place.relocated) == (tmp_path / "artifacts/train_inputs.npz", False)


@pytest.mark.parametrize("run_dir", ["/data/city_stage1", "/data/city_stage1/"])
def test_an_absolute_path_loses_the_recorded_run_folder(tmp_path, run_dir):
    place = _at(_placed(tmp_path, "/data/city_stage1/artifacts/train_inputs.npz", run_dir), TRAIN)
    assert (place.resolved, place.relocated) == (tmp_path / "artifacts/train_inputs.npz", True)


def test_an_absolute_path_falls_back_to_its_name_in_artifacts(tmp_path):
    place = _at(_placed(tmp_path, "/elsewhere/deep/train_inputs.npz"), TRAIN)
    assert (place.resolved, place.relocated) == (tmp_path / "artifacts/train_inputs.npz", True)


def test_a_windows_path_below_its_run_folder_is_relocated(tmp_path):
    stored = "C:\\data\\run\\artifacts\\train_inputs.npz"
    place = _at(_placed(tmp_path, stored, "C:\\data\\run"), TRAIN)
    assert (place.resolved, place.relocated) == (tmp_path / "artifacts/train_inputs.npz", True)


def test_an_absolute_path_that_exists_outside_is_never_taken(tmp_path):
    outside = tmp_path / "outside.npz"
    outside.write_bytes(b"secret")
    place = _at(_placed(tmp_path / "handoff", str(outside)), TRAIN)
    assert (place.resolved, place.relocated) == (None, False)


@pytest.mark.parametrize(
    "stored",
    [
        "../secret.npz",
        "artifacts/../../secret.npz",
        "..\\secret.npz",
        "/data/city_stage1/../../etc/passwd",
        "D:/data/train_inputs.npz",
        "artifacts/train\0.npz",
        "/data/city_stage1/train\0.npz",
    ],
)
def test_a_path_that_would_leave_the_folder_is_refused(tmp_path, stored):
    path = _placed(tmp_path / "handoff", stored)
    with pytest.raises(UnsafePathError):
        locate_files(path)
    with pytest.raises(UnsafePathError):
        ingest_handoff(path, Store(tmp_path / "store"))


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "secret.npz").write_bytes(b"secret")
    path = write_mini_handoff(tmp_path / "handoff")
    link = path.parent / "artifacts/train_inputs.npz"
    link.unlink()
    link.symlink_to(tmp_path / "secret.npz")
    with pytest.raises(UnsafePathError, match=r"symbolic link"):
        locate_files(path)


def test_a_handoff_behind_a_link_to_its_folder_is_read(tmp_path):
    write_mini_handoff(tmp_path / "handoff")
    (tmp_path / "latest").symlink_to("handoff")
    ingested = ingest_handoff(tmp_path / "latest" / "manifest.json", Store(tmp_path / "store"))
    assert next(file.resolved_path for file in ingested.files if file.key == TRAIN) == "artifacts/train_inputs.npz"


# ---- ingest and load


def test_all_files_go_into_the_store_under_their_manifest_places(tmp_path):
    store = Store(tmp_path / "store")
    path = write_mini_handoff(tmp_path / "handoff", with_scalers=True)
    ingested = ingest_handoff(path, store)
    keys = [file.key for file in ingested.files]
    assert keys == sorted(keys)
    assert {
        TRAIN,
        "artifacts.csv.raw",
        "config.holdout.artifacts.train_groups_csv",
        "stage1_scaling_audit",
        "scalers",
    } <= set(keys)
    assert store.get_bytes(ingested.manifest) == path.read_bytes()
    assert store.get_bytes(ingested.ref(TRAIN)) == (path.parent / "artifacts/train_inputs.npz").read_bytes()


def test_a_file_that_is_not_there_has_no_ref(tmp_path):
    path = write_mini_handoff(tmp_path / "handoff", after=lambda folder: (folder / "mini_panel.csv").unlink())
    file = next(
        file for file in ingest_handoff(path, Store(tmp_path / "store")).files if file.key == "artifacts.csv.raw"
    )
    assert (file.stored_path, file.resolved_path, file.ref) == ("mini_panel.csv", None, None)


def test_the_folder_is_no_part_of_what_is_ingested(tmp_path):
    store = Store(tmp_path / "store")
    here = write_mini_handoff(tmp_path / "here")
    shutil.copytree(here.parent, tmp_path / "there")
    assert ingest_handoff(here, store) == ingest_handoff(tmp_path / "there" / "manifest.json", store)


def test_a_handoff_names_the_bundles_that_exist(tmp_path):
    store = Store(tmp_path / "store")
    path = write_mini_handoff(tmp_path / "h", after=lambda folder: (folder / "artifacts/test_inputs.npz").unlink())
    ingested = ingest_handoff(path, store)
    handoff = load_handoff(ingested, store)
    assert set(handoff.bundles) == {
        "train_inputs",
        "train_targets",
        "val_inputs",
        "val_targets",
        "test_targets",
        "future_inputs",
        "future_targets",
    }
    assert (handoff.city, handoff.time_steps, handoff.horizon, handoff.mode) == ("minicity", 5, 3, "tft_like")
    assert (handoff.train_end_year, handoff.forecast_start_year) == (2022, 2023)
    assert read_manifest(ingested, store).city == "minicity"


def test_essentials_that_are_missing_are_listed_together(tmp_path):
    def spoil(record):
        del record["city"]
        record["config"]["TIME_STEPS"] = "five"

    store = Store(tmp_path / "store")
    ingested = ingest_handoff(write_mini_handoff(tmp_path / "h", manifest=spoil), store)
    with pytest.raises(HandshakeError, match=r"M-02 lacks city, config.TIME_STEPS") as error:
        load_handoff(ingested, store)
    assert "'five'" in str(error.value)


@needs_real
def test_the_real_handoff_is_ingested(tmp_path):
    store = Store(tmp_path / "store")
    ingested = ingest_handoff(REAL, store)
    missing = {file.key for file in ingested.files if file.ref is None}
    assert missing == {
        "artifacts.csv.raw",
        "artifacts.csv.clean",
        "artifacts.csv.scaled",
        "artifacts.encoders.ohe.lithology",
        "artifacts.encoders.ohe.lithology_class",
        "artifacts.sequences.joblib_train_sequences",
    }
    assert all(file.relocated for file in ingested.files if file.ref and file.key != "stage1_scaling_audit")
    manifest = read_manifest(ingested, store)
    assert ingested.manifest.digest.startswith("2017a7ee")
    assert manifest.faults == ()
    assert manifest.one_hot_blocks() == {"lithology": (0, 1, 2, 3, 4), "lithology_class": (5, 6, 7)}
    assert len(load_handoff(ingested, store).bundles) == 8


# ---- choosing


def _stamped(folder, timestamp, **changes):
    return write_mini_handoff(folder, manifest=lambda record: record.update(timestamp=timestamp, **changes))


def test_the_newest_fitting_manifest_is_chosen_and_the_others_are_explained(tmp_path):
    _stamped(tmp_path / "old", "2026-01-01 00:00:00")
    newest = _stamped(tmp_path / "new", "2026-02-01 00:00:00")
    _stamped(tmp_path / "other_city", "2026-03-01 00:00:00", city="nansha")
    _stamped(tmp_path / "later_stage", "2026-03-01 00:00:00", stage="stage-2-train")
    _stamped(tmp_path / "undated", "soon")
    incomplete = _stamped(tmp_path / "incomplete", "2026-03-01 00:00:00")
    (incomplete.parent / "artifacts/val_targets.npz").unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/manifest.json").write_text("{")
    found = find_manifest(tmp_path, city="MINICITY", model="GeoPriorSubsNet")
    assert found.path == newest
    reasons = {
        "old/manifest.json": "older (2026-01-01",
        "other_city/manifest.json": "city is 'nansha'",
        "later_stage/manifest.json": "stage is 'stage-2-train'",
        "undated/manifest.json": "timestamp 'soon'",
        "incomplete/manifest.json": "missing val_targets.npz",
        "broken/manifest.json": "not valid JSON",
    }
    assert found.rejected.keys() == reasons.keys()
    assert all(reason in found.rejected[label] for label, reason in reasons.items())
    assert found.notes == {}


def test_another_models_handoff_is_taken_and_noted(tmp_path):
    _stamped(tmp_path / "a", "2026-01-01 00:00:00")
    found = find_manifest(tmp_path, city="minicity", model="HybridAttn-NoPhysics")
    assert found.notes == {"a/manifest.json": "written for model 'GeoPriorSubsNet', used for 'HybridAttn-NoPhysics'"}


def test_equally_new_manifests_are_an_error_that_lists_both(tmp_path):
    paths = [_stamped(tmp_path / name, "2026-01-01 00:00:00") for name in "ab"]
    with pytest.raises(HandshakeError, match=r"equally new") as error:
        find_manifest(tmp_path, city="minicity")
    assert all(str(path) in str(error.value) for path in paths)
    assert "--stage1-manifest" in str(error.value)


def test_without_a_city_manifests_of_several_cities_are_an_error(tmp_path):
    _stamped(tmp_path / "a", "2026-01-01 00:00:00")
    _stamped(tmp_path / "b", "2026-01-02 00:00:00", city="nansha")
    with pytest.raises(HandshakeError, match=r"minicity, nansha"):
        find_manifest(tmp_path)


def test_no_manifest_at_all_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"no manifest.json at all"):
        find_manifest(tmp_path, city="minicity")
    with pytest.raises(MissingInputError, match=r"data folder does not exist"):
        find_manifest(tmp_path / "nowhere")


def test_the_reasons_are_told_when_nothing_fits(tmp_path):
    write_mini_handoff(tmp_path / "a", **in_manifest("city", DELETE))
    with pytest.raises(MissingInputError, match=r"a/manifest.json: city is None, not 'minicity'"):
        find_manifest(tmp_path, city="minicity")


def test_a_manifest_with_unsafe_paths_is_no_candidate(tmp_path):
    _placed(tmp_path / "a", "../secret.npz")
    with pytest.raises(MissingInputError, match=r"unreadable: .*`..`"):
        find_manifest(tmp_path, city="minicity")
