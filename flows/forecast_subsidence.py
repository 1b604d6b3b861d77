"""From a Stage-1 handoff to calibrated subsidence forecasts."""

from prefect import flow

from tasks.contracts.report import FlowReport
from tasks.orchestration.naming import flow_run_name
from tasks.steps.audit_handshake import audit_handshake
from tasks.steps.build import build_subsidence as build
from tasks.steps.calibrate import calibrate_subsidence as calibrate
from tasks.steps.evaluate_oracle import evaluate_subsidence as evaluate_oracle
from tasks.steps.export import export_subsidence as export
from tasks.steps.finalize_scaling import finalize_scaling
from tasks.steps.infer import infer_subsidence as infer
from tasks.steps.load_manifest import load_manifest
from tasks.steps.register import register_subsidence as register
from tasks.steps.resolve_config import resolve_config
from tasks.steps.score_baselines import score_baselines
from tasks.steps.simulate import simulate_subsidence as simulate
from tasks.steps.subsidence_edges import accept, ingest, publish, resumed, warm_start
from tasks.steps.train import train_subsidence as train
from tasks.subsidence.request import SubsidenceRequest


@flow(name="forecast-subsidence", flow_run_name=flow_run_name)
def forecast_subsidence(request: SubsidenceRequest = SubsidenceRequest()) -> FlowReport:  # noqa: B008 - frozen
    """Audit a handoff, train, calibrate, forecast, judge against the oracle, register.

    Args:
        request: What to forecast; with no data given, the twin city.
    """
    request = resumed(request)
    start = warm_start(request)
    given = ingest(request)
    source = given.source or simulate(request.twin)
    truth = given.truth or source.truth_panel

    handoff = load_manifest(source.handoff)
    audit = audit_handshake(handoff, given.live, request.city, request.model)
    audit = accept(audit, handoff, request, given)
    data = audit.splits
    settings = resolve_config(source.handoff.manifest, given.live, request.city, request.model, request.seed)
    scaled = finalize_scaling(source.handoff.sidecars(), data.only("train", "future"), settings)
    blueprint = build(data.only("train"), scaled, settings)
    trained = train(data.only("train", "val"), scaled, blueprint, settings, start)
    calibrated = calibrate(data.only("val"), scaled, blueprint, trained, settings)
    inferred = infer(data.only("val", "test", "future"), scaled, blueprint, trained, settings)
    baselines = score_baselines(data, scaled, settings, truth)
    products = export(handoff, audit, scaled, settings, blueprint, trained, calibrated, inferred, baselines, truth)
    verdict = evaluate_oracle(audit, scaled, settings, calibrated, inferred, baselines, truth, source.truth_fields)
    registered = register(handoff, settings, scaled, blueprint, trained, calibrated, products, verdict)
    return publish(request, handoff, audit, products, verdict, registered)
