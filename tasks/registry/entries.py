"""Entries of the registry: manifests under their own hash, created once, found again by hash or its first digits."""

from tasks.contracts.errors import ConfigError
from tasks.contracts.refs import ArtifactRef
from tasks.registry.manifest import ArtifactManifest, canonical_json
from tasks.store.blobs import Store
from tasks.store.refs import NamedRefs

PREFIX = "registry/"
MIN_DIGITS = 8


def put_entry(manifest: ArtifactManifest, store: Store) -> ArtifactRef:
    """Store the manifest; it is found by nobody before it is bound. Its digest is the artifact hash."""
    return store.put_bytes(canonical_json(manifest.document()), name="registry_entry.json")


def bind(entry: ArtifactRef, store: Store) -> None:
    """Make a stored manifest findable under its hash; the same manifest again changes nothing."""
    NamedRefs(store.root).create(PREFIX + entry.digest, store.get_bytes(entry))


def register(manifest: ArtifactManifest, store: Store) -> ArtifactRef:
    """Store the manifest and bind its hash to it."""
    entry = put_entry(manifest, store)
    bind(entry, store)
    return entry


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
