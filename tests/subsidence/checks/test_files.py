import io
import zipfile

import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_array, in_manifest

TRAIN = "train_inputs.npz"


def _in_file(name, change):
    def after(folder):
        path = folder / "artifacts" / name
        path.write_bytes(change(path.read_bytes()))

    return {"after": after}


def _without(name):
    return {"after": lambda folder: (folder / name).unlink()}


def _with_objects(_):
    stream = io.BytesIO()
    np.savez(stream, coords=np.array([{"a": 1}], dtype=object))
    return stream.getvalue()


def _bomb(_):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (16 << 20,)})
        archive.writestr("coords.npy", header.getvalue() + bytes(64 << 20))
    return stream.getvalue()


def _flipped(data):
    return data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]


CASES = [
    Case(
        "F-01",
        "a required NPZ is missing",
        (f"{TRAIN} is missing", "artifacts.numpy.train_inputs_npz", "Copy the whole"),
        _without(f"artifacts/{TRAIN}"),
    ),
    Case("F-01", "truncated", (TRAIN, "not a readable zip"), _in_file(TRAIN, lambda data: data[: len(data) // 2])),
    Case(
        "F-01", "an optional one truncated", ("test_inputs.npz",), _in_file("test_inputs.npz", lambda data: data[:99])
    ),
    Case("F-01", "pickled objects", (TRAIN, "'coords'", "object"), _in_file(TRAIN, _with_objects)),
    Case("F-01", "a bomb", (TRAIN, "suspiciously much"), _in_file(TRAIN, _bomb)),
    Case(
        "F-02",
        "a changed byte",
        ("artifacts/train_targets.npz has sha256", "the manifest recorded"),
        {**_in_file("train_targets.npz", _flipped), "with_hashes": True},
    ),
    Case("F-02", "unchanged bytes", ("files have a recorded digest",), {"with_hashes": True}, status="pass"),
    Case(
        "F-03",
        "an array is missing",
        ("val_inputs.npz lacks H_field",),
        {"arrays": lambda bundles: bundles["val_inputs"].pop("H_field")},
    ),
    Case(
        "F-03",
        "the wrong target names",
        ("val_targets.npz lacks subs_pred",),
        {"arrays": lambda b: b["val_targets"].update(subsidence=b["val_targets"].pop("subs_pred"))},
    ),
    Case(
        "F-03",
        "texts",
        ("'dynamic_features' holds <U8",),
        in_array("val_inputs", "dynamic_features", lambda array: array.astype("U8")),
    ),
    Case(
        "F-03",
        "double precision",
        ("'coords' is stored as <f8", "converted to float32"),
        in_array("val_inputs", "coords", lambda array: array.astype(np.float64)),
        status="warn",
    ),
    Case(
        "F-03",
        "whole numbers",
        ("'static_features' is stored as <i8",),
        in_array("val_inputs", "static_features", lambda array: array.astype(np.int64)),
        status="warn",
    ),
    Case(
        "F-03",
        "big-endian",
        ("is stored as >f4",),
        in_array("val_inputs", "coords", lambda array: array.astype(">f4")),
        status="warn",
    ),
    Case(
        "F-03",
        "Fortran order",
        ("in Fortran order",),
        in_array("val_inputs", "coords", np.asfortranarray),
        status="warn",
    ),
    Case(
        "F-03",
        "an extra array",
        ("train_inputs.npz also holds notes",),
        status="pass",
        spoil={"arrays": lambda bundles: bundles["train_inputs"].update(notes=np.zeros(2, np.float32))},
    ),
    Case(
        "F-04",
        "inputs without their targets",
        ("train_targets.npz has 60 windows, train_inputs.npz has 50",),
        {"arrays": lambda b: b.update(train_inputs={name: array[:50] for name, array in b["train_inputs"].items()})},
    ),
    Case(
        "F-04",
        "another number of windows",
        ("sequence_counts.val_seq is 21",),
        in_manifest("config.holdout.sequence_counts.val_seq", 21),
    ),
    Case(
        "F-05",
        "an optional file is missing",
        ("1 optional files", "mini_panel.csv (artifacts.csv.raw)"),
        _without("mini_panel.csv"),
        status="warn",
    ),
    Case(
        "F-05",
        "no test split",
        ("test_inputs.npz (artifacts.numpy.test_inputs_npz)",),
        _without("artifacts/test_inputs.npz"),
        status="warn",
    ),
    Case(
        "F-05",
        "an unreadable group list",
        ("train groups", "longitude"),
        status="warn",
        spoil={"after": lambda folder: (folder / "artifacts/holdout/train_groups.csv").write_text("a;b\n1;2\n")},
    ),
    Case(
        "F-06", "another numpy", ("versions.numpy is 1.26.4",), in_manifest("versions.numpy", "1.26.4"), status="warn"
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_files_are_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_a_broken_bundle_is_named_once_and_what_depends_on_it_is_skipped(tmp_path):
    outcome = audited(tmp_path, **_in_file(TRAIN, lambda data: data[:100]))
    assert outcome.with_status("fail") == {"F-01"}
    for id in ("S-02", "V-03", "C-06", "U-02", "G-01"):
        assert outcome.results[id].status == "skipped"
        assert "train_inputs.npz cannot be read (F-01)" in outcome.results[id].message


def test_a_missing_optional_split_skips_nothing(tmp_path):
    outcome = audited(tmp_path, **_without("artifacts/future_inputs.npz"))
    assert outcome.with_status("fail") == set()
    assert outcome.with_status("skipped") == set()


def test_digests_of_all_files_are_in_the_report(tmp_path):
    report = audited(tmp_path).report
    digests = {file["path"]: file["sha256"] for file in report["files"]}
    assert len(digests["artifacts/train_inputs.npz"]) == 64
    assert digests.keys() >= {"stage1_scaling_audit.json", "mini_panel.csv", "artifacts/holdout/val_groups.csv"}
