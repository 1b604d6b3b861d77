"""Both spellings of every option, `refine` without its name, and wrong command lines before any work."""

import pytest

from tests.cli.command import stagegate
from tests.tiles.scenes.images import digital_numbers, write_scene

MODEL = ("--checkpoint", "model")
OPTIONS = (
    "checkpoint", "input_dir", "output_dir", "config", "batch_size", "device", "require_device", "no_amp",
    "no_skip_existing", "skip_existing", "precision", "workers", "shard_size", "missing_metadata", "range_policy",
    "scale", "offset", "compression", "recursive", "log_file", "window", "overlap", "reference_dir", "quicklook",
    "allow_empty", "checkpoint_sha256", "dry_run", "scene", "bands", "scene_dtype",
)  # fmt: skip
FLAGS = ("require_device", "no_amp", "no_skip_existing", "skip_existing", "recursive", "allow_empty", "dry_run")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    return lambda *words: stagegate(monkeypatch, capsys, "tiles", *words, "--json")


@pytest.fixture
def plan(call, sample, tiles, tmp_path):
    """The plan of a call that names its input and output."""

    def planned(*words, before=("refine",)):
        code, answer, text = call(*before, "--checkpoint", str(sample.checkpoint), *words, "--dry_run")
        assert code == 0, text
        assert answer["status"] == "planned"
        return answer["plan"]

    return planned


def test_hyphens_mean_underscores(plan, tiles):
    words = (("--input_dir", "--output_dir", "--batch_size"), ("--input-dir", "--output-dir", "--batch-size"))
    plans = [plan(a, str(tiles), b, "out", f"{c}=2") for a, b, c in words]
    assert plans[0] == plans[1]
    assert plans[0] == {
        "found": 6, "failed": 0, "resumed": 0, "to_do": 6, "reasons": {"new": 6}, "buckets": {"32x32": 6}, "shards": 1,
        "scenes": {},
    }  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("sign", "_-")
def test_every_option_is_known_in_both_spellings(call, name, sign):
    """A sub-command that does not exist ends the call after all options were understood."""
    option = f"--{name.replace('_', sign)}"
    alone = name in FLAGS
    code, answer, _ = call("refine", *(() if name == "checkpoint" else MODEL), option, *(() if alone else ("1",)), "x")
    assert code == 2
    assert "No such option" not in answer["error"]["message"]


def test_refine_needs_no_name(plan, tiles):
    assert plan("--input_dir", str(tiles), "--output_dir", "out", before=())["found"] == 6


def test_a_dry_run_writes_nothing(plan, tiles, tmp_path):
    plan("--input_dir", str(tiles), "--output_dir", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_a_dry_run_counts_what_cannot_be_read_and_sizes_after_padding(plan, tiles, tmp_path):
    (tiles / "tile_00003.npz").write_bytes(b"PK")
    found = plan("--input_dir", str(tiles), "--output_dir", str(tmp_path / "out"))
    assert (found["failed"], found["buckets"]) == (1, {"32x32": 5})


def test_a_dry_run_of_a_scene_says_why_it_would_be_refined(plan, tmp_path):
    write_scene(tmp_path / "alp.tif", digital_numbers(40, 50))
    found = plan("--scene", "alp.tif", "--output_dir", "out")
    assert (found["found"], found["scenes"]) == (0, {"alp": "new"})


def test_two_spellings_with_one_value_are_fine(plan, tiles):
    assert plan("--input_dir", str(tiles), "--input-dir", str(tiles), "--output_dir", "out")["found"] == 6


def test_two_spellings_with_two_values_are_refused(call):
    code, answer, _ = call("refine", *MODEL, "--input_dir", "a", "--input-dir=b", "--output_dir", "out")
    assert (code, answer["error"]["class"]) == (2, "ConfigError")
    assert "--input_dir and --input-dir are one option and have different values" in answer["error"]["message"]
    assert "found a and b" in answer["error"]["message"]


def test_contradicting_flags_are_refused(call):
    words = ("--input_dir", "a", "--output_dir", "out", "--skip-existing", "--no_skip_existing")
    code, answer, _ = call(*MODEL, *words)
    assert code == 2
    assert "--skip-existing and --no_skip_existing" in answer["error"]["message"]


def test_a_value_that_looks_like_an_option_is_a_value(call):
    code, answer, _ = call(*MODEL, "--input_dir", "a", "--output_dir", "--input-dir", "--batch_size", "0")
    assert code == 2
    assert "batch_size" in answer["error"]["message"]


@pytest.mark.parametrize("words", [(), ("--input_dir", "a", "--scene", "b.tif")])
def test_a_folder_or_a_scene_is_needed(call, words):
    code, answer, _ = call(*MODEL, *words, "--output_dir", "out")
    assert code == 2
    assert "expected --input_dir or --scene" in answer["error"]["message"]


WRONG = {
    ("--device", "tpu"): "--device is not usable",
    ("--precision", "fp8"): "--precision is not usable",
    ("--range_policy", "ignore"): "--range_policy is not usable",
    ("--compression", "bz2"): "--compression is not usable",
    ("--checkpoint_sha256", "12"): "--checkpoint_sha256 is not usable",
    ("--bands", "blue"): "--bands is no list of numbers",
    ("--overlap", "-1"): "overlap",
    ("--colour", "red"): "No such option: --colour",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: words[0])
def test_wrong_values_are_refused_by_name(call, words):
    code, answer, text = call(*MODEL, "--input_dir", "a", "--output_dir", "out", *words)
    assert (code, answer["status"]) == (2, "refused"), text
    assert WRONG[words] in answer["error"]["message"]


def test_no_amp_beside_a_reduced_precision_is_refused(call, sample, tiles):
    words = ("--input_dir", str(tiles), "--output_dir", "out", "--no_amp", "--precision", "bf16", "--dry_run")
    code, answer, _ = call("--checkpoint", str(sample.checkpoint), *words)
    assert code == 2
    assert "--no_amp contradicts --precision" in answer["error"]["message"]


def test_a_configuration_that_was_named_must_exist(call, sample, tiles):
    words = ("--input_dir", str(tiles), "--output_dir", "out", "--config", "mine.yaml", "--dry_run")
    code, answer, _ = call("--checkpoint", str(sample.checkpoint), *words)
    assert code == 2
    assert "mine.yaml cannot be read" in answer["error"]["message"]


@pytest.mark.parametrize("words", [(), ("--target_dir", "t", "--synthetic")])
def test_training_needs_one_kind_of_target(call, words):
    code, answer, _ = call("train", "--input_dir", "a", "--output_dir", "out", *words)
    assert code == 2
    assert "expected --target_dir or --synthetic" in answer["error"]["message"]


def test_training_has_one_length(call):
    words = ("--input_dir", "a", "--output_dir", "out", "--synthetic", "--epochs", "2", "--steps", "3")
    code, answer, _ = call("train", *words)
    assert code == 2
    assert "expected --epochs or --steps" in answer["error"]["message"]


def test_the_flows_are_known_by_name(monkeypatch, capsys):
    for flow in ("refine-tiles", "train-tiles"):
        code, answer, _ = stagegate(monkeypatch, capsys, "run", flow, "--set", "colour=1", "--json")
        assert code == 2
        assert "Fields: " in answer["error"]["message"] and "output_dir" in answer["error"]["message"]
