"""Names and paths of others: whatever they hold, nothing outside the folder is written or read."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import StoreError, UnsafePathError
from tasks.store.blobs import Store
from tasks.store.paths import resolve_inside
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs
from tasks.store.telemetry import save_telemetry

ESCAPES = [
    "../outside",
    "a/../../outside",
    "..\\outside",
    "a\\..\\..\\outside",
    "/outside",
    "//outside",
    "\\\\host\\share",
    "C:\\outside",
    "link/outside",
    "outside\0.npz",
    "x" * 5000,
    "/".join(["d" * 200] * 30),
    "..",
    ".",
    "",
]


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """A folder with a link that leads out of it; `tmp_path` is watched."""
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    return folder


def outside(arena: Path) -> list[str]:
    return sorted(entry.name for entry in arena.parent.iterdir())


@pytest.mark.parametrize("name", ESCAPES)
def test_fetch_writes_nothing_outside(arena, name):
    store = Store(arena / "store")
    ref = store.put_bytes(b"x", name=name)
    with pytest.raises(UnsafePathError):
        store.fetch(ref, arena)
    assert outside(arena) == ["inside"] and not Path("/outside").exists()


@pytest.mark.parametrize("name", ESCAPES)
def test_names_progress_and_telemetry_write_nothing_outside(arena, name):
    store = Store(arena)
    for write in (
        lambda: NamedRefs(arena).create(name, b"x"),
        lambda: NamedRefs(arena).get(name),
        lambda: Progress(arena, name).save({"x": b"x"}),
        lambda: Progress(arena, "key").save({name: b"x"}),
        lambda: save_telemetry(store, name, {}),
    ):
        if name == "link/outside":  # a plain name there: `link` is no link below refs/, progress/ and telemetry/
            continue
        with pytest.raises((UnsafePathError, StoreError)):
            write()
    assert outside(arena) == ["inside"]


@given(parts=st.lists(st.sampled_from(["..", ".", "a", "link", "up", "self", "", "\0", "C:", "~"]), max_size=6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_no_combination_of_parts_and_links_escapes(arena, parts, separator):
    for name, target in {"up": "..", "self": "."}.items():
        if not (arena / name).is_symlink():
            (arena / name).symlink_to(target)
    try:
        path = resolve_inside(arena, separator.join(parts))
    except UnsafePathError:
        return
    real = os.path.realpath(path)
    assert real == str(arena.resolve()) or real.startswith(f"{arena.resolve()}{os.sep}")
