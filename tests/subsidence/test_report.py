"""The report: self-contained, honest about losing, and safe with hostile names."""

import copy
import json
import re

import pytest

from tasks.subsidence.export import export_products
from tasks.subsidence.products.export_products import PRODUCTS
from tasks.subsidence.products.report_rows import audit_rows, gain, number, skill_table
from tasks.subsidence.products.report_words import headline, reservations
from tasks.subsidence.report import FileRow, LineageRow, Report, pictures_of, readable_size, render, shortened
from tasks.subsidence.scoring.protocol import protocol
from tests.subsidence.sample_run import audit, export_inputs

CHEAP = tuple(p for p in PRODUCTS if p.kind == "data" or p.key == "reliability")
TITLES = (
    "What to trust", "What not to trust", "Skill against baselines", "Intervals before and after calibration",
    "The ground", "Inspection", "Audit of the handoff", "Lineage", "Files of this run",
)  # fmt: skip
ORACLE = {
    "evidence": "physics_derived",
    "recovery": {"tau": {"unit": "s", "rmse_log10": 0.3, "median_bias_log10": 0.0, "spearman": 0.8,
                         "constant_mid_bound_rmse_log10": 0.9, "best_constant_rmse_log10": 0.6,
                         "ratio_to_constant": 0.33}},
    "expectations": [{"name": "rank correlation of tau", "expected": ">= 0.6", "found": 0.8, "met": True}],
}  # fmt: skip


