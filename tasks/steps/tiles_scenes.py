"""Between `infer_scene` and the output folder: what is finished is skipped, what comes is put there and judged."""

from collections.abc import Callable
from pathlib import Path

from tasks.contracts.errors import BlobMissingError
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.orchestration.fan_out import each
from tasks.orchestration.run import Run, current_run
from tasks.steps.evaluate_oracle import evaluate_scene
from tasks.steps.infer import infer_scene
from tasks.steps.tiles_given import Given
from tasks.store.telemetry import load_telemetry
from tasks.tiles.flow.shards import LocalBytes
from tasks.tiles.flow.types import JudgedScene, ModelRefs, RefinedScene, run_facts
from tasks.tiles.job import Finding
from tasks.tiles.listing import SCENE_SUFFIXES, InputFile
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.refine_scenes import set_aside
from tasks.tiles.scene import SceneOptions
from tasks.tiles.scene_input import SceneDigests
from tasks.tiles.scene_output import SceneRun, scene_document
from tasks.tiles.scene_resume import find_scene
from tasks.tiles.writer import commit

Named = tuple[InputFile, TileInput]


def refined_scenes(given: Given, model: ModelRefs) -> tuple[JudgedScene, ...]:
    """Every scene refined, put into the output folder and judged; those without an output are in the books alone."""
    stored = {scene.id: scene for scene in given.scenes}
    named = [(found, stored[found.id]) for found in given.listing.scenes if found.id in stored]
    return tuple(found for found in each(_scene_call(given, model, current_run()), named) if found is not None)


def would_refine(given: Given, model: ModelRefs) -> None:
    """Tell a dry run of the scenes."""
    for scene in given.scenes:
        infer_scene(scene, model, given.settings.tiles, given.form, given.manner)


def _scene_call(given: Given, model: ModelRefs, run: Run) -> Callable[[Named], JudgedScene | None]:
    delivery, config, form = given.delivery, given.settings.tiles, given.form
    options = SceneOptions(model.patch, form.bands, form.dtype, given.manner.batch_size)
    job = SceneRun(delivery.folder.path, config, options, run_facts(model, config, given.manner))

    def call(named: Named) -> JudgedScene | None:
        found, scene = named
        finding = _finding(found, scene, job) if given.request.skip_existing else Finding(None, "not skipped")
        if finding.record is not None:
            record = _resumed(finding.record, found, given, run)
        else:
            result = infer_scene(scene, model, config, form, given.manner)
            record = _named(result.record, found).model_copy(update={"reason": finding.reason})
            _deliver(record, result, scene, job.facts, given, run)
        delivery.records[record.id] = record
        delivery.journal.add([record], delivery.watch.ledger.milliseconds)
        return None if record.output is None else evaluate_scene(scene, record.output, config, form)

    return call


def _named(record: TileRecord, found: InputFile) -> TileRecord:
    """With the output named after the file that is there: a result that is remembered may be of an earlier name."""
    if record.output is None:
        return record
    output = record.output.model_copy(update={"name": f"{found.id}{found.path.suffix}"})
    return record.model_copy(update={"output": output})


def _finding(found: InputFile, scene: TileInput, job: SceneRun) -> Finding:
    sidecar = None if scene.sidecar is None else scene.sidecar.digest
    return find_scene(found, SceneDigests((), scene.file.digest, sidecar), job)


def _resumed(record: TileRecord, found: InputFile, given: Given, run: Run) -> TileRecord:
    """A scene that was finished before, with its bytes in the store."""
    if not run.store.holds(record.output):
        run.store.put_file(given.delivery.folder.path / record.output.name, name=record.output.name)
    given.delivery.watch.tile(record, 0.0, ())
    return record


def _deliver(
    record: TileRecord, result: RefinedScene, scene: TileInput, facts: RunFacts, given: Given, run: Run
) -> None:
    """COG, then the JSON that marks it as done; what a failed or renamed scene had before is set aside."""
    folder = given.delivery.folder
    milliseconds = load_telemetry(run.store, run.key_of(result)).get("milliseconds", {}).get(record.id, 0.0)
    if record.output is None:
        folder.failed(record)
    else:
        if not run.store.holds(record.output):
            remedy = "Run again; it is computed anew."
            raise BlobMissingError("is not in the store, or was damaged", where=record.output.name, remedy=remedy)
        image = Path(LocalBytes(run.store, given.delivery.own)(record.output))
        meta = read_sidecar(None if scene.sidecar is None else run.store.get_bytes(scene.sidecar), scene.id)
        section = run.store.get_json(result.sidecar)
        document = scene_document(meta, record, facts, section, processing_time_ms=milliseconds)
        suffix = Path(record.output.name).suffix
        commit(folder.path, record.id, image, document, suffix=suffix)
        set_aside(folder.path, *(f"{record.id}{other}" for other in SCENE_SUFFIXES if other != suffix))
        folder.settle()
    given.delivery.watch.tile(record, milliseconds, record.warnings)
