"""The output folder of a training: whose it is, what it holds, and what may take the place of that."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.contracts.errors import ConfigError
from tasks.contracts.tile_errors import NotBetterThanIdentityError, OutputBusyError
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import PlatformSettings
from tasks.steps import tiles_training_edges, tiles_training_output
from tasks.steps.tiles_training_edges import kept, paired
from tasks.steps.tiles_training_output import held
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME, read_identity
from tasks.tiles.flow.training import train_tiles
from tasks.tiles.request import TrainTilesRequest
from tasks.tiles.sample import make_sample
from tests.tiles.flow.finished_run import _workspace

SETTINGS = {"variant": "nano", "device": "cpu", "steps": 1, "batch_size": 2, "crop": 16, "val_fraction": 0.5}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Nine degraded tiles of 32 px and the clean ones."""
    return make_sample(tmp_path_factory.mktemp("sample"), 9, (32,), checkpoint=False)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of its own, without a dashboard."""
    for name in ("show_markdown", "show_table"):
        monkeypatch.setattr(tiles_training_edges.ui, name, lambda *_: None)
    with prepared(Run(PlatformSettings(store=str(tmp_path / "store")), "")) as run:
        yield run


@pytest.fixture
def trained(sample, folder, tmp_path, run):
    """Train with these settings and put the checkpoint into the output folder, with a verdict as given."""

    def call(better=True, **changes):
        here = replace(_workspace(tmp_path), store=run.store)
        paths = {"input_dir": str(sample.tiles), "target_dir": str(sample.reference), "output_dir": str(folder)}
        with paired(TrainTilesRequest(**{**SETTINGS, **paths, **changes})) as given:
            result = train_tiles(given.data, given.start, given.job, "auto", "cpu", here)
            return kept(given, _judged(result, better, run.store))

    return call


def _judged(result, better, store):
    document = store.get_json(result.checkpoint.config)
    document["training"]["promoted"] = better
    config = store.put_json(document, name=CONFIG_NAME)
    return result.model_copy(
        update={"better": better, "checkpoint": result.checkpoint.model_copy(update={"config": config})}
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_finished_training_is_replaced_by_itself_alone(trained, folder, sample, tmp_path):
    report = trained()
    first = content(folder)
    assert set(first) == set(report.artifacts) == {WEIGHTS_NAME, CONFIG_NAME, "training_log.csv"}
    read_identity(folder)
    with pytest.raises(ConfigError, match="holds a checkpoint already"):
        trained()
    with pytest.raises(ConfigError, match=r"expected lr 0\.0001, found lr 0\.5") as caught:
        trained(resume=True, lr=0.5)
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="expected variant nano, found variant tiny"):
        trained(resume=True, variant="tiny")
    fewer = shutil.copytree(sample.tiles, tmp_path / "fewer")
    (fewer / "tile_00008.npz").unlink()
    with pytest.raises(ConfigError, match=r"expected pairs .*, found pairs "):
        trained(resume=True, input_dir=str(fewer))
    assert content(folder) == first
    trained(resume=True)
    assert content(folder) == first


def test_a_promoted_checkpoint_stays_where_the_new_one_is_no_better_than_doing_nothing(trained, folder):
    trained()
    first = content(folder)
    with pytest.raises(NotBetterThanIdentityError, match="the promoted checkpoint stays in") as caught:
        trained(better=False, resume=True)
    assert content(folder) == first
    assert caught.value.where == str(folder / "not-promoted")
    assert json.loads((folder / "not-promoted" / CONFIG_NAME).read_bytes())["training"]["promoted"] is False
    read_identity(folder / "not-promoted")


def test_without_a_promoted_one_the_new_checkpoint_is_kept_in_the_folder(trained, folder):
    for resume in (False, True):
        with pytest.raises(NotBetterThanIdentityError) as caught:
            trained(better=False, resume=resume)
        assert caught.value.where == str(folder) and not (folder / "not-promoted").exists()
    read_identity(folder)


def test_the_folder_is_one_training_s_for_its_whole_length(trained, folder):
    with held(folder), pytest.raises(OutputBusyError, match="is in use by another run"):
        trained()
    trained()


def test_nothing_takes_its_place_before_everything_is_written(trained, folder, monkeypatch):
    trained()
    first = content(folder)
    monkeypatch.setattr(tiles_training_output.RunFolder, "put", _fails_at("training_log.csv"))
    with pytest.raises(OSError, match="no room"):
        trained(better=False, resume=True)
    assert content(folder) == first


def test_what_a_killed_run_left_is_removed(folder):
    staged, part = folder / ".stagegate" / "checkpoint" / WEIGHTS_NAME, folder / f".{WEIGHTS_NAME}.0123abcd.part"
    staged.parent.mkdir(parents=True)
    for path in (staged, part):
        path.write_bytes(b"half")
    with held(folder):
        assert not staged.parent.exists() and not part.exists()


def test_synthetic_pairs_are_compared_too(trained, folder):
    trained(target_dir=None, synthetic=True)
    trained(target_dir=None, synthetic=True, resume=True)
    with pytest.raises(ConfigError, match="found pairs "):
        trained(resume=True)


def _fails_at(name):
    put = tiles_training_output.RunFolder.put

    def failing(self, target, data):
        if target == name:
            raise OSError(f"no room for {name}")
        return put(self, target, data)

    return failing
