"""A folder of refined tiles as a run leaves it; the refinement is a smoothing filter."""

import hashlib
from pathlib import Path

import numpy as np

from tasks.contracts.tiles import TileRecord, TilesConfig
from tasks.store.jsons import canonical_json
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.output_sidecar import RunFacts, sidecar_document
from tasks.tiles.reader import read_tile
from tasks.tiles.references import unsharp
from tasks.tiles.sample import Sample, make_sample
from tasks.tiles.writer import commit, output_bytes, output_ref

ZEROS = "0" * 64
FACTS = RunFacts(
    input_dir="in", checkpoint="ck", device_requested="cpu", checkpoint_id=ZEROS, config_id=ZEROS, code_version="1"
)


def smoothed(values: np.ndarray) -> np.ndarray:
    """A filter that takes away noise."""
    return unsharp(values, 0.6, -0.5)


def finished(folder: Path, refine=smoothed, **options) -> tuple[Sample, Path]:
    """The generator's tiles, and an output folder with all of them refined."""
    sample = make_sample(folder / "in", checkpoint=False, **({"count": 4, "sizes": (32,)} | options))
    output = folder / "out"
    output.mkdir()
    records = [_refined(path, output, refine) for path in sorted(sample.tiles.glob("*.npz"))]
    lines = [canonical_json(record.model_dump(mode="json"), indent=None) for record in records]
    (output / ".stagegate").mkdir(exist_ok=True)
    (output / ".stagegate" / "manifest.jsonl").write_bytes(b"".join(lines))
    return sample, output


def _refined(path: Path, output: Path, refine) -> TileRecord:
    meta = read_sidecar(path.with_suffix(".json").read_bytes(), path.stem)
    tile = read_tile(path, path.stem, meta, TilesConfig())
    npz = output_bytes(refine(tile.values[-1]), tile.valid)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = TileRecord(id=path.stem, status="done", input_sha256=digest, output=output_ref(npz, path.stem))
    commit(output, path.stem, npz, sidecar_document(meta, record, FACTS))
    return record
