"""`stagegate tiles refine`: opt_v1 tiles or a scene to opt_v2."""

from functools import partial
from typing import Annotated

import typer

from tasks.cli.flow_runner import run_flow
from tasks.cli.packages import installed
from tasks.cli.requests import checked, numbers
from tasks.contracts.errors import ConfigError
from tasks.contracts.report import FlowReport

COMMAND = "tiles refine"
Json = Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")]


def refine(
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Trained model: our folder, a .safetensors or a .pt file.")
    ],
    output_dir: Annotated[str, typer.Option("--output_dir", help="Gets the opt_v2 tiles; made if absent.")],
    input_dir: Annotated[
        str | None, typer.Option("--input_dir", help="Folder with opt_v1 tiles, or with scenes.")
    ] = None,
    scene: Annotated[str | None, typer.Option("--scene", help="One GeoTIFF instead of a folder.")] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", help="YAML (configs/hardware.lowvr.yaml, or the packaged preset of that name)."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch_size", help="Tiles at once (4).", min=1)] = None,
    device: Annotated[
        str, typer.Option("--device", help="cuda, cuda:N or cpu; without a GPU the CPU is used.")
    ] = "cuda",
    require_device: Annotated[bool, typer.Option("--require_device", help="Refuse to run without the GPU.")] = False,
    no_amp: Annotated[bool, typer.Option("--no_amp", help="No mixed precision: fp32.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip_existing/--no_skip_existing", help="Skip tiles whose finished output still fits.")
    ] = True,
    precision: Annotated[str | None, typer.Option("--precision", help="auto (default), fp32, bf16 or fp16.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes (as many as CPUs and memory allow).", min=1)
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option("--shard_size", help="Tiles that one step takes (512).", min=1)
    ] = None,
    missing_metadata: Annotated[
        str | None, typer.Option("--missing_metadata", help="published: the model sees June and 0 (default); unknown.")
    ] = None,
    range_policy: Annotated[
        str | None, typer.Option("--range_policy", help="For values outside 0..1: auto (default), strict, clip.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="reflectance = (DN + offset) / scale.")] = None,
    offset: Annotated[float | None, typer.Option("--offset", help="In DN (0).")] = None,
    compression: Annotated[str, typer.Option("--compression", help="Of the NPZ files: none, zlib1, zlib6.")] = "none",
    recursive: Annotated[bool, typer.Option("--recursive", help="Sub-folders too; their names are kept.")] = False,
    log_file: Annotated[str | None, typer.Option("--log_file", help="Appended (<output_dir>/inference.log).")] = None,
    window: Annotated[
        int | None, typer.Option("--window", help="Side of the windows of scenes, px (224).", min=1)
    ] = None,
    overlap: Annotated[int | None, typer.Option("--overlap", help="Of the windows, px (64).", min=0)] = None,
    bands: Annotated[
        str | None, typer.Option("--bands", help="Numbers of B02, B03, B04, B08 in a scene, for example 1,2,3,4.")
    ] = None,
    scene_dtype: Annotated[
        str, typer.Option("--scene_dtype", help="Type of a scene's output: input or float32.")
    ] = "input",
    reference_dir: Annotated[
        str | None, typer.Option("--reference_dir", help="Optical references of the same names, to judge against.")
    ] = None,
    quicklook: Annotated[int, typer.Option("--quicklook", help="Pictures of input and output.", min=0)] = 8,
    allow_empty: Annotated[
        bool, typer.Option("--allow_empty", help="An all-nodata tile is empty, not failed.")
    ] = False,
    checkpoint_sha256: Annotated[str | None, typer.Option("--checkpoint_sha256", help="Must match, else stop.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Plan only: counts, sizes, what would be skipped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Refine every tile of a folder, or one scene, and judge the result beside doing nothing and a simple filter."""
    from tasks.tiles.request import RefineRequest

    if (input_dir is None) == (scene is None):
        found = "neither" if input_dir is None else "both"
        raise ConfigError("names no single input", where=COMMAND, expected="--input_dir or --scene", found=found)
    request = checked(
        RefineRequest, COMMAND,
        checkpoint=checkpoint, input_dir=input_dir, scene=scene, output_dir=output_dir, config=config,
        batch_size=batch_size, device=device, require_device=require_device, no_amp=no_amp,
        skip_existing=skip_existing, precision=precision, workers=workers, shard_size=shard_size,
        missing_metadata=missing_metadata, range_policy=range_policy, scale=scale, offset=offset,
        compression=compression, recursive=recursive, log_file=log_file, window=window, overlap=overlap,
        bands=numbers(bands, "--bands"), scene_dtype=scene_dtype, reference_dir=reference_dir, quicklook=quicklook,
        allow_empty=allow_empty, checkpoint_sha256=checkpoint_sha256,
    )  # fmt: skip
    from tasks.cli.tiles_plan import check_torch, show_plan

    if dry_run:
        with installed():
            show_plan(request, as_json)
        return
    check_torch(request)
    from flows.refine_tiles import refine_tiles

    raise typer.Exit(run_flow(refine_tiles, request, as_json=as_json, dry=False, show=partial(_show, log_file)))


def _show(log_file: str | None, report: FlowReport) -> None:
    from tasks.cli.tiles_shown import show_refined

    show_refined(report, log_file)
