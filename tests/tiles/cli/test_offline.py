"""Refining and training without a network: Python itself refuses every address that is not this machine."""

import shutil
import sys
from dataclasses import replace

import pytest

from tests.tiles.cli.shell import ONE_WORKER, Shell, last_json


@pytest.fixture(scope="module")
def offline(tmp_path_factory, sample):
    """Starts a Prefect server of its own, as on a plain machine."""
    shell = Shell(tmp_path_factory.mktemp("offline"), offline=True)
    shutil.copytree(sample.tiles, shell.folder / "made")
    return shell


def attempts(shell: Shell) -> list[str]:
    notes = shell.folder / "attempts"
    return notes.read_text().split() if notes.exists() else []


def test_the_block_blocks(offline):
    reach = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    code, _, err = offline.run(sys.executable, "-c", reach)
    assert code == 1
    assert "no network: 192.0.2.1" in err
    assert attempts(offline) == ["192.0.2.1"]
    (offline.folder / "attempts").unlink()


def test_train_and_refine_need_no_network(offline, shell):
    served = replace(offline, api_url=shell.api_url)  # training may use the server of the tests: it is local too
    words = ("--input_dir", "made", "--target_dir", "made/reference", "--output_dir", "trained", "--variant", "nano")
    words += ("--steps", "2", "--batch_size", "2", "--crop", "32", "--val_fraction", "0.5", "--device", "cpu", "--json")
    code, out, err = served.run("stagegate", "tiles", "train", *words)
    assert code in (0, 3), err  # two steps may not beat doing nothing; the model is kept either way
    assert last_json(out)["status"] == ("complete" if code == 0 else "stopped")
    words = ("--checkpoint", "trained", "--input_dir", "made", "--output_dir", "refined", "--json")
    code, out, err = offline.run("stagegate", "tiles", *words, *ONE_WORKER)
    assert (code, last_json(out)["status"]) == (0, "complete"), err
    assert len(list((offline.folder / "refined").glob("*.npz"))) == 6
    assert attempts(offline) == []
