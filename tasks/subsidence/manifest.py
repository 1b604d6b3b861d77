"""A Stage-1 handoff: its files into the store, its manifest into a typed view."""

from pathlib import Path

from tasks.contracts.errors import HandshakeError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store
from tasks.subsidence.handoff.choice import Choice, find_manifest
from tasks.subsidence.handoff.files import Located, locate_all, locate_files
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.handoff.manifest_parse import manifest_bytes, parse_manifest, read_plain
from tasks.subsidence.types import Handoff, HandoffFile, IngestedHandoff

__all__ = [
    "Choice",
    "Located",
    "Stage1Manifest",
    "find_manifest",
    "ingest_handoff",
    "load_handoff",
    "locate_files",
    "parse_manifest",
    "read_manifest",
]
_NUMPY = "artifacts.numpy."


def ingest_handoff(manifest_path: Path, store: Store) -> IngestedHandoff:
    """Put a manifest and all its files into the store; files that do not exist have no ref (the audit judges that).

    Archives of Python objects are only hashed and copied, never opened.
    Raises MissingInputError without a manifest, HandshakeError for an unreadable one.
    """
    path = Path(manifest_path)
    data = manifest_bytes(path)
    places = locate_all(read_plain(data), path.parent)
    refs: dict[Path, ArtifactRef] = {}
    for place in places:
        if place.resolved is not None and place.resolved not in refs:
            refs[place.resolved] = store.put_file(place.resolved)
    files = tuple(_handoff_file(place, path.parent, refs) for place in places)
    return IngestedHandoff(
        manifest=store.put_bytes(data, name="manifest.json", media_type="application/json"), files=files
    )


def _handoff_file(place: Located, folder: Path, refs: dict[Path, ArtifactRef]) -> HandoffFile:
    if place.resolved is None:
        return HandoffFile(key=place.key, stored_path=place.stored, resolved_path=None, relocated=False, ref=None)
    inside = place.resolved.relative_to(folder.resolve()).as_posix()
    return HandoffFile(
        key=place.key,
        stored_path=place.stored,
        resolved_path=inside,
        relocated=place.relocated,
        ref=refs[place.resolved],
    )


def read_manifest(ingested: IngestedHandoff, store: Store) -> Stage1Manifest:
    """The typed manifest of an ingested handoff."""
    return parse_manifest(store.get_bytes(ingested.manifest))


def load_handoff(ingested: IngestedHandoff, store: Store) -> Handoff:
    """The manifest's essentials and the refs of all bundles that exist.

    Raises HandshakeError naming the essentials that are missing or of a wrong type.
    """
    manifest = read_manifest(ingested, store)
    config = manifest.config
    essential = {
        "city": manifest.city,
        "config.TIME_STEPS": config.TIME_STEPS,
        "config.FORECAST_HORIZON_YEARS": config.FORECAST_HORIZON_YEARS,
        "config.MODE": config.MODE,
        "config.TRAIN_END_YEAR": config.TRAIN_END_YEAR,
        "config.FORECAST_START_YEAR": config.FORECAST_START_YEAR,
    }
    absent = [place for place, value in essential.items() if value is None]
    if absent:
        raise HandshakeError(
            f"M-02 lacks {', '.join(absent)}",
            where="manifest.json",
            expected="a Stage-1 manifest",
            found="; ".join(manifest.faults) or None,
            remedy="Re-run Stage-1, or pass another manifest.",
        )
    return Handoff(
        ingested=ingested,
        city=manifest.city,
        time_steps=config.TIME_STEPS,
        horizon=config.FORECAST_HORIZON_YEARS,
        mode=config.MODE,
        train_end_year=config.TRAIN_END_YEAR,
        forecast_start_year=config.FORECAST_START_YEAR,
        bundles=_bundles(ingested),
    )


def _bundles(ingested: IngestedHandoff) -> dict[str, ArtifactRef]:
    found = {file.key.removeprefix(_NUMPY): file.ref for file in ingested.files if file.key.startswith(_NUMPY)}
    return {name.removesuffix("_npz"): ref for name, ref in found.items() if ref is not None}
