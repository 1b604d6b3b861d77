"""The two uncached ends of `train-tiles`: folders become references, a trained model becomes a checkpoint folder."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.report import ExportedFile, FlowReport
from tasks.contracts.tile_errors import InputDirError, NotBetterThanIdentityError
from tasks.contracts.tiles import TileInput
from tasks.orchestration import ui
from tasks.orchestration.run import Pending, Run, current_run
from tasks.steps.tiles_training_output import NOT_PROMOTED, held, place
from tasks.store.rooted import data_below, result_below
from tasks.tiles.checkpoint_files import WEIGHTS_NAME
from tasks.tiles.flow.checkpoints import ingest_checkpoint
from tasks.tiles.flow.same_training import check_same, existing, is_promoted
from tasks.tiles.flow.shards import put
from tasks.tiles.flow.training import PAIRS, PairInput, StartingPoint, TrainedTiles, TrainingSet
from tasks.tiles.listing import InputFile, list_inputs
from tasks.tiles.pair_files import PairFiles
from tasks.tiles.pairs import open_pairs
from tasks.tiles.references import strength_of
from tasks.tiles.request import TrainTilesRequest
from tasks.tiles.train_job import TrainJob
from tasks.tiles.variants import model_config


@dataclass(frozen=True)
class GivenPairs:
    """A request with everything that it names in the store."""

    request: TrainTilesRequest
    data: TrainingSet
    start: StartingPoint
    job: TrainJob


@contextmanager
def paired(request: TrainTilesRequest) -> Iterator[GivenPairs]:
    """The request with its output folder, which is this run's alone for the length of the block.

    Raises ConfigError and its kind before anything is trained, also where a finished checkpoint would be lost.
    """
    run = current_run()
    run.accelerator = "none" if request.device == "cpu" else "required" if request.require_device else "preferred"
    request = _placed(request, run)
    model_config(request.variant)
    _check_sources(request)
    tiles = list_inputs(request.input_dir).tiles
    with nullcontext() if run.dry else held(Path(request.output_dir)):
        _check_output(request)
        backbone = None if request.backbone is None else ingest_checkpoint(Path(request.backbone), None, run.store)
        start = StartingPoint(variant=request.variant, backbone=backbone)
        data, files = _training_set(tiles, request, run)
        _check_pairs(request, data, files)
        yield GivenPairs(request, data, start, _job(request))


def kept(given: GivenPairs, trained: TrainedTiles) -> FlowReport | Pending:
    """The checkpoint in the output folder. Raises NotBetterThanIdentityError, after it was written.

    One that never beat the identity takes no promoted one's place. Raises ConfigError where the one that is there came
    from another training.
    """
    run = current_run()
    if run.dry:
        return Pending("keep")
    folder = Path(given.request.output_dir)
    there = existing(folder)
    if there is not None:
        check_same(there, run.store.get_json(trained.checkpoint.config), str(folder))
    beside = there is not None and is_promoted(there) and not trained.better
    below, log = NOT_PROMOTED if beside else "", _csv(run.store.get_json(trained.log))
    written = place(trained.checkpoint, log, folder, below, run.store)
    run.warnings += trained.warnings
    report = FlowReport(
        status="complete",
        flow_run_id=run.flow_run_id,
        run_folder=str(folder / below),
        metrics=trained.metrics,
        artifacts={name: _exported(path) for name, path in written.items()},
        cache=run.cache_counts(),
        warnings=tuple(run.warnings),
    )
    _show(run, trained, report)
    if not trained.better:
        raise NotBetterThanIdentityError(
            "never beat the identity on the validation scenes; it is kept and not promoted"
            + (f", and the promoted checkpoint stays in {folder}" if beside else ""),
            where=str(folder / below),
            found=trained.text,
            remedy="Train for longer, lower the learning rate, or look at the targets.",
        )
    return report


def _check_sources(request: TrainTilesRequest) -> None:
    if (request.target_dir is None) != request.synthetic:
        raise ConfigError(
            "needs targets, or synthetic pairs",
            where="train",
            expected="one of --target_dir and --synthetic",
            found="both" if request.synthetic else "neither",
        )


def _check_output(request: TrainTilesRequest) -> None:
    """Raises ConfigError where the folder holds a checkpoint that is not to be replaced, or is of another training."""
    folder, job = Path(request.output_dir), _job(request)
    if (folder / WEIGHTS_NAME).exists() and not request.resume:
        raise ConfigError(
            "holds a checkpoint already",
            where=request.output_dir,
            remedy="Choose another --output_dir, or pass --resume to go on with the same request and replace it.",
        )
    there = existing(folder)
    if there is not None:
        asked = {"variant": request.variant, "training": {"settings": job.model_dump(mode="json")}}
        origin = {"origin": {"file": None, "seed": job.seed}} if request.backbone is None else {}
        check_same(there, asked | origin, str(folder))


def _check_pairs(request: TrainTilesRequest, data: TrainingSet, files: list[PairFiles]) -> None:
    """Raises ConfigError where the checkpoint in the folder was trained on other pairs."""
    folder, job = Path(request.output_dir), _job(request)
    there = existing(folder)
    if there is None:
        return
    pairs = open_pairs(
        files,
        job.tiles,
        synthetic=data.synthetic,
        oracle_strength=data.oracle_strength,
        seed=job.seed,
        num_frames=there["num_frames"],
    )
    check_same(there, {"training": {"data": {"id": pairs.data_id}}}, str(folder))


def _training_set(
    tiles: tuple[InputFile, ...], request: TrainTilesRequest, run: Run
) -> tuple[TrainingSet, list[PairFiles]]:
    targets = {} if request.target_dir is None else _targets(Path(request.target_dir), run)
    paths = [path for found in tiles for path in (found.path, found.sidecar) if path]
    refs = iter(run.store.put_files(paths))
    inputs = [TileInput(id=found.id, file=next(refs), sidecar=next(refs) if found.sidecar else None) for found in tiles]
    pairs = [PairInput(tile=tile, target=targets.get(tile.id)) for tile in inputs]
    if request.target_dir is not None:
        lacking = [pair.tile.id for pair in pairs if pair.target is None]
        pairs = [pair for pair in pairs if pair.target is not None]
        _say_lacking(lacking, len(pairs), request, run)
    strength = "physics_derived" if request.synthetic else strength_of(Path(request.target_dir))[0]
    reference = put(PAIRS, pairs, "pairs.json", run.store)
    there = {found.id: found for found in tiles}
    files = [_files(there[pair.tile.id], request.target_dir) for pair in pairs]
    return TrainingSet(pairs=reference, synthetic=request.synthetic, oracle_strength=strength), files


def _files(found: InputFile, target_dir: str | None) -> PairFiles:
    target = None if target_dir is None else Path(target_dir) / f"{found.id}.npz"
    return PairFiles(found.id, found.path, found.sidecar, target)


def _targets(folder: Path, run: Run) -> dict[str, ArtifactRef]:
    found = list_inputs(folder).tiles
    return {each.id: ref for each, ref in zip(found, run.store.put_files(each.path for each in found), strict=True)}


def _say_lacking(lacking: list[str], left: int, request: TrainTilesRequest, run: Run) -> None:
    if not left:
        raise InputDirError(
            "holds no target of any tile",
            where=request.target_dir,
            expected="<id>.npz with the ids of the tiles",
            found=f"targets for none of {len(lacking)} tiles",
        )
    if lacking:
        run.warnings.append(f"{len(lacking)} tiles without a target are left out: {', '.join(lacking[:5])}")


def _job(request: TrainTilesRequest) -> TrainJob:
    shared = set(TrainJob.model_fields) & set(TrainTilesRequest.model_fields) - {"device", "precision"}
    return TrainJob(**{name: getattr(request, name) for name in shared})


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, fieldnames=list(names) or ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _exported(path: Path) -> ExportedFile:
    import hashlib

    with path.open("rb") as file:
        return ExportedFile(path=str(path), sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _show(run: Run, trained: TrainedTiles, report: FlowReport) -> None:
    name = run.label()
    verdict = "better than doing nothing" if trained.better else "**not better than doing nothing: not promoted**"
    lines = [
        f"# {name}: {verdict}",
        trained.text,
        f"Checkpoint `{trained.id[:12]}` in `{report.run_folder}`",
        *(f"- {warning}" for warning in report.warnings),
    ]
    ui.show_markdown(f"summary-{name}", "\n\n".join(lines), "Summary")
    rows = [{"figure": key, "value": f"{value:.4g}"} for key, value in report.metrics.items() if value is not None]
    ui.show_table(f"scores-{name}", rows, "Scores on the validation scenes, beside the baselines")
    ui.show_table(f"lineage-{name}", ui.lineage_rows(run.steps), "What each step read and made")


def _placed(request: TrainTilesRequest, run: Run) -> TrainTilesRequest:
    """The request with its paths where the settings allow them."""
    changes: dict[str, str] = {}
    if run.settings.data_root is not None:
        for name in ("input_dir", "target_dir", "backbone"):
            if (text := getattr(request, name)) is not None:
                changes[name] = data_below(text, run.settings.data_root, remote=False)
    if run.settings.results is not None:
        changes["output_dir"] = result_below(request.output_dir, run.settings.results, "output_dir")
    return request.model_copy(update=changes)
