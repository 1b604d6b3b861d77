"""What a person is told where a device is missing."""

import pytest

from tasks.contracts.errors import ConfigError
from tasks.orchestration import places


def test_a_required_device_that_is_missing_is_refused_in_words_that_fit_every_command(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "DEVICE", tmp_path / "absent")
    assert places.accelerator_here("cuda-torch", "preferred") == "cpu"
    with pytest.raises(ConfigError, match="no GPU can be used") as caught:
        places.accelerator_here("cuda-torch", "required")
    assert "without requiring one" in caught.value.remedy and "--" not in caught.value.remedy
