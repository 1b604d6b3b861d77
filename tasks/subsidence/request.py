"""What a person asks of the flow: the parameter model behind the command line and the dashboard form."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError, HandshakeError, MissingInputError
from tasks.store.jsons import read_json
from tasks.subsidence.settings.live import MODELS
from tasks.subsidence.twin import TwinRequest

REQUEST_FILE = "request.json"
PATHS = ("stage1_manifest", "data_dir", "config", "config_root", "truth", "out")
_MAX_BYTES = 2**20
_MAX_DEPTH = 16
_AGAIN = "Pass the folder that the interrupted run named, as the run left it."


class SubsidenceRequest(Frozen):
    """Forecast land subsidence from a Stage-1 handoff; with no data given, from the embedded twin city."""

    # Dashboards and shells hand over JSON, so lists and whole numbers for floats are fine here.
    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    stage1_manifest: str | None = Field(
        None,
        title="Stage-1 manifest",
        description="Path (on a server: below its data root) or s3:// URL of manifest.json. Empty: search the data "
        "folder, or use the twin city.",
    )
    data_dir: str | None = Field(
        None,
        title="Data folder",
        description="Searched for the newest fitting manifest.json, then ./results, when no manifest is given.",
    )
    city: str | None = Field(
        None,
        title="City",
        description="Must be the manifest's city; alone, ./results is searched. Empty: as the manifest says.",
    )
    model: Annotated[str, WithJsonSchema({"type": "string", "enum": list(MODELS)})] | None = Field(
        None,
        title="Model",
        description="Flavour of the network. Empty: as the configuration says, else GeoPriorSubsNet.",
    )
    config: str | None = Field(None, title="Configuration file", description="TOML, YAML, JSON or literal Python.")
    config_root: str | None = Field(
        None, title="Configuration folder", description="Holds default.* and {city}.*; the city's values win."
    )
    set: tuple[str, ...] = Field((), title="Settings", description="KEY=VALUE for this run only, for example EPOCHS=5.")
    seed: int | None = Field(
        None,
        ge=0,
        title="Seed",
        description="Weights, shuffling and bootstrap follow from it; 42 where nothing is said.",
    )
    truth: str | None = Field(
        None,
        title="Truth panel",
        description="CSV with longitude, latitude, year, subsidence_cum [mm] for the forecast years.",
    )
    out: str = Field(
        "runs",
        title="Output folder",
        description="Run folders are made below it; on a server it lies below the folder of results.",
    )
    resume: str | None = Field(
        None,
        title="Resume",
        description="Run folder of an interrupted forecast-subsidence run; the same request is continued. Other flows "
        "cannot be resumed and refuse it: start them anew, their steps are cached.",
    )
    init_from: str | None = Field(
        None,
        title="Registered model",
        description="Artifact hash of a registry entry: forecast-subsidence starts training from its weights, "
        "apply-forecaster needs it and applies it, audit-subsidence has no use for it.",
    )
    accelerator: Literal["required", "preferred", "none"] = Field(
        "preferred",
        title="Accelerator",
        description="Whether the training step needs a GPU, likes one, or must not use one.",
    )
    twin: TwinRequest = Field(
        default_factory=TwinRequest, title="Twin city", description="Used when no data are given."
    )


def portable(request: SubsidenceRequest, folder: Path) -> dict[str, Any]:
    """The request with its paths relative to the run folder, so that both can be moved together."""
    values = request.model_dump(mode="json")
    return values | {name: os.path.relpath(values[name], folder) for name in _local_paths(values)} | {"resume": None}


def continued(request: SubsidenceRequest) -> SubsidenceRequest:
    """The request that the run folder named in `resume` was started with.

    Raises ConfigError where the request asks for anything else beside it, or where the folder's request.json is not
    what a run wrote; MissingInputError where there is none.
    """
    beside = [name for name in _asked(request) if name != "resume"]
    if beside:
        raise ConfigError(
            f"{', '.join(beside)} cannot be given together with resume",
            found=request.resume,
            remedy="The run folder says what was asked for: leave the others out, or start a new run without resume.",
        )
    folder = Path(request.resume)
    values = _recorded(folder)
    moved = {name: os.path.normpath(folder / values[name]) for name in _local_paths(values)}
    try:
        return SubsidenceRequest.model_validate(values | moved | {"resume": None})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"field {'.'.join(map(str, first['loc']))} is not usable",
            where=str(folder / REQUEST_FILE),
            expected=first["msg"],
            found=repr(first["input"])[:80],
            remedy=_AGAIN,
        ) from None


def _asked(request: SubsidenceRequest) -> list[str]:
    """Fields that differ from their defaults."""
    plain = SubsidenceRequest()
    return [name for name in SubsidenceRequest.model_fields if getattr(request, name) != getattr(plain, name)]


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / REQUEST_FILE
    if not path.is_file():
        expected = f"a file {REQUEST_FILE}"
        raise MissingInputError("is no run folder", where=str(folder), expected=expected, remedy=_AGAIN)
    try:
        values = read_json(path.read_bytes(), name=str(path), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except (OSError, HandshakeError) as error:
        raise ConfigError("cannot be read", where=str(path), found=error, remedy=_AGAIN) from error
    if not isinstance(values, dict):
        raise ConfigError("is no request", where=str(path), expected="an object", found=type(values).__name__)
    wrong = set(values) ^ set(SubsidenceRequest.model_fields)
    if wrong:
        raise ConfigError(
            "has other fields than a request",
            where=str(path),
            expected=", ".join(SubsidenceRequest.model_fields),
            found="; ".join(f"{'unknown' if name in values else 'no'} {name[:40]}" for name in sorted(wrong)),
            remedy=_AGAIN,
        )
    return values


def _local_paths(values: dict[str, Any]) -> list[str]:
    """Names of the fields that hold a path of this machine."""
    return [name for name in PATHS if isinstance(values[name], str) and "://" not in values[name]]
