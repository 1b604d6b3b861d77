"""Forecast another handoff with a registered model."""

from prefect import flow

from tasks.contracts.report import FlowReport
from tasks.orchestration.naming import flow_run_name
from tasks.steps.apply import apply_subsidence as apply
from tasks.steps.audit_handshake import audit_handshake
from tasks.steps.finalize_scaling import finalize_scaling
from tasks.steps.load_manifest import load_manifest
from tasks.steps.resolve_config import resolve_config
from tasks.steps.score_baselines import score_baselines
from tasks.steps.simulate import simulate_subsidence as simulate
from tasks.steps.subsidence_edges import accept, ingest, publish_transfer, registered_blobs
from tasks.subsidence.request import SubsidenceRequest


@flow(name="apply-forecaster", flow_run_name=flow_run_name)
def apply_forecaster(request: SubsidenceRequest) -> FlowReport:
    """Audit a handoff, forecast it with the model named in `init_from`, score it beside the baselines.

    Args:
        request: Handoff to forecast, and in `init_from` the registered model to apply.
    """
    blobs = registered_blobs(request)
    given = ingest(request)
    source = given.source or simulate(request.twin)
    truth = given.truth or source.truth_panel
    handoff = load_manifest(source.handoff)
    audit = audit_handshake(handoff, given.live, request.city, request.model)
    audit = accept(audit, handoff, request, given)
    settings = resolve_config(source.handoff.manifest, given.live, request.city, request.model, request.seed)
    scaled = finalize_scaling(source.handoff.sidecars(), audit.splits.only("train", "future"), settings)
    baselines = score_baselines(audit.splits, scaled, settings, truth)
    transferred = apply(audit, scaled, settings, baselines, blobs, truth)
    return publish_transfer(audit, transferred)
