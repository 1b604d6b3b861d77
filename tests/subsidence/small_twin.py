"""A small twin city as a handoff: 16 x 16 cells, 120 points, ready in a fraction of a second."""

from pathlib import Path
from typing import Any

from tasks.subsidence.twin import TwinRequest, write_twin


def small_twin_request(**changes: Any) -> TwinRequest:
    """The request behind the fixture: as wide as the default city, in coarser cells."""
    return TwinRequest(**{"grid": 16, "spacing_m": 1000.0, "points": 120, **changes})


def small_twin_handoff(folder: Path, **changes: Any) -> Path:
    """Write twin_panel.csv, truth.npz and stage1/ into `folder`; the path of stage1/manifest.json."""
    return write_twin(small_twin_request(**changes), folder).manifest
