"""`stagegate tiles verify | import-backbone | make-sample`."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli.answers import answer, print_answer
from tasks.cli.packages import installed
from tasks.cli.tiles_refine import Json


def verify(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Finished folder of refined tiles.")],
    as_json: Json = False,
) -> None:
    """Hash every output again. Exit code 1 where one is damaged, missing or unmarked, or where there is none."""
    from tasks.tiles.verify import verify as check

    found = check(output_dir)
    if as_json:
        faults = [fault.model_dump() for fault in found.faults]
        print_answer(answer("complete" if found.intact else "incomplete", tiles=len(found.tiles), faults=faults))
    else:
        print(found.text)
    raise typer.Exit(0 if found.intact else 1)


def import_backbone(
    weights: Annotated[
        Path, typer.Option("--weights", help="Published encoder: .safetensors, or a .pt of tensors only.")
    ],
    sha256: Annotated[str, typer.Option("--sha256", help="Digest of the file that its supplier gives.")],
    variant: Annotated[str, typer.Option("--variant", help="Backbone, for example v1_100, v2_300_tl.")],
    output: Annotated[Path, typer.Option("--output", help="Folder for the checkpoint.")],
    licence: Annotated[
        str, typer.Option("--licence", help="Of the weights, as their supplier states it.")
    ] = "not stated",
    num_frames: Annotated[int, typer.Option("--num_frames", help="Dates in one tile.", min=1, max=4)] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of the new head.", min=0)] = 42,
    as_json: Json = False,
) -> None:
    """A checkpoint from published weights and a new head; until it is trained it is the identity."""
    with installed():
        from tasks.tiles.import_backbone import import_backbone as bring_in

        identity = bring_in(weights, sha256, variant, output, licence=licence, num_frames=num_frames, seed=seed)
    if as_json:
        files = {name: _file(output / name) for name in ("config.json", "model.safetensors")}
        print_answer(answer("complete", checkpoint=str(output), checkpoint_id=identity, artifacts=files))
        return
    print(f"checkpoint   {output}")
    print(f"id           {identity}")
    print("its head is new: it is the identity until it is trained (stagegate tiles train --backbone)")


def make_sample(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for tiles, references and checkpoint.")],
    count: Annotated[int, typer.Option("--count", help="Tiles.", min=1)] = 64,
    size: Annotated[list[int] | None, typer.Option("--size", help="Side, px (120); repeat it for mixed sizes.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="One seed is one set of tiles.", min=0)] = 42,
    head_scale: Annotated[
        float, typer.Option("--head_scale", help="Of the checkpoint's random head; 0: the identity.", min=0.0)
    ] = 0.0,
    nodata: Annotated[bool, typer.Option("--nodata", help="Leave parts of the tiles without data.")] = False,
    cloud: Annotated[bool, typer.Option("--cloud", help="With clouds.")] = False,
    as_json: Json = False,
) -> None:
    """Made-up tiles with sidecars, their clean references and a small checkpoint, to try everything on."""
    from tasks.tiles.sample import make_sample as write

    with installed():
        import torch  # noqa: F401 - before anything is written

        made = write(output_dir, count, tuple(size or (120,)), seed, nodata, cloud, head_scale)
    if as_json:
        places = {"input_dir": made.tiles, "reference_dir": made.reference, "checkpoint": made.checkpoint}
        print_answer(answer("complete", tiles=count, **{name: str(place) for name, place in places.items()}))
        return
    print(f"tiles        {made.tiles} ({count})")
    print(f"references   {made.reference}")
    print(f"checkpoint   {made.checkpoint}")
    print(f"stagegate tiles refine --checkpoint {made.checkpoint} --input_dir {made.tiles} --output_dir OUT")


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"path": str(path), "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
