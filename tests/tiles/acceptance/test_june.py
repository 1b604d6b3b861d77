"""June in five spellings, one of them silence, gives one output."""

import hashlib
import json

import pytest

from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine.cases import stub_run, tile, write_tile

SPELLINGS = {"short": "jun", "long": "June", "number": 6, "digits": "06", "absent": None, "july": 7}


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """Output digest and sidecar of one tile under each spelling; July beside, to show that months matter."""
    top = tmp_path_factory.mktemp("june")
    for name, month in SPELLINGS.items():
        write_tile(top / "in", name, tile(3), {"biome_code": 4} | ({} if month is None else {"month": month}))
    save_checkpoint(top / "checkpoint", fresh("nano", seed=1, head_scale=0.3))
    assert refine_folder(stub_run(top, load=load_refiner, batch_size=1)).done == 6
    digests = {name: hashlib.sha256((top / f"out/{name}.npz").read_bytes()).hexdigest() for name in SPELLINGS}
    return digests, {name: json.loads((top / f"out/{name}.json").read_text()) for name in SPELLINGS}


def test_all_five_give_the_same_bytes_and_july_others(refined):
    digests, _ = refined
    june = {digest for name, digest in digests.items() if name != "july"}
    assert len(june) == 1 and digests["july"] not in june


def test_all_five_say_month_6_and_only_the_silent_one_used_a_default(refined):
    _, sidecars = refined
    assert {name: sidecar["month"] for name, sidecar in sidecars.items()} == dict.fromkeys(SPELLINGS, 6) | {"july": 7}
    used = {name: sidecar["processing"]["defaults_used"] for name, sidecar in sidecars.items()}
    assert used == {name: ["month"] if name == "absent" else [] for name in SPELLINGS}
    texts = {name: sidecar["processing"]["input_month"] for name, sidecar in sidecars.items()}
    assert texts == dict.fromkeys(SPELLINGS, None) | {"short": "jun", "long": "June", "digits": "06"}
