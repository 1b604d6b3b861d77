"""The version covers what decides values, and nothing else of the engine."""

import pytest

from tasks.tiles.code_version import _STARTS, _file, _imported, _reached, _without_docstrings, ast, code_version


@pytest.fixture(scope="module")
def reached():
    return set(_reached())


@pytest.mark.parametrize(
    "name",
    [
        "tasks.tiles.reader", "tasks.tiles.values", "tasks.tiles.headers", "tasks.tiles.metadata",
        "tasks.tiles.sidecar_fields", "tasks.tiles.dates", "tasks.tiles.model", "tasks.tiles.backbone",
        "tasks.tiles.precision", "tasks.tiles.windows", "tasks.tiles.writer", "tasks.tiles.zipped",
    ],
)  # fmt: skip
def test_what_decides_a_tile_is_covered(reached, name):
    assert name in reached


@pytest.mark.parametrize(
    "name",
    [
        "tasks.tiles.scene", "tasks.tiles.scene_reader", "tasks.tiles.scene_survey", "tasks.tiles.scene_input",
        "tasks.tiles.scene_model", "tasks.tiles.scene_output", "tasks.tiles.bands", "tasks.tiles.cog",
        "tasks.tiles.seams", "tasks.tiles.window_grid",
    ],
)  # fmt: skip
def test_what_decides_a_scene_is_covered(reached, name):
    assert name in reached


def test_the_safe_readers_of_the_store_are_covered_and_no_more_of_it(reached):
    names = {"jsons", "npy", "npz", "npz_writer"}
    assert {name for name in reached if not name.startswith("tasks.tiles")} == {f"tasks.store.{name}" for name in names}


@pytest.mark.parametrize(
    "name",
    [
        "tasks.tiles.workers", "tasks.tiles.worker", "tasks.tiles.summary", "tasks.tiles.metrics",
        "tasks.tiles.train", "tasks.tiles.refine_folder",
    ],
)  # fmt: skip
def test_pool_summary_and_training_are_not(reached, name):
    assert _file(name) is not None and name not in reached


def test_every_start_is_a_module(reached):
    assert set(_STARTS) <= reached


def test_every_form_of_import_is_followed_at_any_depth(monkeypatch, tmp_path):
    for name, text in {
        "tiles/a.py": "from tasks.tiles import b as c, nothing\nimport tasks.tiles.deep.d\nimport tasks.store.blobs",
        "tiles/b.py": "",
        "tiles/deep/d.py": "def f():\n    from tasks.tiles.deep.deeper.e import x",
        "tiles/deep/deeper/e.py": "x = 1",
        "tiles/deep/deeper/f.py": "",
        "store/blobs.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("tasks.__path__", [str(tmp_path)])
    monkeypatch.setattr("tasks.tiles.code_version._STARTS", ("tasks.tiles.a",))
    assert set(_reached()) == {
        "tasks.tiles.a", "tasks.tiles.b", "tasks.tiles.deep.d", "tasks.tiles.deep.deeper.e"
    }  # fmt: skip


def test_a_package_of_a_similar_name_is_not_followed():
    assert list(_imported(ast.parse("import tasks.tiles_more.a\nfrom tasks.tilesets import b"))) == []


def test_version_is_the_same_every_time():
    first = code_version()
    code_version.cache_clear()
    assert code_version() == first
    assert len(first) == 12


def test_docstrings_and_comments_change_nothing():
    plain = ast.parse("def f(x):\n    return x\n")
    told = ast.parse('"""Module."""\ndef f(x):\n    """Words."""\n    return x  # a comment\n')
    assert ast.dump(_without_docstrings(told)) == ast.dump(_without_docstrings(plain))
