"""`stagegate tiles refine --dry_run`: what a run would do, with nothing read but headers and nothing written."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.cli.answers import answer, print_answer
from tasks.cli.packages import absent
from tasks.tiles.request import RefineRequest

OPTIONS = (
    "batch_size", "workers", "precision", "missing_metadata", "range_policy", "scale", "offset", "window", "overlap",
)  # fmt: skip
SKIPPED = "would skip"
NO_TILES = {"found": 0, "failed": 0, "resumed": 0, "to_do": 0, "reasons": {}, "buckets": {}, "shards": 0}


def show_plan(request: RefineRequest, as_json: bool) -> None:
    """Print counts, sizes and what would be skipped, and why not the rest."""
    plan, warnings = plan_of(request)
    out = sys.stderr if as_json else sys.stdout
    for line in _lines(plan):
        print(line, file=out)
    for warning in warnings:
        print(f"warning: {warning}", file=out)
    if as_json:
        print_answer(answer("planned", plan=plan, warnings=warnings))


def check_torch(request: RefineRequest) -> None:
    """Raise DependencyError where this machine is to compute and cannot; finished folders need no torch."""
    from tasks.orchestration.settings import read_settings

    if find_spec("torch") is not None or read_settings().executor != "inprocess":
        return
    plan, _ = plan_of(request)
    if plan["to_do"] or any(state != SKIPPED for state in plan["scenes"].values()):
        raise absent("torch")


def settings_of(request: RefineRequest) -> Any:
    """The settings of a run: options over the configuration file."""
    from tasks.tiles.config import load_config

    options = {name: getattr(request, name) for name in OPTIONS} | {"no_amp": request.no_amp or None}
    return load_config(request.config, request.config is not None, options)


def plan_of(request: RefineRequest) -> tuple[dict[str, Any], list[str]]:
    """Counts, sizes and reasons, and warnings. Raises what a run raises before its first tile."""
    from tasks.tiles.dry_run import dry_run
    from tasks.tiles.listing import list_inputs, one_scene

    request = _placed(request)
    settings = settings_of(request)
    run = _folder_run(request, settings)
    if request.scene is not None:
        listing, plan = one_scene(Path(request.scene)), dict(NO_TILES)
    else:
        listing, plan = list_inputs(request.input_dir, request.recursive), dry_run(run)
    if plan["to_do"] and not request.skip_existing:
        plan["reasons"] = {"not skipped": plan["to_do"]}
    plan["scenes"] = _scenes(listing.scenes, run, request)
    warnings = [*settings.warnings, *(f"ignored: {name}" for name in listing.ignored)]
    if listing.orphan_sidecars:
        warnings.append(f"{len(listing.orphan_sidecars)} sidecars without a tile")
    return plan, warnings


def _folder_run(request: RefineRequest, settings: Any) -> Any:
    from tasks.tiles.folder_run import FolderRun

    return FolderRun(
        checkpoint=request.checkpoint,
        input_dir=request.input_dir or "",
        output_dir=request.output_dir,
        config=settings.tiles,
        batch_size=settings.batch_size,
        device=request.device,
        shard_size=request.shard_size or FolderRun.shard_size,
        skip_existing=request.skip_existing,
        compression=request.compression,
        recursive=request.recursive,
        allow_empty=request.allow_empty,
        checkpoint_sha256=request.checkpoint_sha256,
    )


def _scenes(scenes: Sequence[Any], run: Any, request: RefineRequest) -> dict[str, str]:
    """What would become of each scene: `would skip`, or why it would be refined."""
    if not scenes:
        return {}
    from tasks.contracts.tile_errors import TileError
    from tasks.tiles.folder_run import job_of
    from tasks.tiles.scene import SceneOptions
    from tasks.tiles.scene_input import scene_digests
    from tasks.tiles.scene_output import SceneRun
    from tasks.tiles.scene_resume import find_scene
    from tasks.tiles.which_model import which_model

    model = which_model(Path(run.checkpoint), run.checkpoint_sha256)
    options = SceneOptions(model.patch, request.bands, request.scene_dtype)
    job = SceneRun(Path(run.output_dir), run.config, options, job_of(run, model).facts)
    told = {}
    for found in scenes:
        try:
            finding = find_scene(found, scene_digests(found), job) if run.skip_existing else None
        except TileError as error:
            told[found.id] = f"unreadable: {error}"
            continue
        told[found.id] = "not skipped" if finding is None else finding.reason if finding.record is None else SKIPPED
    return told


def _lines(plan: dict[str, Any]) -> list[str]:
    lines = [f"found        {plan['found']} tiles, {len(plan['scenes'])} scenes"]
    if plan["found"]:
        lines += [f"unreadable   {plan['failed']}"] if plan["failed"] else []
        lines += [f"would skip   {plan['resumed']} that are finished and fit"]
        lines += [f"would refine {count}: {reason}" for reason, count in plan["reasons"].items()]
        lines += [f"padded to    {size}: {count} tiles" for size, count in plan["buckets"].items()]
        lines += [f"shards       {plan['shards']}"]
    return [*lines, *(f"scene        {name}: {state}" for name, state in plan["scenes"].items())]


def _placed(request: RefineRequest) -> RefineRequest:
    """The request with its paths where a run would look for them."""
    from tasks.orchestration.settings import read_settings
    from tasks.store.rooted import data_below, result_below

    settings, changes = read_settings(), {}
    if settings.data_root is not None:
        names = [name for name in ("checkpoint", "input_dir", "scene", "config") if getattr(request, name) is not None]
        changes = {name: data_below(getattr(request, name), settings.data_root, remote=False) for name in names}
    if settings.results is not None:
        changes["output_dir"] = result_below(request.output_dir, settings.results, "output_dir")
    return request.model_copy(update=changes)
