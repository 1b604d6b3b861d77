"""What ends a command before any tile is processed: exit 2, an error by name, and no output."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from tasks.tiles.checkpoint import fresh
from tasks.tiles.output_folder import opened
from tasks.tiles.sample import make_sample
from tests.tiles.acceptance.calls import refine
from tests.tiles.model.pickled import write_code, write_pt

pytestmark = [pytest.mark.xdist_group("tiles-acceptance"), pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two tiles and a checkpoint."""
    return make_sample(tmp_path_factory.mktemp("refused"), 2, (17,), head_scale=0.2)


class Call:
    """The arguments of one command, to be spoilt."""

    def __init__(self, folder: Path, made):
        self.folder, self.output, self.words = folder, folder / "out", ()
        self.tiles, self.checkpoint = folder / "in", folder / "model"
        shutil.copytree(made.tiles, self.tiles, ignore=shutil.ignore_patterns("checkpoint", "reference"))
        shutil.copytree(made.checkpoint, self.checkpoint)

    def document(self, **changes) -> None:
        """Write other values into the config of the checkpoint."""
        path = self.checkpoint / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def config(self, text: str) -> None:
        """Name this configuration."""
        (self.folder / "own.yaml").write_text(text)
        self.words = ("--config", str(self.folder / "own.yaml"))

    def pt(self, write: Callable[[Path], object]) -> None:
        """Name a checkpoint in one file."""
        self.checkpoint = self.folder / "model.pt"
        write(self.checkpoint)


def no_tile(call: Call) -> None:
    call.tiles = call.folder / "empty"
    call.tiles.mkdir()
    (call.tiles / "notes.txt").write_text("no tile")


def absent_input(call: Call) -> None:
    call.tiles = call.folder / "nowhere"


def output_is_input(call: Call) -> None:
    call.output = call.tiles


def output_is_a_file(call: Call) -> None:
    call.output = call.folder / "file"
    call.output.write_text("")


def absent_checkpoint(call: Call) -> None:
    call.checkpoint = call.folder / "nothing"


def truncated_weights(call: Call) -> None:
    weights = call.checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def other_weights(call: Call) -> None:
    weights = call.checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")


def other_stage(call: Call) -> None:
    call.document(format="stagegate-stage3-1")


def other_digest(call: Call) -> None:
    call.words = ("--checkpoint_sha256", "0" * 64)


def code_in_the_pt(call: Call) -> None:
    call.pt(lambda path: write_code(path, call.folder / "it_ran", "zip"))


def state_of_another_model(call: Call) -> None:
    state = {"classifier.weight": torch.ones(2)}
    call.pt(lambda path: write_pt(path, fresh("nano", seed=1), model_state_dict=state))


def twelve_channels(call: Call) -> None:
    call.config("stage2: {model: {prithvi: {in_channels: 12}}}")


def many_classes(call: Call) -> None:
    call.config("stage2: {model: {prithvi: {num_classes: 256}}}")


def other_depth(call: Call) -> None:
    call.config("stage2: {model: {depth: 12}}")


def unknown_key(call: Call) -> None:
    call.config("stage2: {inference: {batchsize: 4}}")


def no_yaml(call: Call) -> None:
    call.config("stage2: [")


REFUSED = {
    no_tile: ("InputDirError", "No NPZ tiles found in {tiles}"),
    absent_input: ("InputDirError", "{tiles}"),
    output_is_input: ("OutputDirError", "{output}"),
    output_is_a_file: ("OutputDirError", "{output}"),
    absent_checkpoint: ("CheckpointError", "{checkpoint}"),
    truncated_weights: ("CheckpointError", "Error loading checkpoint"),
    other_weights: ("CheckpointError", "Error loading checkpoint"),
    other_stage: ("CheckpointError", "stagegate-stage3-1"),
    other_digest: ("CheckpointError", "sha256"),
    code_in_the_pt: ("UnsafeCheckpointError", ""),
    state_of_another_model: ("CheckpointError", "State dict mismatch"),
    twelve_channels: ("ConfigError", "in_channels"),
    many_classes: ("ConfigError", "num_classes"),
    other_depth: ("ConfigError", "depth"),
    unknown_key: ("ConfigError", "batch_size"),
    no_yaml: ("ConfigError", "own.yaml"),
}


UNTOUCHED = (absent_checkpoint, truncated_weights, other_weights, other_stage, other_digest)


@pytest.fixture(scope="module")
def refused(made, tmp_path_factory):
    """(call, answer, files in the output folder before and after) of each spoilt call."""

    @cache
    def answer(spoil):
        call = Call(tmp_path_factory.mktemp(spoil.__name__), made)
        spoil(call)
        before = written(call)
        return call, refine(call.folder, call.checkpoint, call.tiles, call.output, *call.words), before, written(call)

    return answer


def written(call: Call) -> list[str]:
    return sorted(str(path.relative_to(call.output)) for path in call.output.rglob("*"))


def tiles_among(files: list[str]) -> list[str]:
    return [name for name in files if name.endswith((".npz", ".json")) and not name.startswith(".stagegate/")]


def by_name(spoil: Callable) -> str:
    return spoil.__name__


@pytest.mark.parametrize("spoil", REFUSED, ids=by_name)
def test_refused_with_2_and_by_name_before_any_tile(refused, spoil):
    call, (code, told, text), before, after = refused(spoil)
    error, says = REFUSED[spoil]
    assert (code, told["status"], told["error"]["class"]) == (2, "refused", error), text
    assert says.format(**vars(call)) in told["error"]["message"]
    assert tiles_among(after) == tiles_among(before)


@pytest.mark.parametrize("spoil", UNTOUCHED, ids=by_name)
def test_with_an_unusable_checkpoint_nothing_is_written(refused, spoil):
    _, _, before, after = refused(spoil)
    assert after == before == []


def test_code_in_a_checkpoint_does_not_run(refused):
    assert not (refused(code_in_the_pt)[0].folder / "it_ran").exists()


def test_a_folder_that_another_run_holds_is_refused_and_left_as_it_is(made, tmp_path):
    call = Call(tmp_path, made)
    with opened(call.output, call.tiles):
        before = written(call)
        code, told, text = refine(tmp_path, call.checkpoint, call.tiles, call.output)
        assert (code, told["error"]["class"]) == (2, "OutputBusyError"), text
        assert written(call) == before
    assert refine(tmp_path, call.checkpoint, call.tiles, call.output).code == 0
