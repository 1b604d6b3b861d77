"""Describe the network so that it can be rebuilt without anybody's archive."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, Blueprint, Scaled, Settings, SplitRefs


@step(title="build", pool="cuda-tf", unkeyed=COSMETIC)
def build_subsidence(parts: SplitRefs, scaled: Scaled, settings: Settings, here: Workspace) -> Blueprint:
    """The init manifest and the architecture it stands for."""
    from tasks.subsidence import loading
    from tasks.subsidence.build import init_manifest
    from tasks.subsidence.model import architecture
    from tasks.subsidence.network.start import bank_rows
    from tasks.subsidence.settings import device

    cfg = loading.config(settings)
    device.configure(cfg, here)
    semantics = loading.semantics(scaled, here)
    manifest = init_manifest(semantics, cfg)
    rows = bank_rows(manifest, loading.split(parts, "train", semantics, here))
    return Blueprint(
        init_manifest=here.store.put_json(manifest, name="model_init_manifest.json"),
        architecture=here.store.put_json(architecture(manifest, rows), name="architecture.json"),
    )
