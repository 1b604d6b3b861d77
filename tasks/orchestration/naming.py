"""Names that a person understands in the dashboard."""

from pathlib import PurePosixPath
from typing import Any

from prefect.runtime import flow_run


def flow_run_name() -> str:
    """What a run is about: the city that was asked for, else the folder that it reads, else the twin city."""
    request: Any = flow_run.parameters["request"]
    return label(request if isinstance(request, dict) else request.model_dump())


def label(request: dict[str, Any]) -> str:
    """The same, from the plain request."""
    twin = (request.get("twin") or {}).get("city", "twin")
    return request.get("city") or _resumed(request) or _read(request) or twin


def _resumed(request: dict[str, Any]) -> str:
    """The city in OUT/CITY/MODEL/RUN; where resume is no path, it names nothing."""
    resume = request.get("resume")
    parts = PurePosixPath(resume if isinstance(resume, str) else "").parts
    return parts[-3] if len(parts) > 2 else parts[-1] if parts else ""


def _read(request: dict[str, Any]) -> str:
    """The folder of the manifest, the one that is searched for it, or that of the tiles."""
    manifest, folder = request.get("stage1_manifest"), request.get("data_dir") or request.get("input_dir")
    return PurePosixPath(manifest).parent.name if manifest else PurePosixPath(folder or "").name
