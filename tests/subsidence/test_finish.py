"""What only the run folder knows: the device that the network was trained on."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from tasks.subsidence.finish import Facts, finished, first_stamp

SUMMARY = "city_model_training_summary.json"
DIGEST = {"sha256": "0" * 64, "bytes": 1}
DOCUMENT = {"versions": {"numpy": "2.4"}, "sha256": {"inputs": {}, "outputs": {"a.csv": DIGEST, "b.csv": DIGEST}}}


@pytest.mark.parametrize(("known", "shown"), [({"device": "gpu"}, "gpu"), ({}, "not recorded")])
def test_the_summary_shows_the_device_that_was_recorded(known, shown):
    facts = Facts.now(Path("train_1"), **known)
    summary = json.loads(finished(SUMMARY, json.dumps(DOCUMENT).encode(), facts))
    assert (summary["env"]["device"], summary["env"]["numpy"]) == (shown, "2.4")


def test_a_run_folder_that_is_written_again_keeps_the_time_in_its_names(tmp_path):
    assert first_stamp(tmp_path) is None
    (tmp_path / "geoprior_eval_phys_20200102-030405_interpretable.json").write_text("{}")
    facts = Facts(tmp_path, Facts.now(tmp_path).at, stamp=first_stamp(tmp_path))
    assert facts.renamed("geoprior_eval_phys.json") == "geoprior_eval_phys_20200102-030405.json"
    assert not facts.timestamp.startswith("2020")


def test_the_summary_names_the_digests_of_the_files_as_they_lie_in_the_folder(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"timed")
    facts = dataclasses.replace(Facts.now(tmp_path), written={"a.csv": tmp_path / "a.csv"})
    outputs = json.loads(finished(SUMMARY, json.dumps(DOCUMENT).encode(), facts))["sha256"]["outputs"]
    assert outputs == {"a.csv": {"sha256": hashlib.sha256(b"timed").hexdigest(), "bytes": 5}, "b.csv": DIGEST}


@pytest.mark.parametrize("lost", ["sha256", "versions"])
def test_a_summary_without_digests_or_versions_is_a_defect(lost):
    document = {name: value for name, value in DOCUMENT.items() if name != lost}
    with pytest.raises(KeyError, match=lost):
        finished(SUMMARY, json.dumps(document).encode(), Facts.now(Path("train_1")))
