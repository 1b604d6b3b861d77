"""Reading live settings: files of four kinds, folders, --set, and what none of them may do."""

import json

import pytest

from tasks.contracts.errors import ConfigError, MissingInputError
from tasks.subsidence.settings.layers import parse_text, read_layers


def only(layers):
    (layer,) = layers.layers
    return layer


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'EPOCHS = 3\nLEARNING_RATE = 1e-3\nPDE_MODE_CONFIG = "on"\nSUBS_WEIGHTS = { "0.1" = 3.0 }\n'),
        ("a.yaml", "EPOCHS: 3\nLEARNING_RATE: 1e-3\nPDE_MODE_CONFIG: on\nSUBS_WEIGHTS: {0.1: 3.0}\n"),
        ("a.yml", "EPOCHS: 3\nLEARNING_RATE: 1e-3\nPDE_MODE_CONFIG: on\nSUBS_WEIGHTS: {0.1: 3.0}\n"),
        ("a.json", '{"EPOCHS": 3, "LEARNING_RATE": 1e-3, "PDE_MODE_CONFIG": "on", "SUBS_WEIGHTS": {"0.1": 3.0}}'),
        (
            "a.py",
            '"""Doc."""\nEPOCHS = 3\nLEARNING_RATE: float = 1e-3\nPDE_MODE_CONFIG = "on"\nSUBS_WEIGHTS = {0.1: 3.0}\n',
        ),
    ],
)
def test_the_four_kinds_of_file_say_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    layer = only(read_layers(config=tmp_path / name))
    assert layer.source == f"file:{name}"
    assert layer.values == {
        "EPOCHS": 3,
        "LEARNING_RATE": 1e-3,
        "PDE_MODE_CONFIG": "both",
        "SUBS_WEIGHTS": {"0.1": 3.0},
    }


def test_a_computed_value_in_a_python_file_is_refused_by_line_and_never_run(tmp_path):
    canary = tmp_path / "canary"
    text = f"EPOCHS = 3\nBATCH_SIZE = 2 * 16\nimport os\nos.mkdir({str(canary)!r})\nPATIENCE = open('x')\n"
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_layers(config=tmp_path / "a.py")
    message = str(caught.value)
    assert "line 2: BATCH_SIZE = 2 * 16" in message and "line 3: import os" in message and "line 5" in message
    assert "line 1" not in message and not canary.exists()


def test_a_name_assigned_two_values_in_a_python_file_is_refused_with_both_lines(tmp_path):
    (tmp_path / "a.py").write_text("EPOCHS = 3\nSEED = 1\nEPOCHS = 4\nSEED = 1\n")
    with pytest.raises(ConfigError, match="EPOCHS is assigned two values: found lines 1 and 3"):
        read_layers(config=tmp_path / "a.py")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "EPOCHS = "),
        ("a.yaml", "EPOCHS: [1"),
        ("a.json", "{"),
        ("a.py", "EPOCHS ="),
        ("a.json", "[1]"),
        ("a.json", '{"EPOCHS": 3, "EPOCHS": 4}'),
        ("a.yaml", "EPOCHS: 3\nEPOCHS: 4\n"),
        ("a.ini", "EPOCHS=3"),
        ("a.json", '{"TUNER_X": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("a.toml", "DATA_DIR = 2020-01-01"),
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=name):
        read_layers(config=tmp_path / name)


def test_a_mistake_in_a_file_names_the_file_and_the_near_key(tmp_path):
    (tmp_path / "a.toml").write_text("Q_kind = 'head_rate'\n")
    with pytest.raises(ConfigError, match=r"file:a.toml unknown key 'Q_kind'. Did you mean Q_KIND"):
        read_layers(config=tmp_path / "a.toml")


def test_the_city_file_comes_after_the_default_file(tmp_path):
    (tmp_path / "default.toml").write_text("EPOCHS = 3\nSEED = 1\n")
    (tmp_path / "zhongshan.yaml").write_text("EPOCHS: 4\n")
    layers = read_layers(config_root=tmp_path, city="zhongshan").layers
    assert [(layer.source, layer.values["EPOCHS"]) for layer in layers] == [
        ("file:default.toml", 3),
        ("file:zhongshan.yaml", 4),
    ]
    assert [layer.source for layer in read_layers(config_root=tmp_path).layers] == ["file:default.toml"]


