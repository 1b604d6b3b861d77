"""Which folders are searched for a manifest, and what is said of those that were not taken."""

import pytest

from tasks.contracts.errors import MissingInputError
from tasks.subsidence.handoff.search import SHOWN, Search, search_folders
from tests.subsidence.mini import write_mini_handoff


def of(city="mini", timestamp="2024-01-01 00:00:00"):
    return {"manifest": lambda manifest: manifest.update(city=city, timestamp=timestamp)}


@pytest.fixture
def folders(tmp_path):
    data, results = tmp_path / "data", tmp_path / "results"
    write_mini_handoff(data / "other", **of("elsewhere"))
    write_mini_handoff(results / "old", **of(timestamp="2023-01-01 00:00:00"))
    write_mini_handoff(results / "new", **of())
    return data, results


def test_results_is_searched_after_the_data_folder_and_both_leave_their_reasons(folders, tmp_path):
    path, search = search_folders(*folders, city="mini", model=None)
    assert path == folders[1] / "new" / "manifest.json"
    assert (search.folder, search.chosen) == ("./results", "new/manifest.json")
    assert search.rejected == {
        "--data-dir": "other/manifest.json: city is 'elsewhere', not 'mini'",
        "old/manifest.json": "older (2023-01-01 00:00:00)",
    }
    assert str(tmp_path) not in search.model_dump_json()


def test_a_data_folder_that_has_one_is_enough(folders):
    _, search = search_folders(*folders, city="elsewhere", model=None)
    assert (search.folder, search.rejected) == ("--data-dir", {})


def test_another_model_is_a_note(folders):
    _, search = search_folders(*folders, city="mini", model="PoroElasticSubsNet")
    assert "PoroElasticSubsNet" in search.warnings()[-1]


def test_nothing_anywhere_names_both_folders_with_reasons(folders):
    with pytest.raises(
        MissingInputError, match=r"of city 'atlantis', found looked in .*data .*elsewhere.*/results .*old"
    ):
        search_folders(*folders, city="atlantis", model=None)


def test_absent_and_forbidden_results_are_said(tmp_path):
    with pytest.raises(MissingInputError, match=r"looked in \./results \(does not exist\)"):
        search_folders(None, tmp_path / "none", city="mini", model=None)
    with pytest.raises(MissingInputError, match=r"\./results \(outside the data root, not searched\)"):
        search_folders(None, None, city="mini", model=None)


def test_a_data_folder_that_does_not_exist_is_not_passed_over(folders, tmp_path):
    with pytest.raises(MissingInputError, match="data folder does not exist"):
        search_folders(tmp_path / "typo", folders[1], city="mini", model=None)


def test_many_candidates_are_counted():
    search = Search(folder="./results", chosen="a", rejected={f"{n}": "older" for n in range(SHOWN + 2)}, notes={})
    assert len(search.warnings()) == SHOWN + 1
    assert search.warnings()[-1] == "2 more candidates in ./results were not taken"
