"""Weight files are read without running code, and must fit the model exactly."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles.weights import check_fit, only_tensors, read_pickled, read_safetensors
from tests.tiles.model.pickled import write_code


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["zip", "legacy", "plain", "text"])
def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path, kind):
    trace = tmp_path / "code ran"
    path = write_code(tmp_path / "evil.pt", trace, kind)
    with pytest.raises(UnsafeCheckpointError, match=r"evil\.pt can only be read by running code"):
        read_pickled(path)
    assert not trace.exists()


def test_the_file_of_the_test_above_does_run_code(tmp_path):
    path = write_code(tmp_path / "evil.pt", tmp_path / "code ran", "plain")
    pickle.loads(path.read_bytes())
    assert (tmp_path / "code ran").is_dir()


def test_no_environment_variable_opens_the_door(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = write_code(tmp_path / "evil.pt", tmp_path / "code ran", "zip")
    with pytest.raises(UnsafeCheckpointError):
        read_pickled(path)
    assert not (tmp_path / "code ran").exists()


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file")
def test_a_script_archive_is_code_too(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    with pytest.raises(UnsafeCheckpointError):
        read_pickled(tmp_path / "script.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_of_a_pt_come_back(tmp_path, legacy):
    torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert read_pickled(tmp_path / "a.pt")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_pt_is_refused(tmp_path, share, legacy):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(5000.0)}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"Error loading checkpoint: .*a\.pt is"):
        read_pickled(path)


@pytest.mark.parametrize("data", [b"no weights at all", b"\x00\x01\x02", b"<html></html>"])
def test_a_file_of_another_kind_is_refused(tmp_path, data):
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a\.pt is"):
        read_pickled(tmp_path / "a.pt")


def test_safetensors_stay_mapped_to_their_file(tmp_path):
    path = tmp_path / "mapped.safetensors"
    save_file({"a": torch.arange(5000.0)}, path)
    state = read_safetensors(path)
    with open("/proc/self/maps") as maps:
        assert any(str(path) in line for line in maps)
    state["a"][0] = 7  # a private page: the file stays as it was
    assert read_safetensors(path)["a"][0] == 0


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_safetensors_are_refused(tmp_path, share):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.arange(5000.0)}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"a\.safetensors is damaged or truncated"):
        read_safetensors(path)


@pytest.mark.parametrize("state", [{}, [], None, {"a": 3}, {1: torch.zeros(1)}])
def test_a_state_must_hold_tensors_by_name(tmp_path, state):
    with pytest.raises(CheckpointError, match="holds"):
        only_tensors(state, tmp_path / "a.pt")


def test_a_misfit_names_the_first_ten_keys_of_each_kind(tmp_path):
    expected = {f"b{i:02}": torch.Size([1]) for i in range(12)}
    state = {f"a{i:02}": torch.zeros(1) for i in range(3)}
    with pytest.raises(CheckpointError) as caught:
        check_fit(state, expected, tmp_path / "model.safetensors")
    text = str(caught.value)
    assert "Error loading checkpoint" in text and "State dict mismatch" in text
    assert "12 missing (b00, b01, b02, b03, b04, b05, b06, b07, b08, b09, and 2 more)" in text
    assert "3 unexpected (a00, a01, a02)" in text
    assert "another stage, or made with another config" in text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(2, 3), r"1 other shape \(a \(2, 3\), not \(3, 2\)\)"),
        (torch.zeros(3, 2, dtype=torch.int8), r"1 no plain floats \(a torch.int8\)"),
        (torch.zeros(3, 2, device="meta"), "1 no plain floats"),
        (torch.zeros(3, 2).to_sparse(), "1 no plain floats"),
    ],
)
def test_a_tensor_of_another_form_is_a_misfit(tmp_path, value, message):
    with pytest.raises(CheckpointError, match=message):
        check_fit({"a": value}, {"a": torch.Size([3, 2])}, tmp_path / "a.pt")
