"""A finished scene is a COG and the sidecar that proves it; the windows get the care that tiles get."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.batches import Refinery
from tasks.tiles.listing import list_inputs
from tasks.tiles.memory import MemoryPolicy
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.refine_scenes import SceneWorker
from tasks.tiles.scene import SceneOptions
from tasks.tiles.scene_output import SceneRun
from tests.tiles.scenes.images import digital_numbers, read_scene, write_scene

CONFIG = TilesConfig(window=32, overlap=8)
FACTS = RunFacts(
    input_dir="in",
    checkpoint="ck",
    device_requested="cuda",
    checkpoint_id="a" * 64,
    config_id="b" * 64,
    code_version="1",
)


class Brighter:
    """A model of the engine's kind that adds month/1000; `limit` tiles fit in its memory."""

    device, precision = "cpu", "bf16"

    def __init__(self, limit=99, bad=()):
        self.limit, self.bad, self.calls = limit, bad, 0

    def __call__(self, inputs):
        self.calls += 1
        if len(inputs.tiles) > self.limit:
            raise MemoryError
        if self.calls in self.bad:
            return inputs.tiles[:, -1] * np.nan
        return inputs.tiles[:, -1] + inputs.month[:, None, None, None].astype(np.float32) / 1000

    def in_fp32(self):
        other = Brighter()
        other.precision = "fp32"
        return other

    def on_cpu(self):
        return self

    def free(self):
        pass


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "in", tmp_path / "out"


def worker(folders, model=None, config=CONFIG, facts=FACTS, load=None, bands=None, dtype="input", **rules):
    policy = MemoryPolicy(4, "cpu", lambda event: None)
    run = SceneRun(folders[1], config, SceneOptions(16, bands, dtype), facts)
    return SceneWorker(run, load or (lambda: Refinery(model or Brighter(), policy, config, 16)), **rules)


def refine(folders, model=None, **settings):
    (record,) = worker(folders, model, **settings).refine(list_inputs(folders[0]).scenes)
    return record


def never():
    raise AssertionError("the model was loaded")


