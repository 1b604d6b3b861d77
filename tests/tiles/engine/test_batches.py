"""What one tile does to its neighbours (nothing), and what is done when memory runs out."""

import numpy as np
import pytest

from tasks.contracts.tile_errors import CheckpointError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.batches import Failed, Loaded, Refinery, stacked, warm_up
from tasks.tiles.memory import MemoryPolicy
from tasks.tiles.metadata import ModelInputs
from tasks.tiles.plan import Header, PlannedBatch
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import tile
from tests.tiles.engine.stubs import StubModel, marked

SEES = ModelInputs(month=6, biome=0, year=np.nan, day_of_year=np.nan, lat=np.nan, lon=np.nan)


def loaded(name: str, values: np.ndarray, valid: np.ndarray | None = None) -> Loaded:
    height, width = values.shape[-2:]
    valid = np.ones((height, width), bool) if valid is None else valid
    header = Header(name, height, width, "", None, "0" * 64)
    return Loaded(header, TileMeta(), values[None], valid, SEES, "opt_v1", 0.0, float(valid.mean()))


def batch_of(tiles: list[Loaded], padded=(32, 32)) -> PlannedBatch:
    return PlannedBatch(0, padded, tuple(one.header for one in tiles))


def refine(model: StubModel, tiles: list[Loaded], padded=(32, 32), limit: int = 4, config=None):
    events = []
    refinery = Refinery(model, MemoryPolicy(limit, model.device, events.append), config or TilesConfig(), patch=16)
    outcomes = refinery.refine(batch_of(tiles, padded), tiles)
    return {one.header.id if isinstance(one, Failed) else one.tile.header.id: one for one in outcomes}, events


def expected(values: np.ndarray) -> np.ndarray:
    return (values / 2 + np.float32(0.006)).astype(np.float32)


def test_tile_on_which_the_model_raises_fails_alone():
    bad = marked(tile(1), stubs.RAISES)
    outcomes, _ = refine(StubModel(), [loaded("a", tile(0)), loaded("bad", bad), loaded("c", tile(2))])
    assert type(outcomes["bad"].error).__name__ == "TileModelError"
    assert outcomes["bad"].error.phase == "model"
    assert "ValueError: a tile that I do not like" in str(outcomes["bad"].error)
    np.testing.assert_allclose(outcomes["a"].values, expected(tile(0)), atol=1e-7)
    np.testing.assert_allclose(outcomes["c"].values, expected(tile(2)), atol=1e-7)


def test_batch_of_which_no_tile_could_be_read_has_no_outcome():
    model = StubModel()
    refinery = Refinery(model, MemoryPolicy(4, "cpu", lambda event: None), TilesConfig(), patch=16)
    assert refinery.refine(batch_of([loaded("a", tile())]), []) == []
    assert model.batches == []


def test_output_is_clamped_and_cropped_to_the_tile():
    values = tile(0, 20, 30)
    values[2, 3, 4] = 7.0
    outcomes, _ = refine(StubModel(), [loaded("a", values)])
    assert outcomes["a"].values.shape == (4, 20, 30)
    assert outcomes["a"].values[2, 3, 4] == 1.0
    assert outcomes["a"].values.max() == 1.0 and outcomes["a"].values.dtype == np.float32


def test_only_invalid_pixels_become_nan():
    valid = np.ones((32, 32), bool)
    valid[7, 9] = False
    outcomes, _ = refine(StubModel(), [loaded("a", tile(0), valid), loaded("b", tile(1))])
    assert np.isnan(outcomes["a"].values[:, 7, 9]).all()
    assert np.isnan(outcomes["a"].values).sum() == 4
    assert np.isfinite(outcomes["b"].values).all()


def test_out_of_memory_halves_the_batch_and_the_bucket_stays_there():
    model = StubModel("cuda:0", "bf16", room=2)
    events = []
    refinery = Refinery(model, MemoryPolicy(4, "cuda:0", events.append), TilesConfig(), patch=16)
    tiles = [loaded(name, tile(0)) for name in "abcd"]
    outcomes = refinery.refine(batch_of(tiles), tiles)
    assert model.batches == [4, 2, 2]
    assert [(event.action, event.batch_size, event.tiles) for event in events] == [("halve batch", 4, tuple("abcd"))]
    assert [one.batch_size for one in outcomes] == [2, 2, 2, 2]
    assert all(one.events == tuple(events) for one in outcomes)
    refinery.refine(batch_of(tiles), tiles)
    assert model.batches == [4, 2, 2, 2, 2] and len(events) == 1
    assert model.freed == 1


