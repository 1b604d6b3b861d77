"""Settings: command line over file over defaults; unknown and contradicting keys are named."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.config import check_window, config_id, load_config
from tasks.tiles.model_keys import check_model
from tests.tiles.files.made import said

# As files of other programs of the same chain look: one file for three stages.
SHARED = """
data: {tile_size: 96}
training: {batch_size: 1, precision: fp16}
stage1: {model: {name: other}}
stage2:
  model:
    name: prithvi_refiner
    use_lora: true
    lora_r: 4
    lora_target_modules: [qkv, proj]
    freeze_base: true
    use_8bit: false
    prithvi: {checkpoint: weights/prithvi.pt, in_channels: 4, num_classes: 4, img_size: 96}
  loss: {type: dice_focal}
inference: {batch_size: 2}
hardware: {device: cuda}
config_version: "1.0"
created: 2025-10-13
"""


def resolved(tmp_path, text: str, **cli):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, True, cli)


def refused(tmp_path, text: str, **cli) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        resolved(tmp_path, text, **cli)
    assert caught.value.exit_code == 2
    return said(caught.value)


@pytest.mark.parametrize(("name", "batch_size"), [("hardware.lowvr.yaml", 4), ("hardware.large.yaml", 16)])
def test_packaged_preset_stands_in_for_an_absent_file(tmp_path, monkeypatch, name, batch_size):
    monkeypatch.chdir(tmp_path)
    found = load_config(f"configs/{name}", False, {})
    assert (found.batch_size, found.tiles, found.source) == (batch_size, TilesConfig(), f"packaged {name}")
    assert found.workers is None and found.expected_model == {} and found.ignored == found.warnings == ()


def test_default_file_of_the_working_folder_comes_before_the_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/hardware.lowvr.yaml").write_text("stage2: {inference: {batch_size: 7}}")
    assert load_config(None, False, {}).batch_size == 7


@pytest.mark.parametrize("name", ["configs/hardware.lowvr.yaml", "other.yaml"])
def test_path_that_was_given_and_is_absent_is_an_error(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config(name, True, {})
    parts = said(caught.value)
    assert parts["where"] == name and parts["found"] == "No such file or directory" and "--config" in parts["remedy"]


def test_absent_file_without_a_preset_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "unknown.yaml", False, {})


def test_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    text = "stage2: {inference: {batch_size: 8, precision: bf16, window: 448, overlap: 32, workers: 3}}"
    found = resolved(tmp_path, text, batch_size=2, window=None, overlap=16, workers=None)
    assert (found.batch_size, found.workers) == (2, 3)
    assert found.tiles == TilesConfig(precision="bf16", window=448, overlap=16)


def test_options_reach_the_settings(tmp_path):
    options = {"missing_metadata": "unknown", "range_policy": "strict", "scale": 10_000.0, "offset": -1000.0}
    assert resolved(tmp_path, "", **options).tiles == TilesConfig(**options)


def test_no_amp_is_fp32_and_wins_over_the_file(tmp_path):
    text = "stage2: {inference: {precision: bf16}}"
    assert resolved(tmp_path, text, no_amp=True).tiles.precision == "fp32"
    assert resolved(tmp_path, text, no_amp=False).tiles.precision == "bf16"
    assert resolved(tmp_path, text, no_amp=True, precision="auto").tiles.precision == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_no_amp_and_reduced_precision_contradict(tmp_path, precision):
    parts = refused(tmp_path, "", no_amp=True, precision=precision)
    assert parts["where"] == "--no_amp" and parts["found"] == f"--precision {precision}"


def test_large_batches_are_advised_against(tmp_path):
    assert resolved(tmp_path, "", batch_size=16).warnings == ()
    assert resolved(tmp_path, "", batch_size=17).warnings == (
        "batch size 17: above 16 brings nothing and costs memory",
    )


def test_file_for_all_stages_is_usable_as_it_is(tmp_path):
    found = resolved(tmp_path, SHARED)
    assert found.batch_size == 4 and found.expected_model == {}
    assert {"data", "training", "inference", "stage2.loss", "stage2.model.lora_r", "stage2.model.name"} <= set(
        found.ignored
    )
    assert "stage2.model.prithvi.checkpoint" in found.ignored and "stage2.model.use_8bit" not in found.ignored


@pytest.mark.parametrize(
    ("text", "key", "expected", "found"),
    [
        ("stage2: {model: {prithvi: {in_channels: 12}}}", "prithvi 'in_channels'", "4", "12"),
        ("stage2: {model: {prithvi: {num_classes: 256}}}", "prithvi 'num_classes'", "4", "256"),
        ("stage2: {model: {prithvi: {in_channels: '4'}}}", "prithvi 'in_channels'", "4", "'4'"),
        ("stage2: {model: {use_8bit: true}}", "stage2.model 'use_8bit'", "False", "True"),
        ("stage2: {model: {use_8bit: 0}}", "stage2.model 'use_8bit'", "False", "0"),
    ],
)
def test_keys_that_mean_another_model_are_refused_by_name(tmp_path, text, key, expected, found):
    parts = refused(tmp_path, text)
    assert parts["where"].endswith(key) and (parts["expected"], parts["found"]) == (expected, found)
    assert "correct or remove it" in parts["remedy"]


@pytest.mark.parametrize(
    ("text", "found", "near"),
    [
        ("stage_2: {}", "stage_2", "stage2"),
        ("stage2: {modle: {}}", "modle", "model"),
        ("stage2: {inference: {batchsize: 4}}", "batchsize", "batch_size"),
        ("stage2: {model: {in_channels: 12}}", "in_channels", "prithvi.in_channels"),
        ("stage2: {model: {dept: 12}}", "dept", "depth"),
        ("stage2: {model: {lora: 4}}", "lora", "lora_r"),
        ("stage2: {model: {prithvi: {imgsize: 4}}}", "imgsize", "img_size"),
        ("1: {}", "1", "stage1"),
    ],
)
def test_unknown_keys_name_the_nearest_known_one(tmp_path, text, found, near):
    parts = refused(tmp_path, text)
    assert parts["found"] == f"'{found}'" and parts["remedy"] == f"Did you mean '{near}'?"
    assert near in parts["expected"] and parts["where"].startswith(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize(
    ("setting", "key"),
    [("batch_size: 0", "batch_size"), ("batch_size: 2.5", "batch_size"), ("batch_size: true", "batch_size"),
     ("batch_size: '4'", "batch_size"), ("precision: fp8", "precision"), ("window: big", "window"),
     ("workers: 0", "workers")],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_refused_by_name(tmp_path, setting, key):
    parts = refused(tmp_path, f"stage2: {{inference: {{{setting}}}}}")
    assert parts["where"] == f"{tmp_path / 'c.yaml'} stage2.inference '{key}'" and parts["expected"] and parts["found"]


@pytest.mark.parametrize(
    ("cli", "where"),
    [({"scale": 0.0}, "'scale'"), ({"overlap": -1}, "'overlap'"), ({"range_policy": "loose"}, "'range_policy'"),
     ({"window": 64, "overlap": 64}, "overlap"), ({"offset": -1000.0}, "offset"), ({"window": 0}, "'window'"),
     ({"scale": float("nan")}, "'scale'"), ({"scale": 1.0, "offset": float("inf")}, "offset"),
     ({"scale": float("inf")}, "scale")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(tmp_path, cli, where):
    assert refused(tmp_path, "", **cli)["where"].endswith(where)


@pytest.mark.parametrize(
    "text", ["stage2: {model: {a: 1", "a: 1\na: 2\n", "stage2: !!python/name:os.system {}", "\x00"]
)
def test_broken_files_are_refused(tmp_path, text):
    parts = refused(tmp_path, text)
    assert parts["what"] == "is no readable YAML" and parts["where"] == str(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "text", ["[1, 2]", "words", "stage2: [1]", "stage2: {inference: 4}", "stage2: {model: {prithvi: x}}"]
)
def test_files_of_another_structure_are_refused(tmp_path, text):
    assert refused(tmp_path, text)["what"] in ("is no configuration", "is no section")


def test_folder_huge_file_and_other_encodings_are_refused(tmp_path):
    huge, latin = tmp_path / "huge.yaml", tmp_path / "latin.yaml"
    huge.write_bytes(b"#" * (1 << 20) + b"#")
    latin.write_bytes(b"a: \xff")
    for path, what in ((tmp_path, "is no file"), (huge, "is too large"), (latin, "is no readable YAML")):
        with pytest.raises(ConfigError, match=what):
            load_config(path, True, {})


@pytest.mark.parametrize("text", ["", "# nothing\n", "stage2:\n", "stage2: {inference: }\n"])
def test_empty_files_and_sections_say_nothing(tmp_path, text):
    assert resolved(tmp_path, text).tiles == TilesConfig()


def test_architecture_is_compared_with_the_checkpoint(tmp_path):
    expected = resolved(tmp_path, "stage2: {model: {variant: nano, depth: 2, head: {width: 32}}}").expected_model
    document = {"variant": "nano", "depth": 2, "head": {"width": 32, "blocks": 2}}
    check_model(expected, document)
    for key, other in (("variant", "tiny"), ("depth", True), ("head", {"width": 64})):
        with pytest.raises(ConfigError, match=f"stage2.model.{key} is not what the checkpoint says"):
            check_model(expected, document | {key: other})


def test_lists_must_agree_in_every_item():
    check_model({"bands": ["B02", "B03"]}, {"bands": ("B02", "B03")})
    with pytest.raises(ConfigError) as caught:
        check_model({"bands": ["B02"]}, {"bands": ["B02", "B03"]})
    assert said(caught.value)["found"] == "['B02']" and said(caught.value)["expected"] == "['B02', 'B03']"


def test_window_must_fit_the_patch():
    check_window(TilesConfig(window=224), 16)
    with pytest.raises(ConfigError) as caught:
        check_window(TilesConfig(window=240), 14)
    parts = said(caught.value)
    assert (parts["where"], parts["found"], parts["remedy"]) == ("window", "240", "Use 238.")
    assert parts["expected"] == "a multiple of the patch size 14"


def test_config_id_is_the_digest_of_the_canonical_json():
    text = (
        '{\n  "missing_metadata": "published",\n  "offset": 0.0,\n  "overlap": 64,\n  "precision": "auto",\n'
        '  "range_policy": "auto",\n  "scale": null,\n  "window": 224\n}\n'
    )
    assert config_id(TilesConfig()) == hashlib.sha256(text.encode()).hexdigest()


@given(
    st.sampled_from([("precision", "fp32"), ("missing_metadata", "unknown"), ("range_policy", "clip"), ("scale", 1e4),
                     ("offset", 1.0), ("window", 240), ("overlap", 32)])
)  # fmt: skip
def test_config_id_depends_on_every_setting_that_changes_values(change):
    assert config_id(TilesConfig(**dict([change]))) != config_id(TilesConfig())


def test_config_id_does_not_depend_on_how_the_run_is_done(tmp_path):
    one, other = resolved(tmp_path, ""), resolved(tmp_path, "", batch_size=16, workers=8)
    assert config_id(one.tiles) == config_id(other.tiles)


def test_whole_number_scales_have_one_id(tmp_path):
    assert config_id(resolved(tmp_path, "", scale=10_000).tiles) == config_id(TilesConfig(scale=10_000.0))
