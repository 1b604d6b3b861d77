"""A handoff folder is written as a whole, and what others put there survives."""

from pathlib import Path

import pytest

from tasks.contracts.errors import ConfigError, StoreError
from tasks.subsidence.prepare import prepare
from tests.subsidence.panel_cases import digests, options, prepare_rows, write_panel


def test_prepare_again_leaves_runs_alone(tmp_path):
    made = prepare_rows(tmp_path)
    run = made.manifest.parent / "runs/train_1/best.weights.h5"
    run.parent.mkdir(parents=True)
    run.write_bytes(b"trained for hours")
    before = digests(tmp_path / "out")
    prepare_rows(tmp_path)
    assert digests(tmp_path / "out") == before
    prepare_rows(tmp_path, seed=3, test_frac=0.0)
    assert run.read_bytes() == b"trained for hours"
    assert not (made.manifest.parent / "artifacts/test_inputs.npz").exists()  # stale file of the earlier handoff


def test_stale_file_that_somebody_changed_is_kept(tmp_path):
    made = prepare_rows(tmp_path)
    notes = made.manifest.parent / "artifacts/holdout/test_groups.csv"
    stale = made.manifest.parent / "artifacts/test_inputs.npz"
    stale.write_bytes(b"mine now")
    prepare_rows(tmp_path, test_frac=0.0)
    assert stale.read_bytes() == b"mine now" and notes.read_text() == "longitude,latitude\n"


FOREIGN = ["", "{}", '{"schema_version": "3.2"}', "not json", '{"schema_version": "stagegate-1"}', "[" * 100_000]


@pytest.mark.parametrize("content", FOREIGN)
def test_folder_of_somebody_else_is_refused(tmp_path, content):
    other = tmp_path / "out"
    other.mkdir()
    (other / "manifest.json").write_text(content)
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"out is not empty and was not written by prepare.*found manifest\.json"):
        prepare_rows(tmp_path)
    assert digests(other).keys() == {"manifest.json", "thesis.tex"}


def test_neighbouring_folders_are_left_alone(tmp_path):
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour/file").write_text("x")
    prepare_rows(tmp_path)
    prepare_rows(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["neighbour", "out", "panel.csv"]


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    assert prepare_rows(tmp_path).manifest == tmp_path / "out/manifest.json"


def test_failing_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    csv = write_panel(tmp_path)
    real = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "scalers.json":
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"could not be written \(No space left on device\).*Free some space"):
        prepare(csv, tmp_path / "out", options())
    assert [path.name for path in tmp_path.iterdir()] == ["panel.csv"]
