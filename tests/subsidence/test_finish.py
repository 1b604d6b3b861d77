"""What only the run folder knows: the device that the network was trained on."""

import json
from pathlib import Path

import pytest

from tasks.subsidence.finish import Facts, finished


@pytest.mark.parametrize(("known", "shown"), [({"device": "gpu"}, "gpu"), ({}, "not recorded")])
def test_the_summary_shows_the_device_that_was_recorded(known, shown):
    facts = Facts.now(Path("train_1"), **known)
    summary = json.loads(finished("city_model_training_summary.json", b'{"versions": {"numpy": "2.4"}}', facts))
    assert (summary["env"]["device"], summary["env"]["numpy"]) == (shown, "2.4")
