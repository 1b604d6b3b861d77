"""Resolve the hybrid configuration."""

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import LiveConfig, Settings


@step(title="resolve config")
def resolve_config(
    manifest: ArtifactRef, live: LiveConfig, city: str | None, model: str | None, seed: int | None, here: Workspace
) -> Settings:
    """Built-in, manifest and live values, each with its source."""
    from tasks.subsidence.config import resolve
    from tasks.subsidence.handoff.manifest_parse import parse_manifest

    values, report = resolve(parse_manifest(here.store.get_bytes(manifest)), live, city=city, model=model, seed=seed)
    return Settings(values=values, report=here.store.put_json(report, name="config_resolved.json"))