def test_bucket_of_another_size_starts_with_full_batches():
    model = StubModel(room=2)
    refinery = Refinery(model, MemoryPolicy(4, "cpu", lambda event: None), TilesConfig(), patch=16)
    tiles = [loaded(name, tile(0)) for name in "abcd"]
    refinery.refine(batch_of(tiles), tiles)
    refinery.refine(batch_of(tiles, (48, 48)), tiles)
    assert model.batches == [4, 2, 2, 4, 2, 2]


def test_out_of_memory_with_one_tile_moves_the_bucket_to_the_cpu():
    outcomes, events = refine(
        StubModel("cuda:0", "bf16", room=0), [loaded("a", tile(0)), loaded("b", tile(1))], limit=2
    )
    assert [event.action for event in events] == ["halve batch", "CPU fallback"]
    assert [(one.device, one.precision) for one in outcomes.values()] == [("cpu", "fp32")] * 2
    np.testing.assert_allclose(outcomes["b"].values, expected(tile(1)), atol=1e-7)


def test_tile_too_large_for_the_cpu_fails_alone():
    bad = marked(tile(1), stubs.TOO_LARGE)
    outcomes, events = refine(StubModel(), [loaded("a", tile(0)), loaded("bad", bad)], limit=2)
    assert type(outcomes["bad"].error).__name__ == "TileOutOfMemoryError"
    assert [event.action for event in events] == ["halve batch", "give up"]
    assert [event.action for event in outcomes["a"].events] == ["halve batch"]
    np.testing.assert_allclose(outcomes["a"].values, expected(tile(0)), atol=1e-7)


def test_values_that_are_not_finite_are_computed_again_in_fp32():
    odd = marked(tile(1), stubs.NOT_FINITE_IN_BF16)
    outcomes, _ = refine(StubModel(precision="bf16"), [loaded("a", tile(0)), loaded("odd", odd)])
    assert (outcomes["a"].precision, outcomes["odd"].precision) == ("bf16", "fp32")
    np.testing.assert_allclose(outcomes["odd"].values, expected(odd), atol=1e-7)


def test_infinity_is_not_hidden_by_the_clamp():
    outcomes, _ = refine(StubModel(), [loaded("a", tile(0)), loaded("bad", marked(tile(1), stubs.NOT_FINITE))])
    assert type(outcomes["bad"].error).__name__ == "NonFiniteOutputError"
    assert np.isfinite(outcomes["a"].values).all()


def test_large_tile_goes_through_windows():
    values = tile(0, 1040, 40)
    config = TilesConfig(window=64, overlap=16)
    outcomes, _ = refine(StubModel(), [loaded("a", values)], padded=(1040, 48), limit=3, config=config)
    np.testing.assert_allclose(outcomes["a"].values, expected(values), atol=1e-6)
    assert outcomes["a"].batch_size == 3


def test_window_that_is_not_finite_repeats_the_tile_in_fp32():
    values = marked(tile(0, 1040, 40), stubs.NOT_FINITE_IN_BF16)
    config = TilesConfig(window=64, overlap=16)
    outcomes, _ = refine(StubModel(precision="bf16"), [loaded("a", values)], padded=(1040, 48), config=config)
    assert outcomes["a"].precision == "fp32"
    assert np.isfinite(outcomes["a"].values).all()


def test_padding_is_by_reflection_folded_as_often_as_needed():
    values = np.arange(8, dtype=np.float32).reshape(1, 2, 4).repeat(4, axis=0)
    inputs = stacked([loaded("a", values)], (6, 16))
    assert inputs.tiles[0, 0, 0, :, 0].tolist() == [0, 4, 0, 4, 0, 4]
    assert inputs.tiles[0, 0, 0, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3]


@pytest.mark.parametrize("load", [stubs.failing, stubs.three_bands])
def test_warm_up_refuses_a_model_that_raises_or_gives_other_bands(load):
    with pytest.raises(CheckpointError, match="warm-up"):
        warm_up(load(None, 0, None).model, patch=16, num_frames=1)


def test_warm_up_refuses_values_that_are_not_finite():
    class Diverged(StubModel):
        def __call__(self, inputs):
            return super().__call__(inputs) * np.nan

    with pytest.raises(CheckpointError, match="NaN or infinity"):
        warm_up(Diverged(), patch=16, num_frames=1)
