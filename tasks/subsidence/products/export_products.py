"""Which products a run has, under which names, and how each is made: a list, read from top to bottom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tasks.subsidence import plots
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.forecast import csv_bytes, future_table, table
from tasks.subsidence.handoff.locations import unique_places
from tasks.subsidence.products import plots_maps
from tasks.subsidence.products.diagnostics import Units, eval_diagnostics, pit_line
from tasks.subsidence.products.export_inputs import ExportInputs
from tasks.subsidence.products.inspection import best_epoch
from tasks.subsidence.products.metrics_document import metrics_document
from tasks.subsidence.products.payload import (
    json_bytes,
    meta,
    npz_bytes,
    parameter_csv,
    parameter_map,
    parameter_map_csv,
    payload,
    residual_share,
)
from tasks.subsidence.scoring.reliability import pit_histogram, reliability_table

NO_FUTURE = "the handoff holds no future inputs"
NO_INTERVALS = "point forecasts have no interval to calibrate"
NO_PHYSICS = "this model has no physics fields"
NO_CONSOLIDATION = "the active equations hold no consolidation"
CONS_UNITS = {"second": "m/s", "time_unit": "m per time unit", "step": "m per step"}
GW_UNITS = {"second": "1/s", "time_unit": "1 per time unit"}
Files = dict[str, bytes]


def _always(_: ExportInputs) -> str | None:
    return None


@dataclass(frozen=True)
class Product:
    """One product: `make` gives file names and bytes; `unless` gives the reason why a run of this kind has none."""

    key: str
    kind: Literal["data", "plot"]
    make: Callable[[ExportInputs], Files]
    unless: Callable[[ExportInputs], str | None] = _always


def _no_future(inputs: ExportInputs) -> str | None:
    return None if inputs.future else NO_FUTURE


def _no_intervals(inputs: ExportInputs) -> str | None:
    return NO_INTERVALS if len(inputs.evaluation.raw.levels) < 2 else None


def _no_calibrated_future(inputs: ExportInputs) -> str | None:
    return _no_future(inputs) or _no_intervals(inputs)


def _no_physics(inputs: ExportInputs) -> str | None:
    return NO_PHYSICS if not inputs.physics or inputs.scalars is None else None


def _no_consolidation(inputs: ExportInputs) -> str | None:
    return _no_physics(inputs) or (None if inputs.scalars.consolidation else NO_CONSOLIDATION)


def _table(inputs: ExportInputs, kind: str, calibrated: bool) -> Files:
    factors = None
    if calibrated:
        factors = inputs.factors if kind == "eval" else inputs.future_factors
        if factors is None:
            raise ValueError("calibration was switched off; a run without calibrated forecasts is incomplete")
    make, forecast = (table, inputs.evaluation) if kind == "eval" else (future_table, inputs.future)
    stem = f"{inputs.prefix}_forecast_{inputs.dataset}_H{inputs.sem.horizon}_{kind}"
    name = f"{stem}_calibrated.csv" if calibrated else f"{stem}.csv"
    return {name: csv_bytes(make(forecast, inputs.sem, model=inputs.model, factors=factors))}


def _dataset_json(inputs: ExportInputs, stem: str, content: object, suffix: str = "") -> Files:
    return {f"{inputs.prefix}_{stem}_{inputs.dataset}_H{inputs.sem.horizon}{suffix}.json": json_bytes(content)}


def _eval_diagnostics(inputs: ExportInputs, prediction: Prediction, suffix: str) -> Files:
    return _dataset_json(inputs, "eval_diagnostics", eval_diagnostics(inputs.evaluation, prediction), suffix)


def _metrics(inputs: ExportInputs, mode: str, name: str) -> Files:
    scope = inputs.earlier.config.get("EVAL_JSON_UNITS_SCOPE", "all")
    return {name: json_bytes(metrics_document(inputs, Units(mode, scope)))}


def _configured_metrics(inputs: ExportInputs) -> Files:
    return _metrics(inputs, inputs.earlier.config.get("EVAL_JSON_UNITS_MODE", "si"), "geoprior_eval_phys.json")


def _payload(inputs: ExportInputs) -> Files:
    split = inputs.evaluation.split.name
    arrays = payload(inputs.physics, inputs.evaluation, inputs.scalars)
    side = meta(arrays, inputs.scalars, inputs.sem, model=inputs.model, split=split)
    name = f"{inputs.city_stem}_phys_payload_run_{split}.npz"
    return {name: npz_bytes(arrays), f"{name}.meta.json": json_bytes(side)}


def _parameters(inputs: ExportInputs) -> Files:
    return {f"{inputs.city_stem}_{inputs.model_stem}_physical_parameters.csv": parameter_csv(inputs.scalars)}


def _parameter_map(inputs: ExportInputs) -> Files:
    forecast, fields = inputs.mapped
    data = parameter_map_csv(fields, forecast, inputs.sem)
    return {f"{inputs.city_stem}_{inputs.model_stem}_parameter_map.csv": data}


def _title(inputs: ExportInputs, what: str) -> str:
    return f"{inputs.sem.city}, {inputs.model}: {what}"


def _history_plot(inputs: ExportInputs) -> Files:
    data = plots.training_history(
        plots.read_log(inputs.earlier.train_log),
        title=_title(inputs, "training history"),
        monitor=inputs.earlier.config.get("MONITOR", "val_crps_subs"),
        best_epoch=best_epoch(inputs.earlier.training),
    )
    return {f"{inputs.city_stem}_{inputs.model_stem}_training_history_plot.png": data}


def _epsilon_plot(inputs: ExportInputs) -> Files:
    title = _title(inputs, "physics residuals in training")
    config = inputs.earlier.config
    units = CONS_UNITS[config.get("CONS_RESIDUAL_UNITS", "second")], GW_UNITS[config.get("GW_RESIDUAL_UNITS", "second")]
    data = plots.epsilons(plots.read_log(inputs.earlier.train_log), title=title, raw_units=units)
    return {f"{inputs.prefix}_H{inputs.sem.horizon}_epsilons.png": data}


def _terms_plot(inputs: ExportInputs) -> Files:
    title = _title(inputs, "physics terms in training")
    data = plots.physics_terms(plots.read_log(inputs.earlier.train_log), title=title)
    return {f"{inputs.prefix}_H{inputs.sem.horizon}_physics_terms.png": data}


def _residual_plot(inputs: ExportInputs) -> Files:
    active = inputs.scalars is not None and inputs.scalars.consolidation
    fields = (inputs.physics or {}) if active else {}
    what = "consolidation residual of the published median"
    if active and inputs.scalars.residual_gate == 0.0:
        what += " (zero by construction: no data-driven residual)"
    data = plots.residual_histogram(
        fields.get("cons_res_scaled"),
        fields.get("cons_res_vals"),
        title=_title(inputs, what),
    )
    return {"cons_res_hist.png": data}


def _views(inputs: ExportInputs, kind: str) -> Files:
    forecast = inputs.evaluation if kind == "eval" else inputs.future
    what = f"subsidence, {inputs.dataset}" if kind == "eval" else "subsidence after the training years"
    pictures = plots_maps.subsidence_view(forecast, inputs.sem, title=_title(inputs, what))
    return {f"{inputs.city_stem}_subsidence_view_{kind}.{suffix}": data for suffix, data in pictures.items()}


def _width_plot(inputs: ExportInputs, kind: str) -> Files:
    forecast = inputs.evaluation if kind == "eval" else inputs.future
    word = "calibrated" if forecast.calibrated is not None else "uncalibrated"
    data = plots_maps.interval_width(forecast, inputs.sem, title=_title(inputs, f"{word} interval width"))
    return {f"{inputs.prefix}_interval_width_{kind}.png": data}


def _parameter_plot(inputs: ExportInputs) -> Files:
    columns = share = None
    if inputs.scalars is not None and inputs.scalars.consolidation and inputs.physics:
        forecast, fields = inputs.mapped
        columns = parameter_map(fields, forecast, inputs.sem)
        cells = residual_share(forecast, fields["s_phys"].ravel())
        first, _ = unique_places(*forecast.metres)
        share = cells.reshape(fields["s_phys"].shape)[first].mean(axis=1)
    title = _title(inputs, "physics fields")
    return {"phys_maps.png": plots_maps.parameter_maps(columns, share, inputs.sem, title=title)}


def _twins(inputs: ExportInputs) -> list[tuple[str, Prediction]]:
    forecast = inputs.evaluation
    twins = [("uncalibrated", forecast.raw)]
    return twins if forecast.calibrated is None else [*twins, ("calibrated", forecast.calibrated)]


def _reliability_plot(inputs: ExportInputs) -> Files:
    forecast, curves = inputs.evaluation, []
    for label, prediction in _twins(inputs):
        rows = reliability_table(prediction.subsidence, forecast.truth_m, prediction.levels)
        curves.append((label, [row["level"] for row in rows], [row["empirical"] for row in rows]))
    title = _title(inputs, f"reliability, {inputs.dataset}")
    return {f"{inputs.prefix}_reliability.png": plots.reliability(curves, title=title, rows=forecast.truth_m.size)}


def _pit_plot(inputs: ExportInputs) -> Files:
    panels = []
    for label, prediction in _twins(inputs):
        found = pit_histogram(prediction.subsidence, inputs.evaluation.truth_m, prediction.levels)
        panels.append((label, found["counts"], pit_line(found)))
    title = _title(inputs, f"probability integral transform, {inputs.dataset}")
    return {f"{inputs.prefix}_pit.png": plots.pit_histogram(panels, title=title)}


PRODUCTS: tuple[Product, ...] = (
    Product("eval", "data", lambda i: _table(i, "eval", False)),
    Product("eval_calibrated", "data", lambda i: _table(i, "eval", True), _no_intervals),
    Product("future", "data", lambda i: _table(i, "future", False), _no_future),
    Product("future_calibrated", "data", lambda i: _table(i, "future", True), _no_calibrated_future),
    Product(
        "calibration_stats", "data", lambda i: _dataset_json(i, "calibration_stats", dict(i.earlier.calibration_stats))
    ),
    Product("eval_diagnostics", "data", lambda i: _eval_diagnostics(i, i.evaluation.raw, "")),
    Product(
        "eval_diagnostics_calibrated",
        "data",
        lambda i: _eval_diagnostics(i, i.evaluation.best, "_calibrated"),
        _no_intervals,
    ),
    Product("metrics", "data", _configured_metrics),
    Product(
        "metrics_interpretable", "data", lambda i: _metrics(i, "interpretable", "geoprior_eval_phys_interpretable.json")
    ),
    Product("payload", "data", _payload, _no_physics),
    Product("physical_parameters", "data", _parameters, _no_consolidation),
    Product("parameter_map", "data", _parameter_map, _no_consolidation),
    Product("training_history_plot", "plot", _history_plot),
    Product("epsilons_plot", "plot", _epsilon_plot),
    Product("physics_terms_plot", "plot", _terms_plot),
    Product("phys_maps", "plot", _parameter_plot),
    Product("cons_res_hist", "plot", _residual_plot),
    Product("subsidence_view_eval", "plot", lambda i: _views(i, "eval")),
    Product("subsidence_view_future", "plot", lambda i: _views(i, "future"), _no_future),
    Product("interval_width_eval", "plot", lambda i: _width_plot(i, "eval"), _no_intervals),
    Product("interval_width_future", "plot", lambda i: _width_plot(i, "future"), _no_calibrated_future),
    Product("reliability", "plot", _reliability_plot, _no_intervals),
    Product("pit", "plot", _pit_plot, _no_intervals),
)
