"""A served flow reads below its data root and writes below its results, whatever the request says."""

from pathlib import Path

import pytest

from tasks.contracts.errors import ConfigError, UnsafePathError
from tasks.subsidence.request import SubsidenceRequest
from tasks.subsidence.rooted import DATA_FIELDS, rooted


@pytest.fixture
def place(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "results").mkdir()

    def call(**request):
        return rooted(SubsidenceRequest(**request), tmp_path / "data", tmp_path / "results")

    return call


def test_without_roots_nothing_changes():
    request = SubsidenceRequest(stage1_manifest="/a/manifest.json", out="/b")
    assert rooted(request, None, None) == request


def test_relative_paths_are_placed_below_the_roots(place, tmp_path):
    placed = place(stage1_manifest="city/manifest.json", truth="later.csv", out="mine")
    assert placed.stage1_manifest == str(tmp_path / "data/city/manifest.json")
    assert placed.truth == str(tmp_path / "data/later.csv")
    assert placed.out == str(tmp_path / "results/mine")


def test_placing_twice_is_placing_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    once = rooted(SubsidenceRequest(data_dir="city"), Path("data"), Path("results"))
    assert rooted(once, Path("data"), Path("results")) == once
    assert once.data_dir == str(tmp_path / "data/city")


@pytest.mark.parametrize("field", DATA_FIELDS)
@pytest.mark.parametrize("text", ["/etc/passwd", "../secret", "a/../../secret", "file:///etc/passwd", "link/secret"])
def test_data_elsewhere_are_refused(place, tmp_path, field, text):
    (tmp_path / "data" / "link").symlink_to(tmp_path)
    with pytest.raises(UnsafePathError, match=r"outside the data root: expected below .*/data"):
        place(**{field: text})


@pytest.mark.parametrize(
    "url", ["local:///etc/passwd", "http://host/x", "simplecache::file:///etc/passwd", "s3://b/x::file:///etc/passwd"]
)
def test_only_object_storage_may_be_read_by_url(place, url):
    with pytest.raises(UnsafePathError, match=r"expected a path below .*, or s3://"):
        place(stage1_manifest=url)


def test_object_storage_is_left_as_it_is(place):
    assert place(stage1_manifest="s3://bucket/city/manifest.json").stage1_manifest == "s3://bucket/city/manifest.json"


@pytest.mark.parametrize("text", ["/tmp/elsewhere", "../elsewhere", "s3://bucket/out"])
def test_output_elsewhere_is_exit_2(place, text):
    with pytest.raises(ConfigError, match="out lies outside the folder of results") as refused:
        place(out=text)
    assert refused.value.exit_code == 2
