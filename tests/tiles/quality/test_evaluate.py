"""The quality document: verdicts, spreads, groups, oracle, and what it must never say."""

import numpy as np
import pytest

from tasks.store.jsons import canonical_json, read_json
from tasks.tiles.evaluate import document, evaluate, flat_metrics
from tasks.tiles.quality_verdict import TARGETS
from tasks.tiles.references import oracle_of
from tasks.tiles.tile_quality import NotCompared, tile_quality
from tests.tiles.quality.tiles_to_compare import pair

HEURISTIC = oracle_of("heuristic", {"a": "1" * 64})
KNOWN = oracle_of("physics_derived", {"a": "1" * 64})


def judged(*pairs, oracle=HEURISTIC):
    return evaluate(pairs, oracle)


def copies(identical: int, changed: int) -> dict:
    same, other = tile_quality(pair(change=0.0)), tile_quality(pair(change=0.01))
    return document([same] * identical + [other] * changed, HEURISTIC)


def test_copies_are_no_refinement_though_both_targets_are_met():
    quality = judged(pair("a", 0.0), pair("b", 0.0))
    assert quality["verdict"] == "no_refinement"
    assert quality["share_bit_identical"] == 1.0
    assert quality["summary"]["ndvi_rmse"]["share_meeting_target"] == 1.0
    assert quality["summary"]["edge_correlation"]["median"] == 1.0


def test_no_refinement_begins_above_99_percent_of_the_tiles():
    assert copies(99, 1)["verdict"] == "pass"
    assert copies(199, 1)["verdict"] == "no_refinement"
    assert copies(0, 1)["verdict"] == "pass"


def test_a_missed_median_is_named():
    quality = judged(pair(change=0.2))
    assert quality["verdict"] == "targets_missed"
    assert "ndvi_rmse" in quality["reason"] and "< 0.05" in quality["reason"]


def test_a_target_without_any_figure_is_missed():
    flat = np.full((4, 24, 24), 0.3, np.float32)
    tile = pair(v2=flat + np.float32(0.001))
    tile.v1[...] = flat
    quality = judged(tile)
    assert quality["summary"]["edge_correlation"] == {
        "p5": None, "median": None, "p95": None, "share_meeting_target": None, "undefined": 1
    }  # fmt: skip
    assert (quality["verdict"], quality["reason"]) == (
        "targets_missed",
        "median edge_correlation is undefined, target > 0.9",
    )


def test_an_implausible_tile_is_no_pass():
    tile = pair("odd")
    tile.v2[3, 1, 1] = 1.5
    quality = judged(pair("a"), tile)
    assert quality["verdict"] == "implausible"
    assert quality["plausibility"]["range"] == {"holds": False, "checked": 2, "failed": ["odd"]}
    assert quality["plausibility"]["seam"] == {"holds": None, "checked": 0, "failed": []}


def test_nothing_evaluated_is_no_pass():
    quality = evaluate([NotCompared("a", "gone")], HEURISTIC)
    assert quality["verdict"] == "no_tiles"
    assert quality["not_evaluated"] == {"a": "gone"}
    assert quality["share_bit_identical"] is None
    canonical_json(quality)


def test_the_spread_is_over_the_tiles():
    quality = judged(*(pair(str(i), change) for i, change in enumerate((0.01, 0.02, 0.03, 0.2))))
    found, values = quality["summary"]["ndvi_rmse"], [tile["ndvi_rmse"] for tile in quality["per_tile"]]
    assert found["median"] == pytest.approx(np.median(values))
    assert found["p5"] == pytest.approx(np.quantile(values, 0.05))
    assert found["p95"] == pytest.approx(np.quantile(values, 0.95))
    assert found["share_meeting_target"] == 0.75


