"""The refiner as the engine calls it, in one process."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from tasks.contracts.tile_errors import CheckpointError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.batches import Loaded, Refinery, stacked, warm_up
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.memory import MemoryPolicy
from tasks.tiles.metadata import ModelInputs
from tasks.tiles.model import Batch
from tasks.tiles.plan import Header, PlannedBatch
from tasks.tiles.settings import WorkerSettings
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine.cases import tile

SEES = ModelInputs(month=3, biome=4, year=np.nan, day_of_year=np.nan, lat=np.nan, lon=np.nan)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Nano models: the identity, and one that changes tiles visibly."""
    top = tmp_path_factory.mktemp("checkpoints")
    for name, scale in (("identity", 0.0), ("random", 0.3)):
        save_checkpoint(top / name, fresh("nano", seed=1, head_scale=scale))
    return top


def load(checkpoint, stack, precision="fp32"):
    settings = WorkerSettings(str(checkpoint), 16, load_refiner, TilesConfig(), precision=precision)
    return load_refiner(settings, 0, stack).model


def loaded(name: str, values: np.ndarray, valid: np.ndarray | None = None) -> Loaded:
    height, width = values.shape[-2:]
    valid = np.ones((height, width), bool) if valid is None else valid
    return Loaded(
        Header(name, height, width, "", None, "0" * 64), TileMeta(), values[None], valid, SEES, "opt_v1", 0.0, 1.0
    )


def refine(model, tiles, padded):
    refinery = Refinery(model, MemoryPolicy(8, "cpu", lambda event: None), TilesConfig(), patch=16)
    batch = PlannedBatch(0, padded, tuple(one.header for one in tiles))
    return {one.tile.header.id: one for one in refinery.refine(batch, tiles)}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fresh_model_returns_its_input_bit_for_bit(checkpoints, precision):
    with ExitStack() as stack:
        model = load(checkpoints / "identity", stack, precision)
        tiles = [loaded("a", tile(0, 100, 90)), loaded("b", tile(1, 97, 96))]
        outcomes = refine(model, tiles, (112, 96))
    assert np.array_equal(outcomes["a"].values, tile(0, 100, 90))
    assert np.array_equal(outcomes["b"].values, tile(1, 97, 96))
    assert {one.precision for one in outcomes.values()} == {precision}


def test_padding_in_the_batch_is_the_padding_of_the_model(checkpoints):
    valid = np.ones((20, 35), bool)
    valid[19, 34] = False
    one = loaded("a", tile(0, 20, 35), valid)
    with ExitStack() as stack:
        model = load(checkpoints / "random", stack)
        grown, own = model(stacked([one], (32, 48))), model(stacked([one], (20, 35)))
    np.testing.assert_allclose(grown[0, :, :20, :35], own[0], atol=1e-6)
    assert np.abs(own[0] - tile(0, 20, 35)).max() > 0.01


def test_batch_size_changes_nothing_that_matters(checkpoints):
    tiles = [loaded(f"t{number}", tile(number, 40, 33)) for number in range(16)]
    batch = PlannedBatch(0, (48, 48), tuple(one.header for one in tiles))
    by_size = {}
    with ExitStack() as stack:
        model = load(checkpoints / "random", stack)
        for size in (1, 3, 4, 16):
            refinery = Refinery(model, MemoryPolicy(size, "cpu", lambda event: None), TilesConfig(), patch=16)
            outcomes = refinery.refine(batch, tiles)
            assert {one.batch_size for one in outcomes} <= {size, 16 % size}
            by_size[size] = np.stack([one.values for one in outcomes])
    for size in (1, 3, 16):
        assert np.abs(by_size[size] - by_size[4]).max() <= 1e-5


@pytest.mark.parametrize(
    ("flags", "no_amp", "ran"), [("", False, "fp32"), ("avx512_bf16", False, "bf16"), ("amx_bf16", True, "fp32")]
)
def test_precision_is_what_the_cpu_can_do(checkpoints, monkeypatch, flags, no_amp, ran):
    monkeypatch.setattr("tasks.tiles.precision.cpu_flags", lambda: frozenset({flags}))
    settings = WorkerSettings(str(checkpoints / "random"), 16, load_refiner, TilesConfig(), no_amp=no_amp)
    with ExitStack() as stack:
        model, notes = load_refiner(settings, 0, stack)
    assert model.precision == ran
    assert any(f"precision {ran}" in note for note in notes)


def test_month_and_biome_reach_the_model_in_their_places(checkpoints):
    with ExitStack() as stack:
        model = load(checkpoints / "random", stack)
        inputs = stacked([loaded("a", tile(0))], (32, 32))
        refiner = fresh("nano", seed=1, head_scale=0.3).eval()
        nan = torch.tensor([float("nan")])
        batch = Batch(
            torch.from_numpy(tile(0)[None, None]), torch.ones(1, 32, 32), torch.tensor([3]), torch.tensor([4]),
            nan, nan, nan, nan,
        )  # fmt: skip
        with torch.inference_mode():
            np.testing.assert_allclose(model(inputs), refiner(batch).numpy(), atol=1e-6)


def test_values_before_the_clamp_are_given(checkpoints):
    with ExitStack() as stack:
        output = load(checkpoints / "random", stack)(stacked([loaded("a", np.ones((4, 32, 32), np.float32))], (32, 32)))
    assert output.max() > 1.0


def test_fp32_copy_and_cpu_copy_are_made_once(checkpoints):
    with ExitStack() as stack:
        model = load(checkpoints / "random", stack, "bf16")
        exact = model.in_fp32()
        assert exact.precision == "fp32" and model.in_fp32() is exact
        assert model.on_cpu() is model
        inputs = stacked([loaded("a", tile(0))], (32, 32))
        assert 0 < np.abs(model(inputs) - exact(inputs)).max() < 0.02


def test_global_settings_are_back_after_an_exception(checkpoints):
    before = torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), ExitStack() as stack:
        warm_up(load(checkpoints / "random", stack), 16, 1)
        raise ZeroDivisionError
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.is_grad_enabled()) == before


def test_checkpoint_of_other_weights_is_refused_in_the_worker_too(checkpoints):
    settings = WorkerSettings(
        str(checkpoints / "random"), 16, load_refiner, TilesConfig(), checkpoint_sha256="0" * 64
    )  # fmt: skip
    with ExitStack() as stack, pytest.raises(CheckpointError):
        load_refiner(settings, 0, stack)