def names(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_output_and_sidecar_prove_each_other(folders):
    numbers = digital_numbers()
    numbers[0, 0, 0] = 0
    source = write_scene(folders[0] / "s.tif", numbers, nodata=0)
    (folders[0] / "s.json").write_text('{"site": "Ötztal", "month": "May", "biome_code": 3}')
    record = refine(folders)
    assert names(folders[1]) == ["s.json", "s.tif"]
    values, *_ = read_scene(folders[1] / "s.tif")
    np.testing.assert_array_equal(values[:, 1:], numbers[:, 1:] + 50)
    document = json.loads((folders[1] / "s.json").read_text())
    done = document["processing"]
    assert list(document)[:3] == ["site", "month", "biome_code"]
    assert (document["month"], document["stage"], done["input_month"]) == (5, "stage2_refined", "May")
    assert done["input_file"] == "in/s.tif"
    assert done["input_sha256"] == record.input_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    written = (folders[1] / "s.tif").read_bytes()
    assert done["output_sha256"] == record.output.digest == hashlib.sha256(written).hexdigest()
    assert (record.output.name, record.output.size) == ("s.tif", len(written))
    assert (record.status, record.height, record.width, record.padded_to) == ("done", 70, 90, (32, 32))
    assert done["valid_fraction"] == record.valid_fraction == pytest.approx(1 - 1 / 6300)
    assert (done["precision"], done["use_amp"], done["device"], done["batch_size"]) == ("bf16", True, "cpu", 4)
    scene = done["scene"]
    assert (scene["scale"], scene["offset"], scene["units"]) == (10_000, 0, "16-bit default")
    assert (scene["nodata"], scene["window"], scene["overlap"], scene["windows"]) == (0, 32, 8, 12)


def test_missing_metadata_are_june_and_unknown(folders):
    numbers = digital_numbers()
    write_scene(folders[0] / "s.tiff", numbers)
    record = refine(folders)
    document = json.loads((folders[1] / "s.json").read_text())
    assert record.defaults_used == ("month", "biome_code")
    assert (document["month"], document["biome_code"], record.sidecar_sha256) == (6, 0, None)
    np.testing.assert_array_equal(read_scene(folders[1] / "s.tiff")[0], numbers + 60)


def test_memory_that_runs_out_halves_the_batch_and_is_recorded(folders):
    numbers = digital_numbers()
    write_scene(folders[0] / "s.tif", numbers)
    record = refine(folders, Brighter(limit=1))
    assert [(event.action, event.batch_size) for event in record.oom_events] == [("halve batch", 4), ("halve batch", 2)]
    np.testing.assert_array_equal(read_scene(folders[1] / "s.tif")[0], numbers + 60)


def test_windows_larger_than_a_tile_may_be_are_refined_alone(folders):
    numbers = digital_numbers(1040, 1100)
    write_scene(folders[0] / "s.tif", numbers)
    record = refine(folders, config=TilesConfig(window=1040, overlap=0))
    assert (record.padded_to, record.batch_size) == ((1040, 1040), 4)
    np.testing.assert_array_equal(read_scene(folders[1] / "s.tif")[0], numbers + 60)


def test_what_a_scene_lacks_is_said_in_the_log_and_in_the_sidecar(folders, caplog):
    write_scene(folders[0] / "s.tif", digital_numbers(), crs=None)
    assert refine(folders).status == "done"
    assert [entry.message for entry in caplog.records] == ["scene s: has no coordinate reference system"]
    document = json.loads((folders[1] / "s.json").read_text())
    assert document["processing"]["scene"]["warnings"] == ["has no coordinate reference system"]


def test_a_window_without_numbers_is_repeated_in_fp32(folders):
    numbers = digital_numbers()
    write_scene(folders[0] / "s.tif", numbers)
    assert refine(folders, Brighter(bad=(2,))).status == "done"
    np.testing.assert_array_equal(read_scene(folders[1] / "s.tif")[0], numbers + 60)


def test_a_failed_scene_is_a_record_and_its_older_output_is_set_aside(folders):
    class Broken(Brighter):
        def __call__(self, inputs):
            raise ValueError("no kernel")

    write_scene(folders[0] / "s.tif", digital_numbers())
    refine(folders)
    record = refine(folders, Broken(), skip_existing=False)
    assert (record.status, record.error, record.phase) == ("failed", "TileModelError", "model")
    assert "no kernel" in record.message
    assert names(folders[1]) == [".stagegate/stale/s.json.stale", ".stagegate/stale/s.tif.stale"]


def test_one_bad_scene_does_not_stop_the_others(folders):
    write_scene(folders[0] / "a.tif", digital_numbers())
    (folders[0] / "b.tif").write_bytes(b"not a scene")
    write_scene(folders[0] / "c.tif", digital_numbers())
    (folders[0] / "c.json").write_text('{"month": 13}')
    write_scene(folders[0] / "d.tif", np.zeros((4, 40, 40), np.uint16), nodata=0)
    (folders[0] / "e.tif").symlink_to("nowhere")
    records = worker(folders).refine(list_inputs(folders[0]).scenes)
    assert [(record.id, record.status, record.error) for record in records] == [
        ("a", "done", ""),
        ("b", "failed", "TileReadError"),
        ("c", "failed", "InvalidMonthError"),
        ("d", "failed", "TileEmptyError"),
        ("e", "failed", "TileReadError"),
    ]
    assert names(folders[1]) == ["a.json", "a.tif"]
    assert worker(folders, allow_empty=True).refine(list_inputs(folders[0]).scenes)[3].status == "empty"


def test_a_finished_scene_is_resumed_without_the_model(folders):
    write_scene(folders[0] / "s.tif", digital_numbers())
    first = refine(folders)
    again = refine(folders, load=never)
    assert (first.reason, again.status) == ("new", "resumed")
    assert again == first.model_copy(update={"status": "resumed", "reason": ""})


@pytest.mark.parametrize(
    ("reason", "damage"),
    [
        ("input changed", lambda given, made: write_scene(given / "s.tif", digital_numbers(seed=6))),
        ("input changed", lambda given, made: (given / "s.json").write_text("{}")),
        ("output damaged", lambda given, made: (made / "s.tif").write_bytes((made / "s.tif").read_bytes()[:-1])),
        ("output damaged", lambda given, made: (made / "s.tif").unlink()),
        ("no commit marker", lambda given, made: (made / "s.json").unlink()),
        ("no commit marker", lambda given, made: (made / "s.json").write_text("[1]")),
    ],
)
def test_what_no_longer_fits_is_computed_again(folders, reason, damage):
    write_scene(folders[0] / "s.tif", digital_numbers())
    refine(folders)
    damage(*folders)
    record = refine(folders)
    assert (record.status, record.reason) == ("done", reason)
    assert refine(folders, load=never).status == "resumed"


@pytest.mark.parametrize(
    ("reason", "settings"),
    [
        ("checkpoint changed", {"facts": FACTS.model_copy(update={"checkpoint_id": "c" * 64})}),
        ("config changed", {"facts": FACTS.model_copy(update={"config_id": "c" * 64})}),
        ("code changed", {"facts": FACTS.model_copy(update={"code_version": "2"})}),
        ("config changed", {"bands": (1, 2, 4, 3)}),
        ("config changed", {"dtype": "float32"}),
    ],
)
def test_other_settings_are_computed_again(folders, reason, settings):
    write_scene(folders[0] / "s.tif", digital_numbers())
    refine(folders)
    record = refine(folders, **settings)
    assert (record.status, record.reason) == ("done", reason)


def test_a_scene_that_changes_meanwhile_is_not_published(folders):
    source = write_scene(folders[0] / "s.tif", digital_numbers())
    record = refine(folders, tell=lambda scene_id, share: source.write_bytes(source.read_bytes() + b"\0"))
    assert (record.status, record.error) == ("failed", "InputChangedError")
    assert names(folders[1]) == []


def test_a_stopped_run_leaves_no_part_of_a_scene_and_names_what_it_did_not_do(folders):
    for name in "ab":
        write_scene(folders[0] / f"{name}.tif", digital_numbers())
    shares = []
    stopped = worker(folders, tell=lambda scene_id, share: shares.append(share), stopping=lambda: len(shares) >= 2)
    records = stopped.refine(list_inputs(folders[0]).scenes)
    assert [(record.status, record.reason) for record in records] == [("not_run", "stopped")] * 2
    assert (len(shares), names(folders[1])) == (2, [])


def test_a_checkpoint_refines_a_scene_as_it_refines_a_tile(folders):
    import torch

    from tasks.tiles.checkpoint import fresh, load_checkpoint, save_checkpoint
    from tasks.tiles.model import Batch
    from tasks.tiles.torch_model import TorchModel

    refiner = fresh("nano", seed=3, head_scale=1.0).eval()
    save_checkpoint(folders[1].parent / "nano", refiner)
    model = TorchModel(load_checkpoint(folders[1].parent / "nano", sha256=None), "cpu", "fp32", "fp32")
    numbers = digital_numbers(30, 25)
    write_scene(folders[0] / "s.tif", numbers, tiled=False, blockxsize=None)
    record = refine(folders, model, dtype="float32")
    batch = Batch.plain(torch.from_numpy(numbers.astype(np.float32) / np.float32(10_000))[None, None])
    june = replace(batch, month=torch.tensor([6]), biome=torch.tensor([0]))
    with torch.inference_mode():
        expected = refiner.refine(june)[0].numpy()
    assert (record.precision, record.padded_to) == ("fp32", (32, 32))
    assert np.abs(expected - numbers / 10_000).max() > 0.01
    np.testing.assert_allclose(read_scene(folders[1] / "s.tif")[0], expected, atol=1e-5)
