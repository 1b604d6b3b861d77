"""Paths in, references out: the only place of this workload that opens a user's files."""

import tempfile
from pathlib import Path

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import MissingInputError, UnsafePathError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store
from tasks.subsidence.handoff.choice import find_manifest
from tasks.subsidence.manifest import ingest_handoff
from tasks.subsidence.request import SubsidenceRequest
from tasks.subsidence.settings.layers import read_layers
from tasks.subsidence.types import IngestedHandoff, LiveConfig, Source


class Given(Frozen):
    """What a request brought along. `source` None: nothing was given, use the twin city."""

    source: Source | None
    live: LiveConfig
    truth: ArtifactRef | None
    rejected: dict[str, str] = Field(default_factory=dict)


def ingest(request: SubsidenceRequest, store: Store, data_root: Path | None) -> Given:
    """Read configuration, find the manifest, put the handoff and the truth into the store."""
    handoff, rejected = _handoff(request, store, data_root)
    city = request.city or (None if handoff else request.twin.city)
    for path in filter(None, (request.config, request.config_root)):
        allowed(Path(path), data_root)
    live = read_layers(
        config=_path(request.config), config_root=_path(request.config_root), city=city, sets=request.set
    )
    return Given(
        source=Source(handoff=handoff) if handoff else None,
        live=live,
        truth=_truth(request, store, data_root),
        rejected=rejected,
    )


def _handoff(request: SubsidenceRequest, store: Store, data_root: Path | None) -> tuple[IngestedHandoff | None, dict]:
    if request.stage1_manifest is not None:
        place = request.stage1_manifest.removeprefix("file://")
        if "://" in place:
            return _remote_handoff(place, store), {}
        return ingest_handoff(allowed(Path(place), data_root), store), {}
    if request.data_dir is None:
        return None, {}
    found = find_manifest(allowed(Path(request.data_dir), data_root), city=request.city, model=request.model)
    return ingest_handoff(found.path, store), dict(found.rejected)


def _remote_handoff(url: str, store: Store) -> IngestedHandoff:
    import fsspec

    folder, _, name = url.rpartition("/")
    filesystem, path = fsspec.core.url_to_fs(folder)
    if not filesystem.exists(f"{path}/{name}"):
        raise MissingInputError("manifest does not exist", where=url, remedy="Check the URL and the credentials.")
    with tempfile.TemporaryDirectory(prefix="stagegate-handoff-") as scratch:
        filesystem.get(path.rstrip("/") + "/", scratch + "/", recursive=True)
        return ingest_handoff(Path(scratch) / name, store)


def _truth(request: SubsidenceRequest, store: Store, data_root: Path | None) -> ArtifactRef | None:
    if request.truth is None:
        return None
    path = allowed(Path(request.truth), data_root)
    if not path.is_file():
        raise MissingInputError("truth panel does not exist", where=str(path), remedy="Pass a CSV with --truth.")
    return store.put_file(path)


def allowed(path: Path, data_root: Path | None) -> Path:
    """The path, if the data root (when set) holds it. Raises UnsafePathError."""
    if data_root is not None and not path.resolve().is_relative_to(data_root.resolve()):
        raise UnsafePathError(
            "path lies outside the data root",
            where=str(path),
            expected=f"below {data_root}",
            remedy="Move the data there, or pass an s3:// URL.",
        )
    return path


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
