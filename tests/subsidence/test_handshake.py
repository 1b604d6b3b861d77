import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import HandshakeError
from tasks.store.blobs import Store
from tasks.subsidence.checks.registry import CHECKS, ordered
from tasks.subsidence.handshake import audit, judge, refuse
from tasks.subsidence.manifest import ingest_handoff, load_handoff
from tasks.subsidence.types import LiveConfig
from tests.subsidence.audit_cases import Case, audit_of, audited
from tests.subsidence.checks import (
    test_coordinates,
    test_files,
    test_leakage,
    test_manifest_checks,
    test_physics,
    test_shapes,
    test_units,
    test_values,
)
from tests.subsidence.mini import write_mini_handoff

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "subsidence" / "zhongshan" / "manifest.json"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="the shared Zhongshan handoff is not on this machine")
MODULES = (
    test_manifest_checks,
    test_files,
    test_shapes,
    test_values,
    test_coordinates,
    test_units,
    test_leakage,
    test_physics,
)
PUBLIC_KEYS = {
    "expected",
    "got",
    "finite",
    "coord_stats_norm",
    "coord_checks",
    "coord_stats_raw",
    "coord_range_check",
    "sk_summary",
    "sk_checks",
}
IDS = [
    f"{group}-{number:02d}"
    for group, count in zip("MFSVCUGK", (8, 6, 4, 5, 9, 10, 4, 3), strict=True)
    for number in range(1, count + 1)
]


def test_all_checks_are_registered_in_the_order_of_the_table():
    assert [one.id for one in ordered()] == IDS


def test_every_check_has_a_handoff_that_it_refuses_or_warns_about():
    tried = {case.id for module in MODULES for case in module.CASES if case.status in ("fail", "warn")}
    assert set(CHECKS) - tried == {"V-02"}  # a record, which cannot fail


def test_a_sound_handoff_passes_with_what_it_cannot_help(tmp_path):
    outcome = audited(tmp_path, with_scalers=True, with_hashes=True)
    assert outcome.verdict == "pass_with_warnings"
    assert outcome.with_status("fail") == set()
    assert outcome.with_status("skipped") == set()
    assert outcome.with_status("warn") == {"C-01", "G-04"}
    assert outcome.report["counts"] == {"pass": 47, "warn": 2, "fail": 0, "skipped": 0}


def test_without_another_complaint_only_the_unscored_later_split_is_warned_of(tmp_path):
    def no_future(record):
        for name in ("future_inputs_npz", "future_targets_npz"):
            del record["artifacts"]["numpy"][name]

    def in_the_unit_cube(bundles):  # a later split that stays inside the train range
        bundles["oos_time_inputs"]["coords"][..., 0] -= 1 / 7

    found = audited(tmp_path, manifest=no_future, arrays=in_the_unit_cube, oos_time=True)
    assert (found.verdict, found.with_status("warn")) == ("pass_with_warnings", {"G-04"})
    assert judge(result for id, result in found.results.items() if id != "G-04") == "pass"


@needs_real
def test_the_real_handoff_passes_with_exactly_the_known_warnings(tmp_path):
    audit_of(REAL, tmp_path / "store")  # imports and blobs are there now
    begin = time.process_time()
    outcome = audit_of(REAL, tmp_path / "store")
    assert time.process_time() - begin < 2.0
    assert outcome.verdict == "pass_with_warnings"
    assert outcome.with_status("fail") == set()
    assert outcome.with_status("warn") == {"F-05", "C-01", "C-07", "K-02", "G-03", "G-04"}
    assert "val_inputs.npz 'coords' x spans 0.01522387..1.003822" in outcome.results["C-01"].message
    assert "future_inputs.npz 'coords' t spans 1.28571..1.571416" in outcome.results["C-01"].message
    assert "train" not in outcome.results["C-01"].where
    assert "2024.00..2026.00" in outcome.results["C-07"].message
    assert outcome.report["georeference"] == {
        "source": "stage1_scaling_audit.json",
        "minimum": {"t": 2015.0, "x": 721473.1875, "y": 2457339.0},
        "range": {"t": 7.0, "x": 48242.5, "y": 62406.75},
    }


@needs_real
def test_all_absolute_paths_of_the_real_handoff_are_relocated(tmp_path):
    report = audit_of(REAL, tmp_path / "store").report
    present = [file["name"] for file in report["files"] if file["path"] and file["name"] != "stage1_scaling_audit"]
    assert [entry["name"] for entry in report["relocations"]] == present
    assert len(present) == 15
    assert report["relocations"][0]["stored"] == "{run_dir}/artifacts/zhongshan_coord_scaler.joblib"
    assert "/data/zhongshan" not in json.dumps(report)


