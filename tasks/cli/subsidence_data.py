"""`stagegate subsidence prepare | simulate | convert-scaler`: handoffs from panels or a twin city, scaler JSON."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tasks.cli.answers import answer, print_answer
from tasks.contracts.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")]


def prepare(
    csv: Annotated[
        Path, typer.Option("--csv", help="Panel: longitude, latitude, year, cumulative subsidence, depth to water ...")
    ],
    city: Annotated[str, typer.Option("--city", help="Name of the place, used in file names.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the handoff.")],
    model: Annotated[str, typer.Option("--model", help="Flavour noted in the manifest.")] = "GeoPriorSubsNet",
    time_steps: Annotated[int, typer.Option("--time-steps", help="History years of a window.")] = 5,
    horizon: Annotated[int, typer.Option("--horizon", help="Target years of a window.")] = 3,
    mode: Annotated[str, typer.Option("--mode", help="tft_like or pihal_like.")] = "tft_like",
    train_end_year: Annotated[
        int | None, typer.Option("--train-end-year", help="Last year shown (last of the panel).")
    ] = None,
    holdout: Annotated[str, typer.Option("--holdout", help="random, spatial_block or temporal.")] = "random",
    block_m: Annotated[float, typer.Option("--block-m", help="Side of a block of spatial_block, m.")] = 2000.0,
    val_frac: Annotated[float, typer.Option("--val-frac", help="Share of the points for validation.")] = 0.2,
    test_frac: Annotated[float, typer.Option("--test-frac", help="Share of the points for test.")] = 0.1,
    epsg: Annotated[
        int | None, typer.Option("--epsg", help="Projected system in metres (UTM zone of the city).")
    ] = None,
    unit_subs: Annotated[str, typer.Option("--unit-subs", help="mm, cm or m.")] = "mm",
    unit_depth: Annotated[str, typer.Option("--unit-depth", help="m, cm or mm.")] = "m",
    unit_thickness: Annotated[str, typer.Option("--unit-thickness", help="m, cm or mm.")] = "m",
    cap_thickness: Annotated[float, typer.Option("--cap-thickness", help="m; thicker ground is censored.")] = 30.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 42,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="ROLE=COLUMN", help="Column that plays a role.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Panel CSV to a valid handoff: complete groups, SI units, split by place, scalers fitted on train only."""
    from tasks.subsidence.prepare import prepare as run

    options = _options(
        city=city, model=model, time_steps=time_steps, horizon=horizon, mode=mode, train_end_year=train_end_year,
        holdout=holdout, block_m=block_m, val_frac=val_frac, test_frac=test_frac, epsg=epsg, unit_subs=unit_subs,
        unit_depth=unit_depth, unit_thickness=unit_thickness, cap_thickness=cap_thickness, seed=seed,
        columns=_columns(sets or []), timestamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )  # fmt: skip
    _show(run(csv, out, options), as_json)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for panel, truth and handoff.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="One seed is one city.")] = 42,
    points: Annotated[int, typer.Option("--points", help="Sampled places.")] = 2000,
    grid: Annotated[int, typer.Option("--grid", help="Cells along each side.")] = 64,
    years: Annotated[int, typer.Option("--years", help="Observed years.")] = 12,
    city: Annotated[str, typer.Option("--city", help="Name of the twin city.")] = "twin",
    holdout: Annotated[str, typer.Option("--holdout", help="random, spatial_block or temporal.")] = "random",
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Observe with noise, or exactly.")] = True,
    as_json: Json = False,
) -> None:
    """A twin city whose ground is known: panel CSV, truth.npz and a handoff made of them."""
    from tasks.subsidence.twin import TwinRequest, write_twin

    request = _checked(
        TwinRequest, seed=seed, points=points, grid=grid, years=years, city=city, holdout=holdout, noise=noise
    )
    _show(write_twin(request, out), as_json)


def convert_scaler(
    file: Annotated[Path, typer.Argument(help="A joblib file of a MinMaxScaler.")],
    allow_sha256: Annotated[
        str, typer.Option("--allow-sha256", metavar="HEX", help="The digest you trust; nothing else is opened.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write the JSON here instead of to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Turn one joblib scaler into JSON, in a process of its own without network; only the digest that you name."""
    from tasks.subsidence.handoff.convert import convert_scaler as run
    from tasks.subsidence.stage1.publish import write_bytes

    scaler = run(file, allow_sha256=allow_sha256)
    text = json.dumps(scaler, indent=2, sort_keys=True) + "\n"
    written = {}
    if out is not None:
        write_bytes(out, text.encode())
        written = {out.name: {"path": str(out), "sha256": hashlib.sha256(text.encode()).hexdigest()}}
    if as_json:
        print_answer(answer("complete", scaler=scaler, artifacts=written))
    elif out is None:
        print(text, end="")


def _options(**values: Any) -> Any:
    from tasks.subsidence.stage1.prepare_types import PrepareOptions

    return _checked(PrepareOptions, **values)


def _checked(kind: type, /, **values: Any) -> Any:
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + ".".join(map(str, first["loc"])).replace("_", "-") if first["loc"] else "options"
        raise ConfigError(
            f"{name} is not usable",
            expected=first["msg"],
            found=repr(first["input"]),
            remedy="See --help for the range.",
        ) from None


def _columns(sets: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in sets]
    bad = [role for role, sign, column in pairs if not (role and sign and column)]
    if bad:
        raise ConfigError("--set is not ROLE=COLUMN", found=bad[0], remedy="For example --set subsidence=subs_cum_mm.")
    return {role: column for role, _, column in pairs}


def _show(prepared: Any, as_json: bool) -> None:
    if as_json:
        digest = hashlib.sha256(prepared.manifest.read_bytes()).hexdigest()
        print_answer(
            answer(
                "complete",
                manifest=str(prepared.manifest),
                splits=prepared.split_sizes,
                dropped_rows=prepared.dropped_rows,
                dropped_groups=prepared.dropped_groups,
                artifacts={"manifest.json": {"path": str(prepared.manifest), "sha256": digest}},
                warnings=list(prepared.warnings),
            )
        )
        return
    print(f"manifest  {prepared.manifest}")
    print("windows   " + ", ".join(f"{name} {count}" for name, count in prepared.split_sizes.items()))
    for title, dropped in (("rows", prepared.dropped_rows), ("groups", prepared.dropped_groups)):
        for reason, count in dropped.items():
            print(f"dropped   {count} {title}: {reason}")
    for warning in prepared.warnings:
        print(f"warning   {warning}")
