"""What a request brings along, and what is refused before any step."""

import pytest

from tasks.contracts.errors import ConfigError, HandshakeError, MissingInputError
from tasks.store.blobs import Store
from tasks.subsidence.ingest import ingest
from tasks.subsidence.request import SubsidenceRequest
from tests.subsidence.mini import write_mini_handoff

HEADER = "longitude,latitude,year,subsidence_cum\n"


@pytest.fixture
def take(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(data_root=None, **request):
        return ingest(SubsidenceRequest(**request), Store(tmp_path / "store"), data_root)

    return call


def test_no_data_option_means_the_twin_city(take, tmp_path):
    write_mini_handoff(tmp_path / "results" / "one")
    given = take()
    assert (given.source, given.search) == (None, None)
    assert take(city="Twin").source is None


def test_a_named_city_is_searched_in_results(take, tmp_path):
    write_mini_handoff(tmp_path / "results" / "one")
    given = take(city="MINICITY")
    assert given.source is not None
    assert (given.search.folder, given.search.chosen) == ("./results", "one/manifest.json")


def test_a_city_of_the_configuration_is_a_named_city(take, tmp_path):
    write_mini_handoff(tmp_path / "results" / "one")
    assert take(set=("CITY=minicity",)).search.chosen == "one/manifest.json"


def test_a_named_city_that_is_nowhere_is_no_twin_city(take):
    with pytest.raises(MissingInputError, match=r"city 'zhongshan', found looked in \./results \(does not exist\)"):
        take(city="zhongshan")


def test_results_are_searched_below_the_data_root_and_nowhere_else(take, tmp_path):
    write_mini_handoff(tmp_path / "results" / "one")
    with pytest.raises(MissingInputError, match=r"looked in \./results \(does not exist\)"):
        take(data_root=tmp_path / "data", city="minicity")
    write_mini_handoff(tmp_path / "data" / "results" / "two")
    assert take(data_root=tmp_path / "data", city="minicity").search.chosen == "two/manifest.json"


def test_a_relative_path_is_relative_to_the_data_root(take, tmp_path):
    write_mini_handoff(tmp_path / "data" / "one")
    assert take(data_root=tmp_path / "data", stage1_manifest="one/manifest.json").source is not None
    assert take(data_root=tmp_path / "data", data_dir="one").source is not None


def test_an_unknown_model_is_refused_with_the_known_ones(take):
    with pytest.raises(
        ConfigError, match=r"--model.*GeoPriorSubsNet, PoroElasticSubsNet, HybridAttn-NoPhysics.*'Nope'"
    ):
        take(model="Nope")


def test_a_flow_that_does_not_resume_says_so(take):
    with pytest.raises(ConfigError, match="cannot be resumed"):
        take(resume="runs/one")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat\n1,2\n", "later.csv lacks columns longitude, latitude, year, subsidence_cum: .*found lon, lat"),
        (HEADER + "113,22,2023,x\n", "later.csv line 2 column 'subsidence_cum' holds 1 cells that are no numbers"),
        (HEADER + "113,22,1999,5\n", r"later.csv has no row of the forecast years: expected \d+\.\.\d+, found 1999"),
        ("", "later.csv cannot be read as a table: expected a CSV with longitude, latitude, year, subsidence_cum"),
    ],
)
def test_a_bad_truth_file_is_refused_before_any_work(take, tmp_path, text, message):
    manifest = write_mini_handoff(tmp_path / "in")
    (tmp_path / "later.csv").write_text(text)
    for data in ({"stage1_manifest": str(manifest)}, {}):  # a handoff, the twin city
        with pytest.raises(HandshakeError, match=message):
            take(truth=str(tmp_path / "later.csv"), **data)
