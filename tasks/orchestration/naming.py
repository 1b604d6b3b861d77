"""Names that a person understands in the dashboard."""

from pathlib import PurePosixPath
from typing import Any

from prefect.runtime import flow_run


def flow_run_name() -> str:
    """What a run is about: the city that was asked for, else the folder of the manifest, else the twin city."""
    request: Any = flow_run.parameters["request"]
    return label(request if isinstance(request, dict) else request.model_dump())


def label(request: dict[str, Any]) -> str:
    """The same, from the plain request."""
    if request.get("city"):
        return request["city"]
    manifest = request.get("stage1_manifest")
    return PurePosixPath(manifest).parent.name if manifest else (request.get("twin") or {}).get("city", "twin")
