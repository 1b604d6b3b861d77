"""What a run over a few tiles leaves, made by the functions of a run: books, quality, audit, pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.orchestration.run import StepRecord
from tasks.store.blobs import Store
from tasks.store.progress import Progress
from tasks.store.workspace import Workspace
from tasks.tiles.flow.audit import audit_tiles
from tasks.tiles.flow.checkpoints import ingest_checkpoint, read_model
from tasks.tiles.flow.judged import RECORDS, evaluate_tiles
from tasks.tiles.flow.listed import list_tiles
from tasks.tiles.flow.page import report_page
from tasks.tiles.flow.shards import INPUTS, put
from tasks.tiles.flow.types import Collected, Judged, TilesAudit
from tasks.tiles.journal import MANIFEST, OWN
from tasks.tiles.listing import list_inputs
from tasks.tiles.refine_folder import FolderRun, refine_folder
from tasks.tiles.request import RefineRequest
from tasks.tiles.sample import make_sample
from tasks.tiles.summary import Summary

CONFIG = TilesConfig()
HOSTILE = "tile_<b>bold&"


@dataclass(frozen=True)
class FinishedRun:
    """The documents of one run, before its page is made."""

    request: RefineRequest
    summary: Summary
    judged: Judged
    quality: dict
    audit: TilesAudit
    pictures: dict[str, bytes]
    steps: list[StepRecord]
    store: Store

    def page(self, *warnings: str, **changes) -> str:
        """The report."""
        told = {"request": self.request, "summary": self.summary, "quality": self.quality, "steps": self.steps}
        return report_page(**told | changes, audit=self.audit, pictures=self.pictures, warnings=list(warnings))


def finished_run(
    folder: Path,
    *,
    head_scale: float = 0.5,
    references: bool = False,
    broken: int = 0,
    count: int = 4,
    sizes: tuple[int, ...] = (32,),
    quicklook: int = 3,
) -> FinishedRun:
    """`count` good tiles, `broken` ones that fail, one of them with a hostile name, through a `nano` model."""
    sample = make_sample(folder / "in", max(count, 1), sizes, nodata=True, head_scale=head_scale)
    for number in range(0 if count else 1):
        (sample.tiles / f"tile_{number:05d}.npz").unlink()
    for number in range(broken):
        name = HOSTILE if number == 0 else f"zero_{number:05d}"
        np.savez(sample.tiles / f"{name}.npz", opt_v1=np.full((4, 32, 32), np.nan, np.float32))
    request = RefineRequest(
        checkpoint=str(sample.checkpoint),
        input_dir=str(sample.tiles),
        output_dir=str(folder / "out"),
        reference_dir=str(sample.reference) if references else None,
        device="cpu",
        workers=1,
    )
    summary = refine_folder(
        FolderRun(checkpoint=request.checkpoint, input_dir=request.input_dir, output_dir=request.output_dir, workers=1)
    )
    here = _workspace(folder)
    collected = _collected(request, here.store)
    judged = evaluate_tiles(collected, "physics_derived" if references else "heuristic", quicklook, CONFIG, here)
    model = read_model(ingest_checkpoint(sample.checkpoint, None, here.store), {}, folder / "model", here.store)
    audit = audit_tiles(collected.inputs, list_tiles(collected.inputs, 1, here), model, CONFIG, here)
    return FinishedRun(
        request=request,
        summary=summary,
        judged=judged,
        quality=here.store.get_json(judged.quality),
        audit=audit,
        pictures={name: here.store.get_bytes(ref) for name, ref in judged.quicklooks.items()},
        steps=[_step("audit-tiles", [collected.inputs], [audit.report], 0.1),
               _step("evaluate-tiles", [collected.records], [judged.quality, *judged.quicklooks.values()], 2.0)],
        store=here.store,
    )  # fmt: skip


def _workspace(folder: Path) -> Workspace:
    store = Store(str(folder / "store"))
    return Workspace(store, folder, Progress(folder / "store", "test"), lambda *_: None, lambda: False, "cpu", {})


def _collected(request: RefineRequest, store: Store) -> Collected:
    lines = (Path(request.output_dir) / OWN / MANIFEST).read_text().splitlines()
    records = [{key: value for key, value in json.loads(line).items() if key != "processing_time_ms"} for line in lines]
    for record in records:
        if record["output"]:
            path = Path(request.output_dir) / f"{record['id']}.npz"
            record["output"] = store.put_file(path, name=path.name).model_dump(mode="json")
    parsed = RECORDS.validate_json(json.dumps(records))
    references = None if request.reference_dir is None else _inputs(request.reference_dir, store)
    return Collected(
        records=put(RECORDS, parsed, "records.json", store),
        inputs=_inputs(request.input_dir, store),
        references=references,
    )


def _inputs(folder: str, store: Store) -> ArtifactRef:
    found = [
        TileInput(
            id=each.id,
            file=store.put_file(each.path, name=each.path.name),
            sidecar=store.put_file(each.sidecar, name=each.sidecar.name) if each.sidecar else None,
        )
        for each in list_inputs(folder).tiles
    ]
    return put(INPUTS, found, "tiles.json", store)


def _step(name: str, inputs: list[ArtifactRef], outputs: list[ArtifactRef], seconds: float) -> StepRecord:
    said = [tuple(f"{ref.name} {ref.digest[:8]}" for ref in refs) for refs in (inputs, outputs)]
    return StepRecord(
        step=name, key=name, status="ran", why="new", seconds=seconds, inputs=said[0], outputs=said[1], place="here"
    )
