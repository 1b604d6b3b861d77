"""Bad input at the command line: exit code 2, a message that says what and where, and nothing overwritten."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import stagegate
from tests.subsidence.mini import write_mini_handoff

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))

    def subsidence(*words):
        return stagegate(monkeypatch, capsys, "subsidence", *words, "--out", str(tmp_path / "runs"), "--json")

    return subsidence


def spoil(bundle, key, change):
    def hook(bundles):
        bundles[bundle][key] = change(bundles[bundle][key].copy())

    return hook


def set_manifest(**changes):
    def hook(manifest):
        for place, value in changes.items():
            *path, last = place.split("__")
            node = manifest
            for name in path:
                node = node[name]
            node[last] = value

    return hook


def nan_first(array):
    array.flat[0] = np.nan
    return array


def pickled(folder):
    path = folder / "artifacts" / "val_inputs.npz"
    arrays = dict(np.load(path))
    arrays["dynamic_features"] = np.array([{"a": 1}], dtype=object)
    np.savez(path, **arrays)


def shared_group(groups):
    groups["val"][0] = groups["train"][0]


def truncate(folder):
    path = folder / "artifacts" / "train_targets.npz"
    path.write_bytes(path.read_bytes()[:-200])


def all_targets(name, change):
    """Change one target array of every split."""

    def hook(bundles):
        for split in ("train", "val", "test"):
            arrays = bundles[f"{split}_targets"]
            arrays[name] = change(arrays[name])

    return hook


def without_val_targets(folder):
    (folder / "artifacts" / "val_targets.npz").unlink()


def one_column_more(array):
    return np.concatenate([array, array[:, :1]], axis=1)


BAD_HANDOFFS = {
    "wrong stage": ({"manifest": set_manifest(stage="stage2")}, ("M-01", "stage2")),
    "missing NPZ": ({"after": without_val_targets}, ("F-01", "val_targets.npz")),
    "truncated NPZ": ({"after": truncate}, ("F-01", "train_targets.npz")),
    "NaN in a tensor": (
        {"arrays": spoil("val_inputs", "dynamic_features", nan_first)},
        ("V-01", "val_inputs", "dynamic_features"),
    ),
    "one feature column too many": (
        {"arrays": spoil("train_inputs", "static_features", one_column_more)},
        ("S-03", "static_features"),
    ),
    "horizon mismatch": ({"manifest": set_manifest(config__FORECAST_HORIZON_YEARS=2)}, ("S-02",)),
    "manifest without scaling": (
        {"manifest": lambda manifest: manifest["config"].pop("scaling_kwargs")},
        ("M-02", "scaling_kwargs"),
    ),
    "head given as depth": ({"arrays": all_targets("gwl_pred", lambda head: 30 - head)}, (("U-01", "U-03"),)),
    "millimetres given as metres": ({"arrays": all_targets("subs_pred", lambda metres: 1000 * metres)}, ("U-04",)),
    "train and validation groups overlapping": ({"holdout": shared_group}, ("G-01",)),
    "paths that leave the folder": (
        {"manifest": set_manifest(artifacts__numpy__train_inputs_npz="../../etc/passwd")},
        ("..",),
    ),
    "NPZ with pickled objects": ({"after": pickled}, ("F-01", "val_inputs.npz")),
}


@pytest.mark.parametrize("case", BAD_HANDOFFS)
def test_bad_handoff_is_refused_with_exit_2(case, call, tmp_path):
    changes, words = BAD_HANDOFFS[case]
    manifest = write_mini_handoff(tmp_path / "handoff", **changes)
    code, answer, text = call("--stage1-manifest", str(manifest))
    assert code == 2, text
    assert answer["status"] == "refused"
    assert "train-subsidence" not in text
    for word in words:
        any_of = (word,) if isinstance(word, str) else word
        assert any(one in answer["error"]["message"] for one in any_of), word


def depth_over_100(bundles):
    for name, arrays in bundles.items():
        if name.endswith("_inputs"):
            arrays["dynamic_features"][:, :, 0] /= 100
            arrays["static_features"][:, -1] /= 100
        elif "gwl_pred" in arrays:
            arrays["gwl_pred"] /= 100


def test_depth_divided_by_100_is_warned(call, tmp_path):
    manifest = write_mini_handoff(tmp_path / "handoff", arrays=depth_over_100)
    code, answer, text = call("audit", "--stage1-manifest", str(manifest))
    assert code == 0, text
    assert [warning for warning in answer["warnings"] if warning.startswith("U-06")]


def test_depth_divided_by_100_is_refused_with_strict_units(call, tmp_path):
    manifest = write_mini_handoff(tmp_path / "handoff", arrays=depth_over_100)
    code, answer, _ = call("audit", "--stage1-manifest", str(manifest), "--set", "STRICT_UNITS=true")
    assert code == 2
    assert "U-06" in answer["error"]["message"]


@pytest.fixture
def good(tmp_path):
    return str(write_mini_handoff(tmp_path / "handoff"))


def test_wrong_city_names_both(call, good):
    code, answer, _ = call("--stage1-manifest", good, "--city", "atlantis")
    assert code == 2
    assert "M-03" in answer["error"]["message"]
    assert "atlantis" in answer["error"]["message"]


def test_unknown_key_suggests_the_near_one(call, good):
    code, answer, _ = call("--stage1-manifest", good, "--set", "EPOCS=3")
    assert code == 2
    assert answer["error"]["class"] == "ConfigError"
    assert "EPOCS" in answer["error"]["message"]
    assert "EPOCHS" in answer["error"]["message"]


def test_two_values_for_one_key_are_named(call, good):
    code, answer, _ = call("--stage1-manifest", good, "--set", "EPOCHS=3", "--set", "EPOCHS=4")
    assert code == 2
    assert "EPOCHS=3 and EPOCHS=4" in answer["error"]["message"]


def test_missing_manifest(call, tmp_path):
    code, answer, _ = call("--stage1-manifest", str(tmp_path / "nowhere" / "manifest.json"))
    assert code == 2
    assert answer["error"]["class"] == "MissingInputError"
    assert "nowhere" in answer["error"]["message"]


def test_required_gpu_on_a_machine_without_one(call, good, monkeypatch, tmp_path):
    monkeypatch.setattr("tasks.orchestration.places.DEVICE", tmp_path / "no-device")
    code, answer, _ = call("--stage1-manifest", good, "--accelerator", "required")
    assert code == 2
    assert "no GPU" in answer["error"]["message"]


def test_refused_run_leaves_its_audit_and_touches_nothing_else(call, tmp_path):
    bad = write_mini_handoff(tmp_path / "bad", manifest=set_manifest(stage="stage2"))
    precious = tmp_path / "runs" / "mini" / "GeoPriorSubsNet" / "train_20200101-000000_00000000" / "report.html"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in bad.parent.rglob("*") if path.is_file()}
    code, answer, _ = call("--stage1-manifest", str(bad))
    assert code == 2
    assert precious.read_text() == "precious"
    assert {path.name for path in Path(answer["run_folder"]).iterdir()} == {
        "stage2_handshake_audit.json",
        "request.json",
    }
    assert {
        path: hashlib.sha256(path.read_bytes()).digest() for path in bad.parent.rglob("*") if path.is_file()
    } == before


def test_options_before_a_sub_command_are_refused(monkeypatch, capsys):
    code, _, text = stagegate(monkeypatch, capsys, "subsidence", "--city", "Paris", "audit")
    assert code == 2
    assert "--city stands before the sub-command" in text


def test_file_url_does_not_leave_the_data_root(call, good, monkeypatch, tmp_path):
    monkeypatch.setenv("STAGEGATE_DATA_ROOT", str(tmp_path / "elsewhere"))
    code, answer, _ = call("--stage1-manifest", f"file://{good}")
    assert code == 2
    assert answer["error"]["class"] == "UnsafePathError"


def test_unknown_entry_to_start_from_is_refused_before_any_step(call, good):
    code, answer, _ = call("--stage1-manifest", good, "--init-from", "0" * 12)
    assert code == 2
    assert answer["cache"]["steps"] == 0


def test_unusable_platform_setting_is_exit_2(monkeypatch, capsys):
    monkeypatch.setenv("STAGEGATE_EXECUTOR", "moon")
    code, _, text = stagegate(monkeypatch, capsys, "doctor")
    assert code == 2
    assert "STAGEGATE_EXECUTOR" in text
