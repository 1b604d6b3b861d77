"""Entries of the registry: manifests under their own hash, created once, found again by hash or its first digits."""

from tasks.contracts.errors import ConfigError
from tasks.contracts.refs import ArtifactRef
from tasks.registry.manifest import ArtifactManifest, canonical_json
from tasks.store.blobs import Store
from tasks.store.refs import NamedRefs

PREFIX = "registry/"
MIN_DIGITS = 8


def register(manifest: ArtifactManifest, store: Store) -> ArtifactRef:
    """Store the manifest and bind its hash to it; the same manifest again changes nothing."""
    data = canonical_json(manifest.document())
    ref = store.put_bytes(data, name="registry_entry.json")
    NamedRefs(store.root).create(PREFIX + manifest.artifact_hash(), data)
    return ref


def find(name: str, store: Store) -> ArtifactManifest:
    """The manifest whose hash starts with these digits. Raises ConfigError where none or several do."""
    if len(name) < MIN_DIGITS:
        raise ConfigError(
            "reference is too short", where=name, expected=f"at least {MIN_DIGITS} digits of an artifact hash"
        )
    names = NamedRefs(store.root)
    found = names.list(PREFIX + name)
    if len(found) != 1:
        known = [entry.removeprefix(PREFIX)[:12] for entry in names.list(PREFIX)]
        raise ConfigError(
            "names no single registry entry",
            where=name,
            expected=f"one of {', '.join(known) or 'none registered yet'}",
            found=f"{len(found)} entries",
        )
    return ArtifactManifest.model_validate_json(names.get(found[0]))


def all_entries(store: Store) -> list[ArtifactManifest]:
    """Every registered manifest, ordered by hash."""
    names = NamedRefs(store.root)
    return [ArtifactManifest.model_validate_json(names.get(name)) for name in names.list(PREFIX)]
