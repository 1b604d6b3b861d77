"""Stored paths stay inside their folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import UnsafePathError
from tasks.store.paths import resolve_inside, safe_name


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("train.npz", "train.npz"),
        ("artifacts/train.npz", "artifacts/train.npz"),
        ("./artifacts//train.npz", "artifacts/train.npz"),
        ("artifacts\\train.npz", "artifacts/train.npz"),
        ("a..b/..c", "a..b/..c"),
        ("数据/文件.csv", "数据/文件.csv"),
    ],
)
def test_relative_path_lies_below_the_folder(tmp_path, stored, expected):
    assert resolve_inside(tmp_path, stored) == tmp_path.resolve() / expected


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("../x", r"path '\.\./x' the path holds `\.\.`"),
        ("a/../../x", r"holds `\.\.`"),
        ("a\\..\\..\\x", r"holds `\.\.`"),
        ("/etc/passwd", "is absolute"),
        ("\\\\server\\share\\x", "is absolute"),
        ("C:\\x", "is absolute"),
        ("c:x", "is absolute"),
        ("a\0b", "holds a NUL"),
        ("", "names no file"),
        ("./.", "names no file"),
        ("x" * 256, "too long: expected at most 255 bytes a part"),
        ("å" * 128, "too long"),
        ("a/" * 2500 + "x", "too long"),
        ("a\ud800", "cannot be encoded"),
    ],
)
def test_path_that_could_leave_is_refused(tmp_path, stored, message):
    with pytest.raises(UnsafePathError, match=message):
        resolve_inside(tmp_path, stored)


def test_symbolic_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "link").symlink_to("../secret")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    for stored in ("link", "folder/secret", "folder/in/link"):
        with pytest.raises(UnsafePathError, match="symbolic link leads out"):
            resolve_inside(tmp_path / "in", stored)


def test_symbolic_links_inside_and_to_the_folder_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("x")
    (tmp_path / "real" / "link").symlink_to("x")
    (tmp_path / "alias").symlink_to("real")
    assert resolve_inside(tmp_path / "alias", "link").read_text() == "x"


def test_loop_of_links_leads_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert not resolve_inside(tmp_path, "loop/x").exists()


@given(stored=st.text(alphabet="./\\a~:C\0 ", max_size=12))
def test_no_text_escapes(stored):
    folder = Path("/nowhere/below")
    try:
        path = resolve_inside(folder, stored)
    except UnsafePathError:
        return
    assert path.is_relative_to(folder) and path != folder


def test_names_are_plain():
    assert safe_name("train-0123/epoch=3") == "train-0123/epoch=3"
    with pytest.raises(UnsafePathError, match=r"name '\.\./x' a name in the store holds letters"):
        safe_name("../x")
