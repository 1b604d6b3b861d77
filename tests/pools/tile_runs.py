"""Refined folders of deployed flows and of processes of this machine: asked for, cut short, compared."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import fsspec
import numpy as np
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, FlowRun

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.serving.containers import LABEL
from tasks.orchestration.serving.engine import engine
from tasks.store.blobs import Store
from tasks.store.npz import read_npz
from tasks.tiles.flow.shards import BATCHES, get
from tests.engines.served import STAGEGATE, Serve
from tests.pools.runs import Asked, Finished, runs

TILES, SIZES, LARGE = 24, (48, 101, 640), 640
SHARDS = 2  # of twelve tiles; all large ones are in the second
REQUEST = {
    "checkpoint": "tiles/checkpoint",
    "input_dir": "tiles",
    "reference_dir": "tiles/reference",
    "output_dir": "refined",
    "device": "cpu",
    "precision": "fp32",
    "workers": 1,
    "shard_size": TILES // SHARDS,
    "quicklook": 2,
}
KEPT = ("checkpoint_id", "config_id", "code_version", "input_sha256", "sidecar_sha256", "precision", "padded_to")
LARGE_BYTES = 4 * LARGE * LARGE * 4
LOOK_EVERY_S = 0.05
INFER = "infer-tiles"


@dataclass(frozen=True)
class Folder:
    """A finished output folder."""

    path: Path

    @property
    def manifest(self) -> list[dict]:
        """One line for each tile."""
        return [json.loads(line) for line in (self.path / ".stagegate" / "manifest.jsonl").read_text().splitlines()]

    @property
    def summary(self) -> dict:
        """Counts of the run."""
        return json.loads((self.path / ".stagegate" / "summary.json").read_text())

    def identities(self) -> list[tuple]:
        """Of each tile: id, state, digests of the input, and what its sidecar says that it was made with."""
        return [
            (line["id"], line["status"], line["input_sha256"], line["sidecar_sha256"], *self._made_with(line["id"]))
            for line in self.manifest
        ]

    def outputs(self) -> dict[str, np.ndarray]:
        """Id to (4, H, W) float32."""
        return {path.stem: read_npz(path, name=path.name)["opt_v2"] for path in sorted(self.path.glob("*.npz"))}

    def _made_with(self, tile: str) -> tuple:
        if not (self.path / f"{tile}.json").exists():
            return ()
        processing = json.loads((self.path / f"{tile}.json").read_text())["processing"]
        return tuple(json.dumps(processing[name]) for name in KEPT)


def furthest(ours: Folder, theirs: Folder) -> float:
    """The largest difference of any pixel, reflectance; infinite where tiles, shapes or masks differ."""
    one, other = ours.outputs(), theirs.outputs()
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return float("inf")
    if any((np.isnan(one[name]) != np.isnan(other[name])).any() for name in one):
        return float("inf")
    return max(float(np.nanmax(np.abs(one[name] - other[name]))) for name in one)


def in_process(folder: Path, data_root: Path, store: str, request: dict = REQUEST) -> tuple[dict, Folder]:
    """The same request in a process of its own, with a Prefect of its own, over a store: answer and output folder."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STAGEGATE_"))}
    own |= {"PREFECT_HOME": str(folder / "prefect"), "STAGEGATE_STORE": store}
    own |= {"STAGEGATE_DATA_ROOT": str(data_root), "STAGEGATE_RESULTS": str(folder / "results")}
    sets = [word for name, value in request.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    words = [*STAGEGATE, "run", "refine-tiles", *sets, "--json"]
    done = subprocess.run(words, env=own, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1]), Folder(folder / "results" / request["output_dir"])


@dataclass(frozen=True)
class Cut:
    """A container of `infer-tiles` that was killed: which, and how much its shard had in the store by then."""

    run: UUID
    container: str
    large_tiles: int


def kill_in_the_middle(asked: Asked, store: str) -> Cut | None:
    """`kill -9` of the container that refines the large tiles, once the first of them are in the store."""
    before, run = 0, None
    while asked.under_way():
        if run is None:
            before, run = large_blobs(store), _of_large_tiles(asked.serve, store)
        elif (made := large_blobs(store) - before) > 0:
            (container,) = engine().containers.list(filters={"label": f"{LABEL}={run.id}"})
            container.kill("SIGKILL")
            return Cut(run.id, container.id, made)
        time.sleep(LOOK_EVERY_S if run else 10 * LOOK_EVERY_S)
    return None


def large_blobs(store: str) -> int:
    """Files of the size of the largest tiles in a store, inputs too."""
    files, root = fsspec.core.url_to_fs(store, use_listings_cache=False)
    found = files.find(f"{root}/sha256", detail=True)
    return sum(about["size"] > LARGE_BYTES for name, about in found.items() if ".tmp-" not in name)


def infer_runs(serve: Serve, finished: Finished | None = None) -> list[FlowRun]:
    """Runs of `infer-tiles` in containers, the newest first; of one flow run where it is given."""
    found = [run for run in runs(serve) if run.parameters.get("request", {}).get("step") == INFER]
    return found if finished is None else [run for run in found if run.id in finished.containers]


def artifacts(serve: Serve, finished: Finished) -> list[Artifact]:
    """What the dashboard shows of a flow and of its steps in containers."""
    ids = FlowRunFilterId(any_=list(finished.containers))
    with serve.client() as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(), flow_run_filter=FlowRunFilter(id=ids), limit=200)


def _of_large_tiles(serve: Serve, store: str) -> FlowRun | None:
    for run in infer_runs(serve):
        if run.state is None or run.state.is_final():
            continue
        shard = ArtifactRef.model_validate(run.parameters["request"]["inputs"]["shard"])
        batches = get(BATCHES, shard, Store(store))
        if any(tile.height == LARGE for batch in batches for tile in batch.tiles):
            return run
    return None
