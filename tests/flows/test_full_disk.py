"""A disk that fills while the run folder is written: exit 4, nothing half-written, and the next run takes the cache."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import stagegate
from tests.flows.runs import TINY


@pytest.fixture
def tiny_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_while_exporting_is_exit_4_and_loses_nothing(mini_run, mini_root, tiny_disk, monkeypatch, capsys):
    monkeypatch.setenv("STAGEGATE_STORE", str(mini_root / "store"))
    words = ["subsidence", "--stage1-manifest", str(mini_root / "handoff" / "manifest.json"), "--json"]
    words += [word for text in TINY for word in ("--set", text)]
    code, answer, _ = stagegate(monkeypatch, capsys, *words, "--out", str(tiny_disk))
    assert code == 4
    assert answer["error"]["class"] == "StorageFullError"
    assert "run the same command again" in answer["error"]["message"]
    left = list(Path(answer["run_folder"]).iterdir())
    assert not [path for path in left if path.name.endswith(".part")]
    for path in left:
        if path.suffix == ".json":
            json.loads(path.read_text())
    code, answer, _ = stagegate(monkeypatch, capsys, *words, "--out", str(mini_root / "roomy"))
    assert code == 0
    assert answer["cache"]["misses"] == 0
