"""Resolve the hybrid configuration."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import Handoff, LiveConfig, Settings


@step(title="resolve config")
def resolve_config(handoff: Handoff, live: LiveConfig, city: str | None, model: str, seed: int, here: Workspace) -> Settings:
    """Built-in, manifest and live values, each with its source."""
    from tasks.subsidence.config import resolve
    from tasks.subsidence.manifest import parse_manifest

    manifest = parse_manifest(here.store.get_bytes(handoff.ingested.manifest))
    values, report = resolve(manifest, live, city=city, model=model, seed=seed)
    return Settings(values=values, report=here.store.put_json(report, name="config_resolved.json"))
