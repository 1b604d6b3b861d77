"""Date and place reach the tokens where they are known, in fp32, sample by sample."""

from dataclasses import replace

import pytest
import torch

from tasks.tiles.coordinates import LocationTerm, dates
from tasks.tiles.precision import prepared
from tests.tiles.model.small_models import batch, config, random_head

NAN = float("nan")


def located() -> "torch.nn.Module":
    return random_head(config("nano", coords=True))


def tokens_of(model, **known) -> torch.Tensor:
    one = batch(32, month=(6, 6), **known)
    same = replace(one, tiles=one.tiles[:1].expand_as(one.tiles))
    with torch.inference_mode():
        return model.tokens(same)


@pytest.mark.parametrize(
    "absent",
    [
        {"year": [2021.0, NAN], "day_of_year": [10.0, 10.0]},
        {"lat": [46.0, NAN], "lon": [11.0, 11.0]},
        {"lat": [46.0, 46.0], "lon": [11.0, NAN]},
    ],
)
def test_a_term_with_an_unknown_part_is_skipped_for_that_sample_alone(absent):
    model = located()
    nothing, found = tokens_of(model), tokens_of(model, **absent)
    assert torch.equal(found[1], nothing[1])
    assert (found[0] - nothing[0]).abs().max() > 1e-3
    assert found.isfinite().all()


def test_a_variant_without_coordinates_takes_no_notice_of_them():
    model = random_head()
    assert torch.equal(tokens_of(model, lat=[46.0, 1.0], lon=[11.0, 2.0]), tokens_of(model))


@pytest.mark.parametrize(
    ("year", "day", "month", "expected"),
    [
        (2021.0, NAN, 1, 15),
        (2021.0, NAN, 3, 74),
        (2020.0, NAN, 3, 75),
        (1900.0, NAN, 12, 349),
        (2000.0, NAN, 12, 350),
        (2020.0, NAN, 2, 46),
        (2021.0, 200.0, 3, 200),
    ],
)
def test_a_month_without_a_day_stands_for_its_fifteenth(year, day, month, expected):
    found = dates(torch.tensor([year]), torch.tensor([day]), torch.tensor([month]), 1)
    assert found.tolist() == [[[year, expected]]]


def test_an_unknown_month_without_a_day_leaves_the_day_unknown():
    found = dates(torch.tensor([2021.0]), torch.tensor([NAN]), torch.tensor([0]), 1)
    assert found[0, 0, 1].isnan()


def test_each_frame_may_have_its_own_date():
    shared = dates(torch.tensor([2021.0]), torch.tensor([40.0]), torch.tensor([2]), 2)
    own = dates(torch.tensor([[2020.0, 2021.0]]), torch.tensor([[360.0, 40.0]]), torch.tensor([2]), 2)
    assert shared.tolist() == [[[2021, 40], [2021, 40]]]
    assert own.tolist() == [[[2020, 360], [2021, 40]]]


def test_codes_stay_fp32_beside_weights_in_bf16():
    """In bf16 the year 2021 is 2016, and its sine another one."""
    lowered = prepared(located(), "bf16")
    term = lowered.backbone.temporal_embed_enc
    assert term.scale.dtype == torch.float32
    assert lowered.backbone.norm.weight.dtype == torch.bfloat16
    code = term(torch.tensor([[2021.0, 1.0]]))
    assert code[0, 0].item() == pytest.approx(0.1 * torch.tensor(2021.0).sin().item(), abs=1e-6)


def test_the_scale_is_learned_from_known_places_only():
    term = LocationTerm(64)
    term(torch.tensor([[46.0, NAN]])).sum().backward()
    assert term.scale.grad.item() == 0
    term(torch.tensor([[46.0, 11.0]])).sum().backward()
    assert term.scale.grad.item() != 0
