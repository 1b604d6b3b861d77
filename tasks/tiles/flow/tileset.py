"""The finished set of tiles as one artifact for the third stage."""

from tasks.contracts.tiles import TILESET_MEDIA_TYPE, TilesConfig, TilesetManifest
from tasks.store.jsons import canonical_json
from tasks.store.workspace import Workspace
from tasks.tiles.code_version import code_version
from tasks.tiles.config import config_id
from tasks.tiles.flow.judged import RECORDS
from tasks.tiles.flow.shards import get
from tasks.tiles.flow.types import Collected, Judged, ModelRefs, Published


def export_tiles(run: Collected, model: ModelRefs, config: TilesConfig, judged: Judged, here: Workspace) -> Published:
    """Publish the manifest: every tile with its digests, the identities of model and settings, the quality figures."""
    manifest = TilesetManifest(
        checkpoint_id=model.id,
        config_id=config_id(config),
        code_version=code_version(),
        tiles=get(RECORDS, run.records, here.store),
        oracle_strength=judged.oracle_strength,
        metrics=judged.metrics,
    )
    data = canonical_json(manifest.model_dump(mode="json"))
    return Published(tileset=here.store.put_bytes(data, name="tileset.json", media_type=TILESET_MEDIA_TYPE))
