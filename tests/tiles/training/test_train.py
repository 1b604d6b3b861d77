"""Training: resuming to the bit, stopping, diverging, what it chooses and what it leaves."""

import json
import math
import socket
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tasks.contracts.errors import ConfigError, InterruptedStepError
from tasks.contracts.tile_errors import NotBetterThanIdentityError, TrainingDivergedError
from tasks.store.progress import Progress
from tasks.store.tensors import read_safetensors
from tasks.tiles import trainer
from tasks.tiles.checkpoint import build, fresh, load_checkpoint
from tasks.tiles.pair import in_memory
from tasks.tiles.train import keep
from tasks.tiles.train_batches import collated
from tasks.tiles.train_state import STATE, TENSORS
from tests.tiles.training.small_pairs import small_pair, small_pairs
from tests.tiles.training.small_training import JOB, SMALL, Memory, small_model, stop_after, trained

LONGER = {"epochs": 60, "lr": 3e-3, "batch_size": 8}
BEFORE = 2  # questions whether to stop, one per baseline; later one per step and one per validation
STEPS_PER_EPOCH = 3  # nine pairs of three scenes in batches of four


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed():
    progress = Memory()
    return trained(progress=progress), progress


def equal(first, second):
    """Whether two models are equal to the last bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# Resuming


@pytest.mark.parametrize("questions", [0, 1, 2, 3, 5, 6, 9, 12])
def test_a_training_that_was_interrupted_ends_bit_equal_to_one_that_was_not(undisturbed, questions):
    progress = Memory()
    with pytest.raises(InterruptedStepError):
        trained(progress=progress, should_stop=stop_after(questions))
    result = trained(progress=Memory(progress.files), model=small_model())
    assert equal(result.model, undisturbed[0].model)
    assert (result.verdict, result.rows, result.document) == (
        undisturbed[0].verdict, undisturbed[0].rows, undisturbed[0].document
    )  # fmt: skip


def test_final_states_are_equal_too_optimizer_and_random_numbers_included(undisturbed):
    progress = Memory()
    with pytest.raises(InterruptedStepError):
        trained(progress=progress, should_stop=stop_after(5))
    again = Memory(progress.files)
    trained(progress=again)
    assert again.files == undisturbed[1].files


def test_a_state_of_any_epoch_is_enough(undisturbed):
    states = undisturbed[1].history
    assert len(states) == JOB.epochs
    for state in states:
        assert equal(trained(progress=Memory(state)).model, undisturbed[0].model)


def test_a_signal_stops_within_one_batch_and_leaves_the_position():
    progress = Memory()
    with pytest.raises(InterruptedStepError, match="epoch 1, step 4"):
        trained(progress=progress, should_stop=stop_after(BEFORE + STEPS_PER_EPOCH + 1 + 1))
    counters = json.loads(progress.files[STATE])["counters"]
    assert (counters["epoch"], counters["batch"], counters["step"]) == (1, 1, 4)


@pytest.mark.parametrize(("questions", "where"), [(1, "step 0"), (5, "step 0"), (15, "step 9"), (17, "step 9")])
def test_a_signal_during_validation_does_not_wait_for_its_end(questions, where):
    progress, job = Memory(), JOB.model_copy(update={"batch_size": 1, "epochs": 1})  # 9 steps, 3 batches to judge by
    with pytest.raises(InterruptedStepError, match=where):
        trained(job, progress=progress, should_stop=stop_after(questions))
    resumed, whole = trained(job, progress=Memory(progress.files)), trained(job)
    assert equal(resumed.model, whole.model) and resumed.verdict == whole.verdict and len(resumed.rows) == 1


def test_states_are_json_and_safetensors_alone(undisturbed):
    files = undisturbed[1].files
    assert set(files) == {STATE, TENSORS}
    header = int.from_bytes(files[TENSORS][:8], "little")
    names = json.loads(files[TENSORS][8 : 8 + header])
    kinds = {name.split("/")[0] for name in names if name != "__metadata__"}
    assert kinds == {"weight", "best", "adam", "random"}


def test_progress_of_the_store_carries_a_training(tmp_path, undisturbed):
    with pytest.raises(InterruptedStepError):
        trained(progress=Progress(tmp_path, "training"), should_stop=stop_after(4))
    assert equal(trained(progress=Progress(tmp_path, "training")).model, undisturbed[0].model)


@pytest.mark.parametrize("other", ["settings", "pairs", "weights"])
def test_a_state_of_another_training_is_refused(undisturbed, other):
    changes = {
        "settings": {"job": JOB.model_copy(update={"lr": 2e-3})},
        "pairs": {"pairs": small_pairs(count=16)},
        "weights": {"model": small_model(seed=2)},
    }[other]
    with pytest.raises(ConfigError, match="another training"):
        trained(progress=Memory(undisturbed[1].history[0]), **changes)


# Losses that are not finite


def spoiled_losses(monkeypatch, bad_steps):
    """Make the loss of these calls NaN."""
    real, calls = trainer.losses, iter(range(10_000))

    def losses(*images):
        values = real(*images)
        return values | {"loss": values["loss"] * math.nan} if next(calls) in bad_steps else values

    monkeypatch.setattr(trainer, "losses", losses)


def test_a_step_whose_loss_is_nan_is_left_out(monkeypatch):
    spoiled_losses(monkeypatch, {1, 4})
    result = trained()
    assert result.document["skipped_steps"] == 2 and result.document["steps"] == 9
    assert all(torch.isfinite(value).all() for value in result.model.state_dict().values())


def test_a_skipped_step_changes_no_weight(monkeypatch):
    spoiled_losses(monkeypatch, set(range(9)))
    assert equal(trained().model, small_model())


def test_ten_in_a_row_end_the_training_and_leave_a_state(monkeypatch):
    spoiled_losses(monkeypatch, set(range(2, 100)))
    progress = Memory()
    with pytest.raises(TrainingDivergedError, match="10 unusable steps in a row") as caught:
        trained(JOB.model_copy(update={"epochs": 6}), progress=progress)
    assert caught.value.exit_code == 4 and "step 12" in str(caught.value)
    assert json.loads(progress.files[STATE])["counters"]["skipped_in_a_row"] == 10


def test_nine_in_a_row_do_not(monkeypatch):
    spoiled_losses(monkeypatch, set(range(2, 11)) | set(range(12, 21)))
    assert trained(JOB.model_copy(update={"epochs": 8})).document["skipped_steps"] == 18


# What is chosen


def test_the_best_epoch_is_the_one_with_the_least_validation_loss(undisturbed):
    result = undisturbed[0]
    values = [row["val_loss"] for row in result.rows]
    assert result.verdict.epoch == values.index(min(values)) and result.verdict.model["loss"] == min(values)
    assert result.document["step"] == (result.verdict.epoch + 1) * STEPS_PER_EPOCH


def test_the_model_that_is_left_has_the_best_weights_not_the_last_ones(monkeypatch):
    judged = iter([0.05, 0.02, 0.09])
    monkeypatch.setattr(trainer.Judge, "__call__", lambda *_: {"loss": next(judged)})
    progress = Memory()
    result = trained(progress=progress)
    tensors = read_safetensors(progress.history[1][TENSORS], name=TENSORS)
    for name, value in result.model.named_parameters():
        assert torch.equal(value, torch.from_numpy(tensors[f"weight/{name}"]))
    assert result.verdict.epoch == 1 and not torch.equal(value, small_model().get_parameter(name))


def test_scores_stand_beside_identity_and_unsharp(undisturbed):
    metrics = undisturbed[0].document["metrics"]
    named = {"loss", "ndvi", "evi", "spectral_angle", "reconstruction", "edge", "psnr", "ndvi_rmse"}
    assert all(set(metrics[side]) == named for side in ("model", "identity", "unsharp"))
    assert metrics["identity"]["reconstruction"] == pytest.approx(0.04, abs=1e-6)
    assert metrics["identity"]["psnr"] == pytest.approx(-20 * math.log10(0.04), abs=1e-3)


def test_a_model_that_beats_the_identity_is_promoted_and_loads_strictly(tmp_path):
    result = taught("month", (1, 7))
    identity = keep(result, tmp_path / "model", {"file": "none"})
    loaded = load_checkpoint(tmp_path / "model")
    assert loaded.id == identity and equal(build(loaded), result.model)
    training = loaded.document["training"]
    assert training["promoted"] is True and training["oracle_strength"] == "human_labels"
    assert training["data"]["id"] == pairs_with_offset_by("month", (1, 7)).data_id
    assert training["step"] == result.document["step"]
    assert loaded.document["origin"] == {"file": "none"}


def test_a_model_that_never_beats_the_identity_is_kept_and_the_run_says_so(tmp_path):
    same = [replace(small_pair(f"s{n}_0", seed=n), tile=small_pair(seed=n).target[None]) for n in range(8)]
    result = trained(JOB.model_copy(update={"lr": 0.1}), in_memory(same, [pair.id for pair in same]))
    with pytest.raises(NotBetterThanIdentityError, match="kept and not promoted") as caught:
        keep(result, tmp_path / "model", {})
    assert caught.value.exit_code == 3
    assert load_checkpoint(tmp_path / "model").document["training"]["promoted"] is False


# What learns


def test_coordinates_and_earlier_frames_learn_too():
    config = SMALL.model_copy(update={"coords": True, "num_frames": 2})
    told = {"year": 2021.0, "day_of_year": 196.0, "lat": 47.5, "lon": 8.25}
    pairs = []
    for number in range(8):
        pair = small_pair(f"s{number}_0", seed=number, **told)
        pairs.append(replace(pair, tile=np.concatenate([pair.tile[:, :, ::-1], pair.tile])))
    start, result = (
        fresh(config, seed=1),
        trained(pairs=in_memory(pairs, list("abcdefgh")), model=fresh(config, seed=1)),
    )
    still = {name for name, value in result.model.state_dict().items() if value.equal(start.state_dict()[name])}
    assert still == set()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_and_goes_on_from_its_state(precision):
    job = JOB.model_copy(update={"precision": precision})
    whole, progress = Memory(), Memory()
    result = trained(job, progress=whole)
    with pytest.raises(InterruptedStepError):
        trained(job, progress=progress, should_stop=stop_after(6))
    assert equal(trained(job, progress=Memory(progress.files)).model, result.model)
    scaler = json.loads(whole.files[STATE])["scaler"]
    assert not equal(result.model, small_model()) and ("scale" in scaler) == (precision == "fp16")


# What it does not touch


def test_frozen_blocks_keep_every_bit():
    config = SMALL.model_copy(update={"variant": "v1_100", "depth": 3})
    start = fresh(config, seed=1)
    result = trained(JOB.model_copy(update={"unfreeze_blocks": 1}), model=fresh(config, seed=1))
    before, frozen = start.state_dict(), ("backbone.blocks.0.", "backbone.blocks.1.", "backbone.patch")
    moved = {name for name, value in result.model.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in moved if name.startswith(frozen)]
    assert any(name.startswith("backbone.blocks.2.") for name in moved) and "backbone.norm.weight" in moved
    assert "head.detail.conv2.weight" in moved


def test_the_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(JOB.model_copy(update={"epochs": 1}))
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_that_is_left_tells_time(undisturbed):
    text = json.dumps([undisturbed[0].document, undisturbed[0].rows])
    assert "second" not in text and "time" not in text


def test_people_hear_of_every_epoch_and_telemetry_has_its_duration():
    lines, telemetry = [], {}
    trained(tell=lambda share, text: lines.append((share, text)), telemetry=telemetry)
    assert [share for share, _ in lines] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert all("identity" in text and "unsharp" in text for _, text in lines[1:])
    assert [entry["epoch"] for entry in telemetry["train"]] == [0, 1, 2]


def test_no_network_is_needed(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    assert trained(JOB.model_copy(update={"epochs": 1})).document["steps"] == STEPS_PER_EPOCH


def test_epochs_that_are_not_judged_have_a_row_without_scores():
    rows = trained(JOB.model_copy(update={"validate_steps": 5})).rows
    assert [row["val_loss"] is None for row in rows] == [True, False, False]
    assert all(row["loss"] > 0 and row.keys() == rows[0].keys() for row in rows)


# Month and biome


def pairs_with_offset_by(field, codes):
    """Eight pairs each of two codes; tiles of the first are 0.06 too bright, those of the second 0.06 too dark."""
    pairs = []
    for number in range(16):
        second = number % 2
        pair = small_pair(f"s{number}_0", 16, 16, seed=number, **{field: codes[second]})
        pairs.append(replace(pair, tile=(pair.target + np.float32(-0.06 if second else 0.06))[None]))
    return in_memory(pairs, [pair.id for pair in pairs])


@cache
def taught(field, codes):
    """A model that had to learn what month or biome mean."""
    return trained(JOB.model_copy(update=LONGER), pairs_with_offset_by(field, codes))


@pytest.mark.parametrize(("field", "codes"), [("month", (1, 7)), ("biome", (2, 9))])
def test_month_and_biome_have_the_influence_that_the_pairs_give_them(field, codes):
    probe = small_pair("probe_0", 16, 16, seed=99)
    both = collated([replace(probe, **{field: code}) for code in codes]).batch
    darker, brighter = taught(field, codes).model(both).detach().mean(dim=(1, 2, 3)).tolist()
    assert brighter - darker > 0.04


def test_hidden_metadata_are_trained_too():
    probe = small_pair("probe_0", 16, 16, seed=99)
    three = collated([replace(probe, month=month) for month in (1, 0, 7)]).batch
    january, unknown, july = taught("month", (1, 7)).model(three).detach().mean(dim=(1, 2, 3)).tolist()
    assert january < unknown < july
