"""A configuration file with every setting that people bring along: nothing in it may vanish or be ignored."""

import ast
from pathlib import Path

import pytest

from tasks.subsidence.config import OWNERSHIP, Config, built_in, read_layers, resolve
from tasks.subsidence.manifest import parse_manifest
from tasks.subsidence.schedule import Plan, gates
from tasks.subsidence.settings.resolve import BY_STRATEGY
from tests.subsidence.mini import write_mini_handoff

HERE = Path(__file__).parent
PUBLIC = HERE / "public_config.toml"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return parse_manifest(write_mini_handoff(tmp_path_factory.mktemp("mini")).read_bytes())


def test_every_key_of_a_public_file_is_used_confirmed_or_recorded(manifest):
    """T-21: no setting may vanish on its way from the file into the run."""
    live = read_layers(config=PUBLIC)
    layer = live.layers[0]
    values, entries = resolve(manifest, live)
    report = {entry["key"]: entry for entry in entries}
    fate = {}
    for name, value in layer.values.items():
        entries = [entry for key, entry in report.items() if key == name or key.startswith(f"{name}.")]
        assert entries, f"{name} vanished"
        fate[name] = {_fate(entry) for entry in entries}
        if fate[name] == {"used"} and OWNERSHIP[name].owner in ("live", "merged"):
            assert values[name] == value or name in (*BY_STRATEGY, "PDE_MODE_CONFIG"), name
    assert all(fates <= {"used", "confirmed", "explained", "stage1"} for fates in fate.values())
    assert fate["TIME_STEPS"] == {"confirmed"} and fate["DATA_DIR"] == {"stage1"} and fate["MV_WEIGHT"] == {"used"}
    explained = {name for name, fates in fate.items() if "explained" in fates}
    assert explained == {name for name in layer.values if name.endswith("_DATA_FIRST")} | {
        "CONS_DRAWDOWN_ZERO_AT_ORIGIN",
        "MV_PRIOR_UNITS",
    }


def _fate(entry) -> str:
    if entry["owner"] == "stage1-only":
        assert entry["used"] is False and entry["note"] == "not used by this stage"
        return "stage1"
    if entry["owner"] in ("manifest", "must-agree"):
        assert entry["note"] == "confirmed by file:public_config.toml", entry
        return "confirmed"
    assert entry["source"] == "file:public_config.toml", entry
    return "used" if entry["used"] else "explained" if entry["note"] else "vanished"


def test_every_live_setting_of_the_public_file_differs_from_its_default():
    """So that the test above sees the value of the file and not the default."""
    given = read_layers(config=PUBLIC).layers[0].values
    alike = {"MODEL_NAME", "OFFSET_MODE", "MV_PRIOR_UNITS", "PDE_MODE_CONFIG", "TRAINING_STRATEGY"}
    same = {name for name, value in given.items() if name in built_in() and value == OWNERSHIP[name].default}
    assert same - alike <= {"LAMBDA_Q_DATA_FIRST"}


def test_every_setting_in_force_is_read_by_some_module():
    """T-21: a setting that no code looks at would be accepted and ignored."""
    live = {name for name, key in OWNERSHIP.items() if key.owner in ("live", "merged") and not key.settled}
    in_merge = {name for name in OWNERSHIP if name.startswith(tuple(f"{base}_" for base in BY_STRATEGY))}
    assert sorted(live - _names_in_code() - _read_by_gates() - in_merge) == []


def _read_by_gates() -> set[str]:
    """Names that are put together from the strategy in force."""
    read: set[str] = set()
    for strategy in ("data_first", "physics_first"):
        cfg = Config({**built_in(), "TRAINING_STRATEGY": strategy})
        gates(cfg, Plan(epochs=2, steps_per_epoch=3), physics=True, consolidation=True)
        read |= cfg.read
    return read


def _sources() -> dict[str, str]:
    root = HERE.parents[1] / "tasks"
    tables = ("config", "regimes", "layers", "scaling_public")
    return {str(path): path.read_text() for path in root.rglob("*.py") if not path.stem.startswith(tables)}


def _names_in_code() -> set[str]:
    names = set()
    for text in _sources().values():
        names |= {
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return names
