"""The document of a checkpoint says what the model is; one of another stage is refused."""

import json
from hashlib import sha256

import pytest

from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles.checkpoint import load_checkpoint, save_checkpoint
from tasks.tiles.checkpoint_document import document_of
from tasks.tiles.variants import model_config
from tests.tiles.model.small_models import edit_config, random_head


def test_the_document_says_what_the_model_is(tmp_path):
    origin, training = {"file": "a.pt", "licence": "own"}, {"step": 3, "oracle_strength": "physics_derived"}
    save_checkpoint(tmp_path, random_head(), {"origin": origin, "training": training})
    document = json.loads((tmp_path / "config.json").read_text())
    assert document["format"] == "stagegate-tiles-1"
    assert (document["variant"], document["dim"], document["num_frames"], document["coords"]) == ("nano", 64, 1, False)
    assert document["bands"] == ["B02", "B03", "B04", "B08"]
    assert document["norm"] == {
        "name": "V2",
        "means": [1087.0, 1342.0, 1433.0, 2734.0],
        "stds": [2248.0, 2179.0, 2178.0, 1850.0],
    }
    assert document["head"] == {"width": 32, "blocks": 2, "features": 16, "detail": 16}
    assert document["weights_sha256"] == sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert (document["origin"], document["training"]) == (origin, training)


def test_other_keys_do_not_enter_the_document(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected training, origin, found \['steps'\]"):
        document_of(model_config("nano"), "0" * 64, {"steps": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "stagegate-tiles-0"}, "another stage or program: expected format 'stagegate-tiles-1'"),
        ({"format": None}, "another stage or program"),
        ({"in_channels": 12}, "describes no model: found in_channels: Extra inputs"),
        ({"num_classes": 256}, "describes no model: found num_classes"),
        ({"dim": "64"}, "describes no model: found dim"),
        ({"norm": {"name": "V2", "means": [1, 2, 3], "stds": [1, 2, 3, 4]}}, "found norm.means"),
        ({"norm": {"name": "V2", "means": [1, 2, 3, 4], "stds": [1, 2, 3, 0]}}, "stds must be above 0"),
        ({"norm": {"name": "V2", "means": [1, 2, 3, float("nan")], "stds": [1, 2, 3, 4]}}, "found norm.means.3"),
    ],
)
def test_a_config_of_another_stage_is_refused(saved, changes, message):
    edit_config(saved, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)