def test_the_report_has_the_public_keys_and_no_place_or_time_of_its_own(tmp_path):
    report = audited(tmp_path).report
    assert report.keys() >= PUBLIC_KEYS | {
        "schema_version",
        "verdict",
        "manifest",
        "files",
        "checks",
        "counts",
        "relocations",
    }
    assert report["manifest"]["path"] == "manifest.json"
    assert str(tmp_path) not in json.dumps(report)
    assert report["expected"]["static_features.shape"] == "(N,6)"
    assert report["got"]["N_train"] == 60 and report["got"]["y_gwl_pred"] == [60, 3, 1]
    assert report["finite"]["X_val.coords.finite_ratio"] == 1.0
    assert report["coord_checks"] == {"expected_in_[0,1]": True} | {
        f"{lead}{axis}_outside_01?": lead == "future." and axis == "t"
        for lead in ("", "val.", "test.", "future.")
        for axis in "txy"
    }
    assert report["coord_stats_raw"]["t.raw"]["max"] == 2022.0
    assert set(report["checks"][0]) == {"id", "severity", "status", "message", "expected", "found", "where", "remedy"}


def test_the_same_handoff_gives_the_same_report_wherever_it_lies(tmp_path):
    reports = [audited(tmp_path / place).report for place in ("here", "there")]
    assert json.dumps(reports[0]) == json.dumps(reports[1])


def test_a_refusal_lists_every_failure(tmp_path):
    case = Case(
        "", "", (), {"manifest": lambda record: record.update(stage="stage2", schema_version="0")}, city="other"
    )
    outcome = audited(tmp_path, case)
    with pytest.raises(HandshakeError) as refusal:
        refuse(outcome.results.values())
    assert refusal.value.exit_code == 2
    for part in ("3 checks failed", "M-01 manifest.json stage", "M-02 manifest.json schema", "M-03 manifest.json city"):
        assert part in str(refusal.value)


def test_warnings_are_no_reason_to_refuse(tmp_path):
    refuse(audited(tmp_path).results.values())


class _Canary:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_an_archive_with_code_is_hashed_and_never_opened(tmp_path):
    canary = tmp_path / "canary"

    def plant(folder):
        (folder / "artifacts" / "scaler.joblib").write_bytes(pickle.dumps(_Canary(canary)))

    def named(record):
        record["artifacts"]["encoders"].update(
            coord_scaler="artifacts/scaler.joblib", main_scaler="artifacts/scaler.joblib"
        )

    outcome = audited(tmp_path, after=plant, manifest=named)
    assert outcome.with_status("fail") == set()
    file = next(file for file in outcome.report["files"] if file["name"] == "artifacts.encoders.coord_scaler")
    assert len(file["sha256"]) == 64
    assert not canary.exists()
    pickle.loads(pickle.dumps(_Canary(canary)))
    assert canary.exists()  # the canary does sing when it is opened


def test_side_files_that_are_no_json_are_a_warning(tmp_path):
    outcome = audited(tmp_path, after=lambda folder: (folder / "scalers.json").write_text("{"))
    assert outcome.results["F-05"].status == "warn"
    assert "scalers.json" in outcome.results["F-05"].message
    assert outcome.with_status("fail") == set()


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    store = Store(folder / "store")
    manifest = write_mini_handoff(folder / "handoff", with_scalers=True)
    return store, ingest_handoff(manifest, store), json.loads(manifest.read_text())


def _places(node, path=()):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**9),
    st.floats(),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
    st.just({"t": 0}),
    st.just(1e308),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_manifest_makes_the_audit_raise(ingested, data):
    store, handoff, record = ingested
    record = json.loads(json.dumps(record))
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(list(_places(record))))
        holder = record
        for key in path:
            holder = holder[key]
        holder[last] = data.draw(ANYTHING)
    ref = store.put_bytes(json.dumps(record).encode(), name="manifest.json")
    try:
        loaded = load_handoff(handoff.model_copy(update={"manifest": ref}), store)
    except HandshakeError:
        return
    _, results, report = audit(loaded, LiveConfig(), None, store)
    assert [result.id for result in results] == IDS
    json.dumps(report, allow_nan=False)


ODD_ARRAYS = {
    "scalar": lambda array: np.float32(3),
    "transposed": lambda array: array.T.copy(),
    "no columns": lambda array: array[..., :0],
    "no windows": lambda array: array[:0],
    "one window": lambda array: array[:1],
    "all NaN": lambda array: array * np.nan,
    "largest": lambda array: array * 0 + np.float32(3e38),
    "complex": lambda array: array.astype(np.complex64),
    "texts": lambda array: array.astype("U4"),
}


@pytest.mark.parametrize("array", ["coords", "dynamic_features", "static_features", "future_features", "H_field"])
@pytest.mark.parametrize("odd", ODD_ARRAYS)
def test_no_array_makes_the_audit_raise(tmp_path, array, odd):
    def spoil(bundles):
        bundles["train_inputs"][array] = ODD_ARRAYS[odd](bundles["train_inputs"][array])

    outcome = audited(tmp_path, arrays=spoil)
    assert outcome.verdict == "fail" or (array, odd) == ("H_field", "largest")
