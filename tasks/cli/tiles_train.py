"""`stagegate tiles train`: a refiner from pairs of tiles, or from clean tiles that are degraded on the way."""

from functools import partial
from typing import Annotated

import typer

from tasks.cli.flow_runner import run_flow
from tasks.cli.requests import checked
from tasks.cli.tiles_refine import Json
from tasks.contracts.errors import ConfigError
from tasks.contracts.report import FlowReport

COMMAND = "tiles train"


def train(
    input_dir: Annotated[str, typer.Option("--input_dir", help="opt_v1 tiles; with --synthetic: clean tiles.")],
    output_dir: Annotated[str, typer.Option("--output_dir", help="Gets the checkpoint and its training log.")],
    target_dir: Annotated[
        str | None, typer.Option("--target_dir", help="Optical references of the same names.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Degrade the clean tiles instead of --target_dir.")
    ] = False,
    variant: Annotated[
        str, typer.Option("--variant", help="Backbone, for example v1_100, v2_300_tl, tiny, nano.")
    ] = "v1_100",
    backbone: Annotated[str | None, typer.Option("--backbone", help="Checkpoint made by import-backbone.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the training pairs (50).", min=1)] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer steps, instead of epochs.", min=1)] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Crops at once.", min=1)] = 8,
    crop: Annotated[int, typer.Option("--crop", help="Side of the training crops, px.", min=1)] = 224,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of head and conditioning.")] = 1e-4,
    lr_backbone: Annotated[
        float, typer.Option("--lr_backbone", help="Learning rate of the free blocks of the backbone.")
    ] = 1e-5,
    val_fraction: Annotated[float, typer.Option("--val_fraction", help="Of the scenes, for validation.")] = 0.15,
    unfreeze_blocks: Annotated[
        int, typer.Option("--unfreeze_blocks", help="Last blocks of the backbone that learn (nano, tiny: all).", min=0)
    ] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Weights, order and crops follow from it.", min=0)] = 42,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last saved state of the same request.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="cuda, cuda:N or cpu; without a GPU the CPU is used.")
    ] = "cuda",
    require_device: Annotated[bool, typer.Option("--require_device", help="Refuse to run without the GPU.")] = False,
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train a refiner; it is promoted only where it beats doing nothing on scenes that it has not seen."""
    from tasks.tiles.request import TrainTilesRequest

    if (target_dir is None) != synthetic:
        found = "both" if synthetic else "neither"
        raise ConfigError(
            "needs one kind of target", where=COMMAND, expected="--target_dir or --synthetic", found=found
        )
    if epochs is not None and steps is not None:
        raise ConfigError("has two lengths", where=COMMAND, expected="--epochs or --steps", found="both")
    length = {name: value for name, value in (("epochs", epochs), ("steps", steps)) if value is not None}
    request = checked(
        TrainTilesRequest, COMMAND,
        input_dir=input_dir, target_dir=target_dir, synthetic=synthetic, output_dir=output_dir, variant=variant,
        backbone=backbone, batch_size=batch_size, crop=crop, lr=lr, lr_backbone=lr_backbone, val_fraction=val_fraction,
        unfreeze_blocks=unfreeze_blocks, seed=seed, resume=resume, device=device, require_device=require_device,
        precision=precision, **length,
    )  # fmt: skip
    from flows.train_tiles import train_tiles

    raise typer.Exit(run_flow(train_tiles, request, as_json=as_json, dry=False, show=partial(_show, output_dir)))


def _show(output_dir: str, report: FlowReport) -> None:
    from tasks.cli.tiles_shown import show_scores

    show_scores(report.metrics)
    for warning in report.warnings:
        print(f"warning: {warning}")
    for name, reason in report.missing.items():
        print(f"missing: {name}: {reason}")
    print(f"\n{report.status}: {report.cache['steps']} steps, {report.cache['hits']} cached")
    print(f"output       {report.run_folder or output_dir}")
    for name, file in report.artifacts.items():
        print(f"{name:<12} {file.path}")
