"""Side files of a handoff that carry coordinate minima: scaler JSON, the Stage-1 audit, hold-out places."""

import csv
import io
from typing import Any

import numpy as np

from tasks.store.blobs import Store
from tasks.subsidence.types import IngestedHandoff

COORDINATE_FILES = ("scalers", "stage1_scaling_audit")


def coordinate_sources(ingested: IngestedHandoff, store: Store) -> dict[str, Any]:
    """Contents of the JSON side files that exist."""
    refs = {key: ingested.ref(key) for key in COORDINATE_FILES}
    return {key: store.get_json(ref) for key, ref in refs.items() if ref is not None}


def holdout_places(ingested: IngestedHandoff, store: Store, columns: tuple[str, str]) -> dict[str, np.ndarray]:
    """Split name -> (G, 2) longitude and latitude of its places, for the splits whose CSV exists."""
    refs = {split: ingested.ref(f"config.holdout.artifacts.{split}_groups_csv") for split in ("train", "val", "test")}
    return {split: _places(store.get_bytes(ref), columns) for split, ref in refs.items() if ref is not None}


def _places(data: bytes, columns: tuple[str, str]) -> np.ndarray:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    return np.array([[float(row[name]) for name in columns] for row in rows], dtype=float).reshape(-1, 2)
