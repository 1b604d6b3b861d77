"""Look at a Stage-1 handoff without training on it."""

from prefect import flow

from tasks.contracts.report import FlowReport
from tasks.orchestration.naming import flow_run_name
from tasks.steps.audit_handshake import audit_handshake
from tasks.steps.finalize_scaling import finalize_scaling
from tasks.steps.load_manifest import load_manifest
from tasks.steps.resolve_config import resolve_config
from tasks.steps.simulate import simulate_subsidence as simulate
from tasks.steps.subsidence_edges import accept, ingest, publish_audit
from tasks.subsidence.request import SubsidenceRequest


@flow(name="audit-subsidence", flow_run_name=flow_run_name)
def audit_subsidence(request: SubsidenceRequest = SubsidenceRequest()) -> FlowReport:  # noqa: B008 - frozen
    """Manifest, handshake audit, configuration and scaling.

    Args:
        request: Handoff to look at; with no data given, the twin city.
    """
    given = ingest(request)
    source = given.source or simulate(request.twin)
    handoff = load_manifest(source.handoff)
    audit = audit_handshake(handoff, given.live, request.city, request.model)
    audit = accept(audit, handoff, request, given)
    settings = resolve_config(source.handoff.manifest, given.live, request.city, request.model, request.seed)
    scaled = finalize_scaling(source.handoff.sidecars(), audit.splits.only("train", "future"), settings)
    return publish_audit(audit, settings, scaled)
