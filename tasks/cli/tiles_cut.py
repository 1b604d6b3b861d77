"""`stagegate tiles cut`: a scene or a stack of dates to NPZ tiles with sidecars."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli.answers import answer, print_answer
from tasks.cli.packages import installed
from tasks.cli.requests import numbers
from tasks.cli.tiles_refine import Json
from tasks.contracts.errors import ConfigError, MissingInputError

COMMAND = "tiles cut"
STACKS = (".nc", ".nc4", ".netcdf")


def cut(
    source: Annotated[Path, typer.Option("--source", help="GeoTIFF, or a netCDF stack of dates.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Gets <name>.npz and <name>.json for each tile.")],
    size: Annotated[
        int | None, typer.Option("--size", help="Side of a tile, px; a stack may stay whole.", min=2)
    ] = None,
    bands: Annotated[
        str | None, typer.Option("--bands", help="Numbers of B02, B03, B04, B08 in a GeoTIFF, for example 1,2,3,4.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="reflectance = (DN + offset) / scale.")] = None,
    offset: Annotated[float, typer.Option("--offset", help="In DN.")] = 0.0,
    nodata: Annotated[
        float | None, typer.Option("--nodata", help="DN without data, where the file does not say.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For every sidecar, for example month=7.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Whole tiles of a scene, or every date of a stack; months of a stack come from its time axis."""
    if not source.is_file():
        raise MissingInputError("does not exist", where=str(source), remedy="Check --source.")
    metadata = dict(_pair(text) for text in sets or ())
    units = {"scale": scale, "offset": offset, "nodata": nodata, "metadata": metadata}
    with installed():
        made = _cut(source, output_dir, size, bands, units)
    warnings = _left(made)
    if as_json:
        print_answer(answer("complete", input_dir=str(output_dir), tiles=len(made.ids), warnings=warnings))
        return
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"tiles        {output_dir} ({len(made.ids)})")


def _cut(source: Path, output_dir: Path, size: int | None, bands: str | None, units: dict[str, Any]) -> Any:
    if source.suffix.lower() in STACKS:
        from tasks.tiles.cut_stack import cut_stack

        if bands is not None:
            raise ConfigError(
                "means nothing for a stack", where="--bands", remedy="Its variables carry the band codes."
            )
        return cut_stack(source, output_dir, size, **units)
    from tasks.tiles.cut import cut_scene

    if size is None:
        raise ConfigError("is needed for a scene", where="--size", expected="the side of a tile, px")
    return cut_scene(source, output_dir, size, bands=numbers(bands, "--bands"), **units)


def _left(made: Any) -> list[str]:
    left = [f"{count} {name}" for name, count in (("rows", made.rows_left), ("columns", made.columns_left)) if count]
    return [f"{' and '.join(left)} at the border make no whole tile and were left out"] if left else []


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError("--set is not KEY=VALUE", where=COMMAND, found=text, remedy="For example --set month=7.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
