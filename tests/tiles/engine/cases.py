"""Small folders of tiles, a checkpoint that no model is read from, and runs over them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.tiles import TilesConfig
from tasks.store.jsons import canonical_json
from tasks.tiles.checkpoint_document import document_of
from tasks.tiles.checkpoint_files import sha256_of
from tasks.tiles.folder_run import FolderRun
from tasks.tiles.variants import model_config
from tests.tiles.engine import stubs


def tile(seed: int = 0, height: int = 32, width: int | None = None) -> np.ndarray:
    """(4, H, W) reflectance between 0.1 and 0.5."""
    shape = (4, height, height if width is None else width)
    return np.random.default_rng(seed).uniform(0.1, 0.5, shape).astype(np.float32)


def write_tile(folder: Path, name: str, values: np.ndarray, sidecar: Mapping[str, Any] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", opt_v1=values)
    if sidecar is not None:
        (folder / f"{name}.json").write_text(json.dumps(sidecar))


def write_tiles(folder: Path, count: int, size: int = 32) -> Path:
    """Tiles t000, t001 ... with month and biome."""
    for number in range(count):
        write_tile(folder, f"t{number:03d}", tile(number, size), {"month": 1 + number % 12, "biome_code": number % 16})
    return folder


def stub_checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    """A checkpoint by its identity; the stubs read nothing from it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    document = document_of(model_config("nano"), sha256_of(folder / "model.safetensors"), {})
    (folder / "config.json").write_bytes(canonical_json(document))
    return folder


def stub_run(top: Path, **changes: Any) -> FolderRun:
    """A run of top/in to top/out in one process with the stub that halves every value."""
    if not (top / "checkpoint").exists():
        stub_checkpoint(top / "checkpoint")
    usual = {"workers": 1, "load": stubs.halving, "config": TilesConfig()}
    return FolderRun(str(top / "checkpoint"), str(top / "in"), str(top / "out"), **{**usual, **changes})


def output(folder: Path, name: str) -> np.ndarray:
    with np.load(folder / f"{name}.npz") as arrays:
        assert arrays.files == ["opt_v2"]
        return arrays["opt_v2"]


def names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / ".stagegate" / "manifest.jsonl").read_text().splitlines()
    return {line["id"]: line for line in map(json.loads, lines)}


def errors(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / ".stagegate" / "errors.jsonl").read_text().splitlines()
    return {line["id"]: line for line in map(json.loads, lines)}


def log_lines(folder: Path) -> list[str]:
    return (folder / "inference.log").read_text().splitlines()
