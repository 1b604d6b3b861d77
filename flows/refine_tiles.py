"""From opt_v1 tiles of the first stage to opt_v2 tiles for the third."""

from prefect import flow

from tasks.contracts.report import FlowReport
from tasks.orchestration.naming import flow_run_name
from tasks.steps.audit_handshake import audit_tiles
from tasks.steps.evaluate_oracle import evaluate_tiles
from tasks.steps.export import export_tiles
from tasks.steps.load_checkpoint import load_tiles_checkpoint
from tasks.steps.load_manifest import list_tiles
from tasks.steps.tiles_delivery import refined
from tasks.steps.tiles_edges import publish
from tasks.steps.tiles_given import taken
from tasks.tiles.request import RefineRequest


@flow(name="refine-tiles", flow_run_name=flow_run_name)
def refine_tiles(request: RefineRequest) -> FlowReport:
    """Audit tiles and checkpoint, refine shard by shard and scene by scene, judge, publish.

    Args:
        request: Which tiles, with which model, and where to.
    """
    with taken(request) as given:
        config = given.settings.tiles
        model = load_tiles_checkpoint(given.checkpoint, given.settings.expected_model)
        listed = list_tiles(given.inputs, model.num_frames)
        audit = audit_tiles(given.inputs, listed, model, config, given.scenes)
        tiles = refined(given, model, listed, audit)
        judged = evaluate_tiles(tiles, given.strength, given.request.quicklook, config)
        published = export_tiles(tiles, model, config, judged)
        return publish(given, model, audit, judged, published)