def test_a_folder_without_settings_or_with_two_files_for_a_name_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="holds no settings"):
        read_layers(config_root=tmp_path, city="zhongshan")
    (tmp_path / "default.toml").write_text("")
    (tmp_path / "default.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"default\.toml, default\.json"):
        read_layers(config_root=tmp_path)
    with pytest.raises(MissingInputError, match="does not exist"):
        read_layers(config_root=tmp_path / "absent")
    with pytest.raises(MissingInputError, match="does not exist"):
        read_layers(config=tmp_path / "absent.toml")


def test_a_city_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "other.toml").write_text("EPOCHS = 3\n")
    with pytest.raises(ConfigError, match="is no city name"):
        read_layers(config_root=tmp_path / "root", city="../other")


def test_one_file_and_a_folder_together_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="not both"):
        read_layers(config=tmp_path / "a.toml", config_root=tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("true", True),
        ("True", True),
        ("None", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("on", "on"),
        ("{0.1: 3}", {0.1: 3}),
        ("a b", "a b"),
        ("", ""),
        ("__import__('os')", "__import__('os')"),
        ("1+1", "1+1"),
    ],
)
def test_a_value_is_json_else_a_literal_else_text(text, value):
    assert parse_text(text) == value and type(parse_text(text)) is type(value)


def test_sources_come_in_order_file_env_set(tmp_path):
    (tmp_path / "a.toml").write_text("EPOCHS = 3\n")
    layers = read_layers(config=tmp_path / "a.toml", env={"EPOCHS": "4"}, sets=["EPOCHS=5"]).layers
    assert [(layer.source, layer.values["EPOCHS"]) for layer in layers] == [("file:a.toml", 3), ("env", 4), ("set", 5)]


def test_the_process_environment_is_not_read(monkeypatch):
    monkeypatch.setenv("EPOCHS", "99")
    assert read_layers().layers == ()


def test_two_runs_see_nothing_of_each_other_and_write_nothing(tmp_path):
    """T-22: --set was sticky in the installed package."""
    (tmp_path / "a.toml").write_text("EPOCHS = 3\n")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    assert read_layers(config=tmp_path / "a.toml", sets=["EPOCHS=9"]).layers[-1].values == {"EPOCHS": 9}
    assert only(read_layers(config=tmp_path / "a.toml")).values == {"EPOCHS": 3}
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == before


def test_two_spellings_with_two_values_are_refused():
    assert only(read_layers(sets=["CITY=a", "CITY_NAME=a"])).values == {"CITY_NAME": "a"}
    with pytest.raises(ConfigError, match="CITY=a and CITY_NAME=b"):
        read_layers(sets=["CITY=a", "CITY_NAME=b"])


def test_the_overlay_file_is_the_last_layer_and_holds_merged_keys_only(tmp_path):
    given = {"mv_weight": 0.5, "Q_KIND": "head_rate", "bounds": {"K_max": 2e-7}}
    (tmp_path / "over.json").write_text(json.dumps(given))
    (tmp_path / "a.toml").write_text('SCALING_KWARGS_JSON_PATH = "over.json"\n')
    layers = read_layers(config=tmp_path / "a.toml", sets=["MV_WEIGHT=0.1"]).layers
    assert layers[0].values == {"SCALING_KWARGS_JSON_PATH": "over.json"}
    assert layers[-1].source == "file:over.json"
    assert layers[-1].values == {"MV_WEIGHT": 0.5, "Q_KIND": "head_rate", "PHYSICS_BOUNDS": {"K_max": 2e-7}}
    (tmp_path / "over.json").write_text(json.dumps({"EPOCHS": 5}))
    with pytest.raises(ConfigError, match="merged keys only"):
        read_layers(config=tmp_path / "a.toml")


def test_layers_carry_no_folder_names(tmp_path):
    (tmp_path / "over.json").write_text('{"mv_weight": 0.5}')
    layers = read_layers(sets=[f"SCALING_KWARGS_JSON_PATH={tmp_path / 'over.json'}"])
    assert str(tmp_path) not in layers.model_dump_json() and layers.layers[-1].values == {"MV_WEIGHT": 0.5}