def test_months_and_biomes_are_apart_and_defaults_counted():
    quality = judged(
        pair("a", 0.01, month=2, biome_code=4),
        pair("b", 0.2, month=6, defaults_used=("biome_code",)),
        pair("c", 0.0, month=6, defaults_used=("month", "biome_code")),
    )
    months, biomes = quality["by_month"], quality["by_biome"]
    assert {key: (group["tiles"], group["defaulted"]) for key, group in months.items()} == {"2": (1, 0), "6": (2, 1)}
    assert {key: (group["tiles"], group["defaulted"]) for key, group in biomes.items()} == {"0": (2, 2), "4": (1, 0)}
    assert months["6"]["summary"]["ndvi_rmse"]["share_meeting_target"] == 0.5
    assert months["6"]["share_bit_identical"] == 0.5
    assert any("2 of 3 tiles had no month or no biome" in line for line in quality["warnings"])


def test_every_result_says_how_strong_its_oracle_is():
    heuristic, known = judged(pair()), judged(pair(reference=pair().v2), oracle=KNOWN)
    assert (heuristic["oracle_strength"], known["oracle_strength"]) == ("heuristic", "physics_derived")
    assert heuristic["oracle_sha256"] == HEURISTIC.sha256
    assert any("not that it became better" in line for line in heuristic["warnings"])
    assert not known["warnings"]
    for quality in (heuristic, known):
        assert set(quality["evaluation"]) == {
            "input_form", "output_form", "reference", "metrics", "split", "baselines", "known_failure_modes"
        }  # fmt: skip


def test_a_model_that_moves_away_from_the_reference_is_told_so():
    quality = judged(pair(reference=pair().v1 - np.float32(0.001)), oracle=KNOWN)
    assert any("Not closer to the reference than opt_v1 is" in line for line in quality["warnings"])


def test_tiles_without_their_reference_are_counted():
    quality = judged(pair("a", reference=pair().v2 + np.float32(0.001)), pair("b"), oracle=KNOWN)
    assert quality["against_reference"]["tiles"] == 1
    assert "1 of 2 tiles have no reference." in quality["warnings"]
    assert judged(pair())["against_reference"] is None


def test_only_the_shift_has_a_target_against_the_reference():
    against = judged(pair(reference=pair().v2 + np.float32(0.001)), oracle=KNOWN)["against_reference"]
    assert against["refined"]["edge_shift_px"]["share_meeting_target"] == 1.0
    with_target = [key for key, found in against["refined"].items() if "share_meeting_target" in found]
    assert with_target == ["edge_shift_px"]
    assert all("share_meeting_target" not in found for found in against["refined_minus_identity"].values())


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("ndvi_rmse", 0.05, False),
        ("ndvi_rmse", 0.049, True),
        ("edge_correlation", 0.90, False),
        ("edge_correlation", 0.901, True),
        ("edge_shift_px", 2.0, True),
        ("edge_shift_px", 2.1, False),
    ],
)
def test_targets_are_open_or_closed_as_published(name, value, met):
    assert TARGETS[name].met(value) is met


def test_the_document_is_plain_json_and_equal_for_equal_tiles():
    first, second = (judged(pair("a", reference=pair().v1), pair("b", 0.0), oracle=KNOWN) for _ in range(2))
    assert canonical_json(first) == canonical_json(second)
    assert read_json(canonical_json(first), name="quality.json") == first


def test_the_run_reports_medians_and_baselines():
    flat = flat_metrics(judged(pair(reference=pair().v2 + np.float32(0.001)), oracle=KNOWN))
    assert flat["psnr_db"] == pytest.approx(60.0, abs=0.01)
    assert flat["baselines.identity.ndvi_rmse"] == 0.0
    assert flat["share_bit_identical"] == 0.0
    assert set(flat) >= {"ndvi_rmse", "edge_correlation", "baselines.unsharp.psnr_db", "baselines.identity.psnr_db"}
    assert "psnr_db" not in flat_metrics(judged(pair()))


def test_each_tile_is_told_as_soon_as_it_is_known():
    told = []
    evaluate(iter([pair("a"), pair("b")]), HEURISTIC, each=lambda figures: told.append(figures["id"]))
    assert told == ["a", "b"]
