"""A request survives the run folder, and a run folder that is none is refused with words."""

import json

import pytest

from tasks.contracts.errors import ConfigError, MissingInputError
from tasks.subsidence.request import REQUEST_FILE, SubsidenceRequest, continued, portable


def written(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    document = portable(SubsidenceRequest(**values), folder)
    (folder / REQUEST_FILE).write_text(json.dumps(document))
    return document


def test_resumed_request_is_the_first_one_also_after_both_have_moved(tmp_path):
    asked = SubsidenceRequest(
        stage1_manifest=str(tmp_path / "a/in/manifest.json"), out=str(tmp_path / "a/runs"), seed=3, set=("EPOCHS=2",)
    )
    written(tmp_path / "a/runs/train_1", **asked.model_dump())
    (tmp_path / "a").rename(tmp_path / "b")
    again = continued(SubsidenceRequest(resume=str(tmp_path / "b/runs/train_1")))
    expected = {"stage1_manifest": str(tmp_path / "b/in/manifest.json"), "out": str(tmp_path / "b/runs")}
    assert again == asked.model_copy(update=expected)


def test_a_url_is_no_path(tmp_path):
    document = written(tmp_path / "run", stage1_manifest="s3://bucket/city/manifest.json")
    assert document["stage1_manifest"] == "s3://bucket/city/manifest.json"


@pytest.mark.parametrize("beside", [{"seed": 3}, {"city": "x", "set": ("EPOCHS=2",)}, {"accelerator": "none"}])
def test_another_wish_beside_resume_is_refused_by_name(tmp_path, beside):
    written(tmp_path / "run")
    with pytest.raises(ConfigError, match=f"^{', '.join(beside)} cannot be given together with resume"):
        continued(SubsidenceRequest(resume=str(tmp_path / "run"), **beside))


def without(name):
    def change(document):
        del document[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(color="red"), "found unknown color"),
        (without("city"), "found no city"),
        (lambda d: d.update(seed="many"), "field seed is not usable.*found 'many'"),
        (lambda d: d.update(out=5), "field out is not usable"),
        (lambda d: d["twin"].update(towers=2), "field twin.towers is not usable"),
    ],
)
def test_a_request_of_another_shape_is_refused(tmp_path, change, message):
    document = written(tmp_path / "run")
    change(document)
    (tmp_path / "run" / REQUEST_FILE).write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=message):
        continued(SubsidenceRequest(resume=str(tmp_path / "run")))


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b" " * (2**20 + 1)])
def test_a_damaged_request_is_refused_with_its_place(tmp_path, data):
    (tmp_path / REQUEST_FILE).write_bytes(data)
    with pytest.raises(ConfigError, match=REQUEST_FILE):
        continued(SubsidenceRequest(resume=str(tmp_path)))


def test_a_folder_without_request_is_no_run_folder(tmp_path):
    with pytest.raises(MissingInputError, match=r"is no run folder: expected a file request\.json"):
        continued(SubsidenceRequest(resume=str(tmp_path)))
