"""Paths in, references out: the only place of this workload that opens a user's files."""

import tempfile
from pathlib import Path

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError, MissingInputError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store
from tasks.store.rooted import allowed
from tasks.subsidence.config import OWNERSHIP, last_value
from tasks.subsidence.handoff.search import DEFAULT_FOLDER, Search, search_folders
from tasks.subsidence.handoff.truth import check_truth
from tasks.subsidence.manifest import ingest_handoff, read_manifest
from tasks.subsidence.request import SubsidenceRequest
from tasks.subsidence.rooted import rooted
from tasks.subsidence.settings.key import checked
from tasks.subsidence.settings.layers import read_layers
from tasks.subsidence.types import IngestedHandoff, LiveConfig, Source


class Given(Frozen):
    """What a request brought along. `source` None: nothing was given, use the twin city."""

    source: Source | None
    live: LiveConfig
    truth: ArtifactRef | None
    search: Search | None = None


def ingest(request: SubsidenceRequest, store: Store, data_root: Path | None) -> Given:
    """Read configuration, find the manifest, put the handoff and the truth into the store."""
    if request.resume is not None:
        raise ConfigError(
            "this flow cannot be resumed",
            where="resume",
            found=request.resume,
            remedy="Start it anew; steps are cached.",
        )
    check_model(request.model)
    request = rooted(request, data_root, None)
    live = read_layers(
        config=_path(request.config), config_root=_path(request.config_root), city=_own_city(request), sets=request.set
    )
    handoff, search = _handoff(request, request.city or last_value(live, "CITY_NAME"), store, data_root)
    return Given(
        source=Source(handoff=handoff) if handoff else None,
        live=live,
        truth=_truth(request, handoff, store),
        search=search,
    )


def check_model(name: str | None) -> None:
    """Refuse a flavour that does not exist. Raises ConfigError naming those that do."""
    if name is not None:
        checked(OWNERSHIP["MODEL_NAME"], name, where="--model")


def _own_city(request: SubsidenceRequest) -> str | None:
    """The city whose configuration file is read."""
    return request.city or (None if request.stage1_manifest or request.data_dir else request.twin.city)


def _handoff(
    request: SubsidenceRequest, city: str | None, store: Store, data_root: Path | None
) -> tuple[IngestedHandoff | None, Search | None]:
    if request.stage1_manifest is not None:
        place = request.stage1_manifest.removeprefix("file://")
        if "://" in place:
            return _remote_handoff(place, store), None
        return ingest_handoff(Path(place), store), None
    data_dir = _path(request.data_dir)
    if data_dir is None and (city is None or city.casefold() == request.twin.city.casefold()):
        return None, None
    default = DEFAULT_FOLDER if data_root is None else allowed(data_root / DEFAULT_FOLDER, data_root)
    path, search = search_folders(data_dir, default, city=city, model=request.model)
    return ingest_handoff(path, store), search


def _remote_handoff(url: str, store: Store) -> IngestedHandoff:
    import fsspec

    from tasks.store.failures import typed
    from tasks.store.remote import client_options
    from tasks.store.remote_failures import remote_error, without_user_info

    folder, _, name = url.rpartition("/")
    shown = without_user_info(url)
    with tempfile.TemporaryDirectory(prefix="stagegate-handoff-") as scratch:
        with typed("read", shown, failures=Exception, translate=remote_error):
            filesystem, path = fsspec.core.url_to_fs(folder, **client_options(folder))
            if not filesystem.exists(f"{path}/{name}"):
                raise MissingInputError("manifest does not exist", where=shown, remedy="Check the URL.")
            filesystem.get(path.rstrip("/") + "/", scratch + "/", recursive=True)
        return ingest_handoff(Path(scratch) / name, store)


def _truth(request: SubsidenceRequest, handoff: IngestedHandoff | None, store: Store) -> ArtifactRef | None:
    path = _path(request.truth)
    if path is None:
        return None
    if not path.is_file():
        raise MissingInputError("truth panel does not exist", where=str(path), remedy="Pass a CSV with --truth.")
    check_truth(path, _forecast_years(request, handoff, store))
    return store.put_file(path)


def _forecast_years(request: SubsidenceRequest, handoff: IngestedHandoff | None, store: Store) -> range | None:
    """The years that truth is wanted for; None where the manifest does not say (the audit judges that)."""
    if handoff is None:
        first, horizon = request.twin.last_train_year + 1, request.twin.horizon
    else:
        config = read_manifest(handoff, store).config
        first, horizon = config.FORECAST_START_YEAR, config.FORECAST_HORIZON_YEARS
    return None if not first or not horizon else range(first, first + horizon)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
