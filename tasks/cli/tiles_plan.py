"""`stagegate tiles refine --dry_run`: what a run would do, with nothing read but headers and nothing written."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.cli.answers import answer, print_answer
from tasks.cli.packages import absent
from tasks.contracts.errors import ConfigError
from tasks.tiles.request import RefineRequest

OPTIONS = (
    "batch_size", "workers", "precision", "missing_metadata", "range_policy", "scale", "offset", "window", "overlap",
)  # fmt: skip


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
    if plan["to_do"] or plan["scenes"]:
        raise absent("torch")


def settings_of(request: RefineRequest) -> Any:
    """The settings of a run: options over the configuration file."""
    from tasks.tiles.config import load_config

    options = {name: getattr(request, name) for name in OPTIONS} | {"no_amp": request.no_amp or None}
    return load_config(request.config, request.config is not None, options)


def plan_of(request: RefineRequest) -> tuple[dict[str, Any], list[str]]:
    """Counts, sizes and reasons, and warnings. Raises what a run raises before its first tile."""
    from tasks.tiles.dry_run import dry_run
    from tasks.tiles.folder_run import FolderRun
    from tasks.tiles.listing import list_inputs

    request = _placed(request)
    settings = settings_of(request)
    if request.scene is not None:
        if not Path(request.scene).is_file():
            raise ConfigError("does not exist", where=request.scene, remedy="Check --scene.")
        return {"found": 0, "to_do": 0, "scenes": 1}, list(settings.warnings)
    listing = list_inputs(request.input_dir, request.recursive)
    run = FolderRun(
        checkpoint=request.checkpoint,
        input_dir=request.input_dir,
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
    plan = dry_run(run)
    if not request.skip_existing:
        plan |= {"reasons": {"not skipped": plan["to_do"]}}
    warnings = [*settings.warnings, *(f"ignored: {name}" for name in listing.ignored)]
    if listing.orphan_sidecars:
        warnings.append(f"{len(listing.orphan_sidecars)} sidecars without a tile")
    return plan | {"scenes": len(listing.scenes)}, warnings


def _lines(plan: dict[str, Any]) -> list[str]:
    lines = [f"found        {plan['found']} tiles, {plan['scenes']} scenes"]
    if not plan["found"]:
        return lines
    lines += [f"unreadable   {plan['failed']}"] if plan["failed"] else []
    lines += [f"would skip   {plan['resumed']} that are finished and fit"]
    lines += [f"would refine {count}: {reason}" for reason, count in plan["reasons"].items()]
    lines += [f"padded to    {size}: {count} tiles" for size, count in plan["buckets"].items()]
    return [*lines, f"shards       {plan['shards']}"]


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
