"""What an input folder holds: tiles, scenes, strangers and orphans."""

import os

import pytest

from tasks.contracts.tile_errors import InputDirError
from tasks.tiles.listing import list_inputs
from tests.tiles.files.made import said


def folder(top, *names: str):
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"")
    return top


def ids(listing) -> list[str]:
    return [found.id for found in listing.tiles]


def test_tiles_come_in_byte_order_of_their_names(tmp_path):
    listing = list_inputs(folder(tmp_path, "b.npz", "B.npz", "ä.npz", "-a.npz", "a 10.npz", "a 2.npz", "a.npz"))
    assert ids(listing) == ["-a", "B", "a 10", "a 2", "a", "b", "ä"]


def test_sidecars_belong_to_the_tile_of_their_name(tmp_path):
    listing = list_inputs(folder(tmp_path, "a.npz", "a.json", "b.npz", "c.json"))
    assert [found.sidecar for found in listing.tiles] == [tmp_path / "a.json", None]
    assert listing.tiles[0].path == tmp_path / "a.npz" and listing.orphan_sidecars == ("c.json",)


def test_other_files_are_passed_over_and_other_spellings_named(tmp_path):
    listing = list_inputs(folder(tmp_path, "a.npz", "b.NPZ", "c.npy", "readme.txt", "d.Npz", "e.TIF"))
    assert ids(listing) == ["a"] and listing.ignored == ("b.NPZ", "d.Npz", "e.TIF") and listing.scenes == ()


def test_scenes_are_listed_beside_tiles(tmp_path):
    listing = list_inputs(folder(tmp_path, "s.tif", "s.json", "r.tiff", "a.npz"))
    assert [found.id for found in listing.scenes] == ["r", "s"] and listing.scenes[1].sidecar == tmp_path / "s.json"
    assert listing.orphan_sidecars == ()
    assert list_inputs(folder(tmp_path / "only", "s.tif")).tiles == ()


def test_sub_folders_are_entered_only_on_request(tmp_path):
    folder(tmp_path, "a.npz", "x/a.npz", "x/a.json", "x/y/b.npz", ".stagegate/summary.json", "x/lost.json")
    assert ids(list_inputs(tmp_path)) == ["a"]
    listing = list_inputs(tmp_path, recursive=True)
    assert ids(listing) == ["a", "x/a", "x/y/b"] and listing.orphan_sidecars == ("x/lost.json",)
    assert listing.tiles[1].sidecar == tmp_path / "x/a.json"


def test_links_to_files_count_and_links_to_folders_do_not(tmp_path):
    folder(tmp_path / "elsewhere", "a.npz")
    top = folder(tmp_path / "top", "b.npz")
    (top / "a.npz").symlink_to(tmp_path / "elsewhere/a.npz")
    (top / "gone.npz").symlink_to(tmp_path / "nowhere")
    (top / "loop").symlink_to(top)
    (top / "folder.npz").mkdir()
    assert ids(list_inputs(top, recursive=True)) == ["a", "b", "gone"]


def test_name_that_is_no_text_is_named_as_ignored(tmp_path):
    folder(tmp_path, "a.npz")
    with open(os.fsencode(tmp_path) + b"/\xff.npz", "wb"):
        listing = list_inputs(tmp_path)
    assert ids(listing) == ["a"] and listing.ignored == ("\\udcff.npz",)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ((), "Tiles are files <id>.npz"),
        (("a.json", "b.txt"), "Tiles are files <id>.npz"),
        (("a.NPZ",), "'a.NPZ' and the like are ignored"),
        (("aoi/a.npz",), "use --recursive"),
    ],
)
def test_folder_without_tiles_is_refused_by_the_known_sentence(tmp_path, names, advice):
    with pytest.raises(InputDirError) as caught:
        list_inputs(folder(tmp_path, *names))
    assert str(caught.value).startswith(f"No NPZ tiles found in {tmp_path}. ")
    assert advice in said(caught.value)["remedy"] and caught.value.exit_code == 2


def test_sentence_shows_the_folder_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputDirError, match=r"^No NPZ tiles found in in/\."):
        list_inputs("in/")


def test_absent_folder_and_file_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputDirError, match=f"{tmp_path}/absent does not exist: expected the folder of the tiles"):
        list_inputs(tmp_path / "absent")
    with pytest.raises(InputDirError, match="cannot be listed: found Not a directory"):
        list_inputs(tmp_path / "file")


def test_one_name_for_two_inputs_is_refused(tmp_path):
    with pytest.raises(InputDirError) as caught:
        list_inputs(folder(tmp_path, "a.npz", "a.tif"))
    assert said(caught.value)["found"] == "a" and "overwrite each other" in said(caught.value)["remedy"]


def test_outputs_of_runs_are_no_inputs(tmp_path):
    folder(tmp_path, "a.npz", "x/b.npz", "x/out/b.npz", "x/out/.stagegate/summary.json", "x/out/deep/c.npz")
    assert ids(list_inputs(tmp_path, recursive=True)) == ["a", "x/b"]
    assert ids(list_inputs(tmp_path / "x/out", recursive=True)) == ["b", "deep/c"]  # named, it is an input like any