def documents(folder, **options) -> Report:
    inputs = export_inputs(n=10, known_years=1, **options)
    done = export_products(inputs, folder, products=CHEAP)
    read = {key: json.loads(done.files[name].read_text()) for key, name in done.keys.items() if name.endswith(".json")}
    pictures = {key: done.files[name].read_bytes() for key, name in pictures_of(read["run_manifest"]).items()}
    return Report(
        manifest=read["run_manifest"],
        metrics=read["metrics_interpretable"],
        summary=read["training_summary"],
        audit=audit(),
        calibration=read["calibration_stats"],
        oracle=ORACLE,
        pictures=pictures,
        files=[FileRow("b.csv", 1536, "f" * 64), FileRow("a.json", 10, "0" * 64)],
        lineage=[LineageRow("train", "ran", ["train 11aa22bb"], ["weights 0f0f0f0f"])],
        facts={"Run": "run-1"},
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return documents(tmp_path_factory.mktemp("report"))


def changed(report: Report, **metrics) -> dict:
    return {**copy.deepcopy(dict(report.metrics)), **metrics}


def winning(report: Report) -> dict:
    """Metrics of a run that beats every baseline on every split, with honest intervals."""
    metrics = changed(report)
    metrics["skill"] |= {"beats_best_forecast_baseline": True, "beats_best_any": True}
    metrics["temporal_holdout"]["skill"] |= {"beats_best_forecast_baseline": True}
    metrics["scores"]["calibrated"]["overall"]["coverage80"] = 0.8
    return metrics


def test_the_page_loads_nothing_from_elsewhere(report):
    page = render(report)
    assert "data:image/png;base64," in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page and "@import" not in page and "url(" not in page


def test_equal_documents_give_an_equal_page(report):
    assert render(report) == render(report)


def test_every_part_is_there(report):
    page = render(report)
    for title in TITLES:
        assert f"<h2>{title}</h2>" in page
    assert "1.5 kB" in page and "ffffffff" in page and "G-03" in page and "train 11aa22bb" in page


@pytest.mark.parametrize("name", ['<script>alert("x")</script>', "a & b <img src=x onerror=y>", "'\"><b>"])
def test_hostile_city_names_are_escaped(tmp_path, name):
    page = render(documents(tmp_path, city=name))
    assert name not in page
    assert "<script" not in page and "<img src=x" not in page and "<b>" not in page


def test_the_winner_of_each_column_is_marked_even_when_it_is_not_the_model(report):
    table = skill_table(report.metrics)[0]
    best = {row["label"] for row in table["rows"] if row["cells"][0].best}
    errors = {row["label"]: row["values"][0] for row in table["rows"] if row["values"][0] is not None}
    assert best == {min(errors, key=errors.get)}
    assert not any(row["cells"][4].best for row in table["rows"])


def test_random_split_and_later_years_stand_in_two_tables(report):
    tables = skill_table(report.metrics)
    assert [table["split"] for table in tables] == ["test", "future"]
    assert tables[1]["years"] == [2023]


def test_a_baseline_that_could_not_be_made_keeps_its_row(report):
    rows = {row["label"]: row for row in skill_table(report.metrics)[0]["rows"]}
    assert rows["gradient boosting on increments"]["reason"].startswith("not available")


def test_a_model_that_loses_says_so_first(report):
    metrics = changed(report)
    metrics["skill"] |= {"beats_best_forecast_baseline": False, "best_forecast_baseline": "mean_rate"}
    said = headline(report.manifest, metrics, ORACLE)
    assert said.tone == "caution"
    assert said.sentence == "Complete, but mean historical rate is better on the same rows. Prefer it."
    doubts = reservations(report.manifest, metrics, report.calibration, ORACLE).doubt
    assert any("but mean historical rate has" in line for line in doubts)


def test_an_incomplete_run_is_not_to_be_used(report):
    manifest = {**report.manifest, "complete": False, "missing": [{"name": "payload", "reason": "x"}]}
    said = headline(manifest, report.metrics, ORACLE)
    assert said.tone == "bad" and "payload could not be written" in said.sentence


def test_intervals_that_miss_their_name_are_doubted(report):
    metrics = changed(report)
    metrics["scores"]["calibrated"]["overall"]["coverage80"] = 0.5
    said = reservations(report.manifest, metrics, report.calibration, ORACLE)
    assert any("80 % intervals hold 50.0 %" in line for line in said.doubt)
    assert headline(report.manifest, metrics, ORACLE).tone == "caution"


def test_a_good_run_is_called_good(report):
    metrics = winning(report)
    said = headline(report.manifest, metrics, ORACLE)
    assert said.tone == "good" and "on held-out places" in said.sentence
    missed = {**ORACLE, "expectations": [{**ORACLE["expectations"][0], "met": False}]}
    assert "1 of 1 expectations on known ground missed" in headline(report.manifest, metrics, missed).sentence


def test_parameters_of_a_real_city_are_never_called_validated(report):
    said = reservations(report.manifest, report.metrics, report.calibration, {"evidence": "observation_only"})
    assert any("not validated" in line for line in said.doubt)
    assert not any("relaxation times" in line for line in said.trust)


def test_a_random_split_is_never_called_a_forecast(report):
    said = reservations(report.manifest, report.metrics, report.calibration, ORACLE)
    assert said.doubt[0].startswith("Test places lie among training places")
    assert protocol("random", split="test", neighbour_context=8)["measures"] == "spatial_fill"
    assert protocol(None, split="val")["holdout_strategy"] == "unknown"


def test_untested_years_are_a_reservation(report):
    metrics = changed(
        report, temporal_holdout={"available": False, "reason": "no truth panel holds the forecast years"}
    )
    said = reservations(report.manifest, metrics, report.calibration, ORACLE)
    assert any(line.startswith("Skill in later years is untested") for line in said.doubt)


def test_a_run_without_physics_future_or_oracle_can_be_reported(tmp_path):
    inputs = export_inputs(n=8, future=False, physics=False, levels=(0.5,), model="HybridAttn-NoPhysics")
    done = export_products(inputs, tmp_path, products=CHEAP)
    read = {key: json.loads(done.files[name].read_text()) for key, name in done.keys.items() if name.endswith(".json")}
    page = render(
        Report(
            read["run_manifest"], read["metrics_interpretable"], read["training_summary"], {}, read["calibration_stats"]
        )
    )
    assert "This model has no physics fields." in page
    assert "There are no intervals to calibrate in this run." in page


@pytest.mark.parametrize("value, text", [
    (0.97, "0.970"), (15, "15.0"), (123.4, "123"), (1234.6, "1235"), (-0.0274, "−0.0274"), (3.27e-7, "3.27×10⁻⁷"),
    (0.0, "0.00"), (None, "–"),
])  # fmt: skip
def test_numbers_are_written_for_people(value, text):
    assert number(value) == text


def test_a_forecast_that_physics_does_not_explain_is_a_reservation(report):
    metrics = changed(report)
    assert metrics["physics_diagnostics"]["median_residual_share"] < 0.5
    metrics["physics_diagnostics"]["median_residual_share"] = 0.69
    said = reservations(report.manifest, metrics, report.calibration, ORACLE)
    assert "69.0 % of the forecast settlement (median) is data-driven, not physics." in said.doubt


def test_a_true_forecast_that_loses_is_told_first(report):
    metrics = winning(report)
    lost = {"beats_best_forecast_baseline": False, "best_forecast_baseline": "mean_rate"}
    metrics["temporal_holdout"]["skill"] |= lost
    said = headline(report.manifest, metrics, ORACLE)
    assert said.tone == "caution"
    assert "mean historical rate is better in the years after training" in said.sentence


def test_scores_of_validation_places_are_not_trusted(report):
    metrics = winning(report)
    metrics["protocol"] |= {"evaluated_split": "val"}
    assert headline(report.manifest, metrics, ORACLE).tone == "caution"
    said = reservations(report.manifest, metrics, report.calibration, ORACLE)
    assert not any("80 % intervals hold" in line or "on the val split" in line for line in said.trust)
    assert any(line.startswith("Validation places chose the model and the interval factors") for line in said.doubt)
    assert any("on the places that gave their factors" in line for line in said.doubt)


@pytest.mark.parametrize("by_error, words", [
    (0.12, "12 % better than mean historical rate"),
    (-0.05, "CRPS 21 % better than mean historical rate, the best forecast baseline, though the median of mean"),
])  # fmt: skip
def test_errors_are_compared_by_errors(report, by_error, words):
    metrics = winning(report)
    row = {"skill": 0.21, "skill_mae": by_error}
    metrics["skill"]["against"]["mean_rate"] |= row
    metrics["skill"] |= {"best_forecast_baseline": "mean_rate"}
    line = reservations(report.manifest, metrics, report.calibration, ORACLE).trust[0]
    assert line.startswith("The median forecast: mean absolute error") and words in line


def test_parameters_at_bounds_and_lost_recoveries_are_doubted(report):
    metrics = changed(report)
    metrics["physics_diagnostics"]["share_near_bound"] = {"Ka": 0.4, "K": 0.1}
    worse = {**ORACLE["recovery"]["tau"], "rmse_log10": 1.2}
    oracle = {**ORACLE, "recovery": {**ORACLE["recovery"], "Sa": worse, "K": ORACLE["recovery"]["tau"]}}
    doubt = reservations(report.manifest, metrics, report.calibration, oracle).doubt
    assert [line[:22] for line in doubt if "near a bound" in line] == ["Ka lies near a bound o"]
    lost = [line for line in doubt if "worse than a constant" in line]
    assert len(lost) == 1 and "map of Sa" in lost[0] and "1.20" in lost[0]


def test_future_intervals_without_factors_of_their_own_are_doubted(report):
    def doubted(calibration):
        said = reservations(report.manifest, report.metrics, calibration, ORACLE)
        return any(line.startswith("Intervals of future years are calibrated on training years") for line in said.doubt)

    without = {key: value for key, value in report.calibration.items() if key != "future_factors"}
    assert doubted(without)
    assert not doubted({**without, "future_factors": {"1": 1.5}})
    assert not doubted({**without, "calibration_rows": {"future_factors": {"1": 1.5}}})


def test_the_map_of_years_is_disclosed(report):
    assert report.metrics["protocol"]["year_map"] is True
    assert "Inside the training years the network knows what its training places did" in render(report)


def test_lineage_names_each_reference_once_and_stays_short():
    assert shortened(["a", "b", "a"]) == ["a", "b"]
    assert shortened(list("abcdefgh")) == [*"abcdef", "and 2 more"]


def test_audit_messages_do_not_repeat_their_number():
    row = {**audit()["checks"][1], "message": "G-03 split is random"}
    found = audit_rows({**audit(), "checks": [row]})
    assert found["rows"][0]["message"] == "split is random"
    assert list(found["counts"]) == ["pass", "warn", "fail"]


def test_sizes_and_gains_are_written_for_people():
    assert [readable_size(n) for n in (10, 1536, 2_500_000, 123_456)] == ["10 B", "1.5 kB", "2.5 MB", "123 kB"]
    assert (gain(0.49), gain(-0.13), gain(None)) == ("+49 %", "−13 %", "–")
