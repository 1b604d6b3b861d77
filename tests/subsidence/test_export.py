"""The artifact family: complete, named as users know it, stable, and honest about what could not be made."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import StorageFullError
from tasks.subsidence import export
from tasks.subsidence.export import export_products, summary_lines
from tasks.subsidence.products.export_products import PRODUCTS, Product
from tests.subsidence.sample_run import export_inputs, fields

P = "samplecity_GeoPriorSubsNet"
EXPECTED = {
    f"{P}_forecast_TestSet_H3_eval.csv", f"{P}_forecast_TestSet_H3_eval_calibrated.csv",
    f"{P}_forecast_TestSet_H3_future.csv", f"{P}_forecast_TestSet_H3_future_calibrated.csv",
    f"{P}_calibration_stats_TestSet_H3.json", f"{P}_eval_diagnostics_TestSet_H3.json",
    f"{P}_eval_diagnostics_TestSet_H3_calibrated.json", "geoprior_eval_phys.json",
    "geoprior_eval_phys_interpretable.json", "samplecity_phys_payload_run_test.npz",
    "samplecity_phys_payload_run_test.npz.meta.json", "samplecity_geopriorsubsnet_physical_parameters.csv",
    "samplecity_geopriorsubsnet_parameter_map.csv", "samplecity_geopriorsubsnet_training_history_plot.png",
    f"{P}_H3_epsilons.png", f"{P}_H3_physics_terms.png", "phys_maps.png", "cons_res_hist.png",
    "samplecity_subsidence_view_eval.png", "samplecity_subsidence_view_eval.pdf",
    "samplecity_subsidence_view_future.png", "samplecity_subsidence_view_future.pdf",
    f"{P}_interval_width_eval.png", f"{P}_interval_width_future.png",
    f"{P}_reliability.png", f"{P}_pit.png", f"{P}_training_summary.json", f"{P}_run_manifest.json",
}  # fmt: skip
DATA = tuple(product for product in PRODUCTS if product.kind == "data")


@pytest.fixture(scope="module")
def inputs():
    return export_inputs(n=12, known_years=1)


@pytest.fixture(scope="module")
def family(inputs, tmp_path_factory):
    return export_products(inputs, tmp_path_factory.mktemp("family"))


def run_manifest(done) -> dict:
    return json.loads(done.files[done.keys["run_manifest"]].read_text())


def test_the_whole_family_is_written_and_the_run_is_complete(family):
    assert set(family.files) == EXPECTED
    assert family.complete and not family.missing and not family.not_applicable
    assert all(path.stat().st_size > 0 for path in family.files.values())


def test_run_manifest_names_every_file_of_the_run(family, inputs):
    named = set(run_manifest(family)["artifacts"].values())
    own = f"{P}_run_manifest.json"
    assert named == (EXPECTED - {own}) | set(inputs.earlier.files)
    assert run_manifest(family)["complete"] is True


def test_two_exports_give_equal_bytes(family, inputs, tmp_path):
    again = export_products(inputs, tmp_path)
    assert {name: path.read_bytes() for name, path in again.files.items()} == {
        name: path.read_bytes() for name, path in family.files.items()
    }


def test_no_file_holds_a_path_of_this_machine(family):
    folder = next(iter(family.files.values())).parent
    for name, path in family.files.items():
        data = path.read_bytes()
        for place in (str(folder), str(Path.home()), str(Path(__file__).parents[2])):
            assert place.encode() not in data, name


def test_metrics_error_equals_the_error_of_the_table(family):
    metrics = json.loads(family.files["geoprior_eval_phys_interpretable.json"].read_text())
    table = np.genfromtxt(
        family.files[f"{P}_forecast_TestSet_H3_eval.csv"], delimiter=",", names=True, dtype=None, encoding=None
    )
    error = np.abs(table["subsidence_q50"] - table["subsidence_actual"]).mean()
    assert metrics["point_metrics"]["mae"] == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("broken", [product.key for product in PRODUCTS])
def test_a_failing_exporter_is_listed_and_the_rest_is_written(inputs, tmp_path, broken):
    def explode(_):
        raise ValueError(f"injected into {broken} under {tmp_path}")

    chosen = [product for product in PRODUCTS if product.key in (broken, "eval", "metrics")]
    broken_list = tuple(Product(p.key, p.kind, explode, p.unless) if p.key == broken else p for p in chosen)
    done = export_products(inputs, tmp_path, products=broken_list)
    kind = next(product.kind for product in PRODUCTS if product.key == broken)
    assert set(done.missing) == {broken}
    assert (
        done.missing[broken].startswith(f"ValueError: injected into {broken}")
        and str(tmp_path) not in done.missing[broken]
    )
    assert done.complete is (kind == "plot")
    assert run_manifest(done)["missing"] == [{"name": broken, "reason": done.missing[broken]}]
    assert run_manifest(done)["complete"] is (kind == "plot")
    assert any(line.startswith(f"not written: {broken}") for line in summary_lines(done))


@pytest.mark.parametrize(
    "name, key",
    [("training_summary", "training_summary"), ("run_manifest", "run_manifest"), ("flat_metrics", "flat_metrics")],
)
def test_a_failing_closing_document_makes_the_run_incomplete(inputs, tmp_path, monkeypatch, name, key):
    def explode(*_, **__):
        raise KeyError("injected")

    monkeypatch.setattr(export, name, explode)
    done = export_products(inputs, tmp_path, products=())
    assert set(done.missing) == {key} and done.complete is False


def test_a_full_disk_ends_the_export(inputs, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFullError, match=r"no space left for .*eval.csv.*Free space"):
        export_products(inputs, tmp_path, products=DATA)


def test_another_write_error_is_recorded_without_its_path(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Path,
        "write_bytes",
        lambda self, data: (_ for _ in ()).throw(PermissionError(13, "Permission denied", str(self))),
    )
    done = export_products(inputs, tmp_path, products=DATA[:1])
    assert done.missing["eval"] == f"PermissionError: Permission denied .{P}_forecast_TestSet_H3_eval.csv.part"
    assert done.files == {} and done.complete is False


def test_no_half_written_file_carries_a_public_name(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError(5, "Input/output error", str(self)))
    )
    export_products(inputs, tmp_path, products=DATA[:2])
    assert list(tmp_path.iterdir()) == []


def test_without_future_inputs_no_future_file_exists_and_the_manifest_says_so(tmp_path):
    done = export_products(export_inputs(n=8, future=False), tmp_path, products=DATA)
    assert not [name for name in done.files if "future" in name]
    assert done.complete and done.not_applicable["future"] == "the handoff holds no future inputs"
    assert run_manifest(done)["future"].startswith("none")


def test_point_forecasts_are_complete_without_calibration(tmp_path):
    done = export_products(export_inputs(n=8, levels=(0.5,)), tmp_path, products=DATA)
    assert done.complete and "eval_calibrated" in done.not_applicable
    assert run_manifest(done)["intervals"] == "none"


def test_a_run_whose_calibration_was_switched_off_is_incomplete(inputs, tmp_path):
    off = replace(inputs, factors=None, future_factors=None)
    done = export_products(off, tmp_path, products=DATA[:2])
    assert (
        done.complete is False and "a run without calibrated forecasts is incomplete" in done.missing["eval_calibrated"]
    )


def test_a_model_without_physics_has_no_payload_and_is_complete(tmp_path):
    done = export_products(export_inputs(n=8, physics=False, model="HybridAttn-NoPhysics"), tmp_path)
    assert done.complete and not done.missing
    assert {"payload", "physical_parameters", "parameter_map"} <= set(done.not_applicable)
    assert done.files["phys_maps.png"].stat().st_size > 1000


def test_validation_split_is_marked_when_there_is_no_test_split(inputs, tmp_path):
    renamed = replace(inputs.evaluation, split=replace(inputs.evaluation.split, name="val"))
    done = export_products(replace(inputs, evaluation=renamed), tmp_path, products=DATA[:1])
    assert set(done.files) == {
        f"{P}_forecast_ValidationSet_H3_eval.csv",
        f"{P}_training_summary.json",
        f"{P}_run_manifest.json",
    }
    assert run_manifest(done)["evaluated_split"] == "val"


def test_a_hostile_city_name_stays_inside_the_folder(tmp_path):
    done = export_products(export_inputs(n=6, city="../../evil"), tmp_path, products=DATA)
    assert all(path.parent == tmp_path for path in done.files.values())
    assert not [name for name in done.files if "/" in name]


def test_configured_units_change_the_metrics_file(tmp_path):
    done = export_products(
        export_inputs(n=6, config={"EVAL_JSON_UNITS_MODE": "interpretable"}), tmp_path, products=DATA
    )
    assert json.loads(done.files["geoprior_eval_phys.json"].read_text())["units"]["subs_metrics_unit"] == "mm"


def test_parameter_maps_cover_all_places_where_their_fields_are_known(inputs, tmp_path):
    everywhere = replace(inputs, physics_future=fields(inputs.future))
    chosen = tuple(product for product in PRODUCTS if product.key in ("parameter_map", "phys_maps"))
    done = export_products(everywhere, tmp_path, products=chosen)
    lines = done.files["samplecity_geopriorsubsnet_parameter_map.csv"].read_text().splitlines()
    places = {tuple(line.split(",")[2:4]) for line in lines[1:]}
    assert places == {(f"{x:.3f}", f"{y:.3f}") for x, y in zip(*inputs.future.metres)}
    assert done.complete and "phys_maps.png" in done.files


def test_progress_is_told(inputs, tmp_path):
    said = []
    export_products(inputs, tmp_path, products=DATA[:2], tell=lambda share, line: said.append((share, line)))
    assert [line for _, line in said] == ["eval", "eval_calibrated", "4 files, 0 missing"]
    assert said[-1][0] == 1.0
