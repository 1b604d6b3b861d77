"""`stagegate tiles evaluate`: a finished folder against its input and, where there are any, references."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli.answers import answer, print_answer
from tasks.cli.requests import checked
from tasks.cli.tiles_refine import Json
from tasks.contracts.errors import ConfigError, HandshakeError

COMMAND = "tiles evaluate"
RUN_CONFIG = ".stagegate/run_config.json"
REFUSED = ("no_refinement", "no_tiles", "implausible")
RECORDED = ("config", "range_policy", "scale", "offset", "window", "overlap")


def evaluate(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder of refined tiles.")],
    input_dir: Annotated[str | None, typer.Option("--input_dir", help="Their opt_v1 tiles (as the run says).")] = None,
    reference_dir: Annotated[
        str | None, typer.Option("--reference_dir", help="Optical references of the same names.")
    ] = None,
    quality: Annotated[
        Path | None, typer.Option("--quality", help="Write the whole document here, for example q.json.")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="Of the run, where its folder does not say.")] = None,
    range_policy: Annotated[str | None, typer.Option("--range_policy", help="Of the run: auto, strict, clip.")] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="Of the run, for integer tiles.")] = None,
    offset: Annotated[float | None, typer.Option("--offset", help="Of the run, in DN.")] = None,
    as_json: Json = False,
) -> None:
    """Judge refined tiles; the folder itself is only read. Exit code 1 where they are no refinement."""
    if not output_dir.is_dir():
        from tasks.contracts.tile_errors import OutputDirError

        raise OutputDirError("is no folder", where=str(output_dir), remedy="Check --output_dir.")
    recorded = _recorded(output_dir)
    given = {"config": config, "range_policy": range_policy, "scale": scale, "offset": offset}
    values = {name: recorded.get(name) for name in RECORDED}
    values |= {name: value for name, value in given.items() if value is not None}
    input_dir = input_dir or recorded.get("input_dir")
    if input_dir is None:
        raise ConfigError("does not say which tiles it refined", where=str(output_dir), remedy="Pass --input_dir.")
    document = _judged(output_dir, Path(input_dir), reference_dir, values)
    files = {} if quality is None else _written(quality, document)
    _show(document, files, as_json)
    failed = document["verdict"] in REFUSED or document["not_evaluated"]
    raise typer.Exit(1 if failed else 0)


def _judged(output_dir: Path, input_dir: Path, reference_dir: str | None, values: dict[str, Any]) -> dict[str, Any]:
    from tasks.cli.tiles_plan import settings_of
    from tasks.tiles.compared import finished_ids, folder_oracle, folder_pairs
    from tasks.tiles.evaluate import evaluate as judge
    from tasks.tiles.request import RefineRequest

    request = checked(RefineRequest, COMMAND, checkpoint="", output_dir=str(output_dir), **values)
    references = None if reference_dir is None else Path(reference_dir)
    ids = finished_ids(output_dir)
    oracle = folder_oracle(ids, input_dir, references)
    return judge(folder_pairs(ids, input_dir, output_dir, settings_of(request).tiles, references), oracle)


def _recorded(output_dir: Path) -> dict[str, Any]:
    """What the run in this folder was asked for; empty where the folder does not say."""
    from tasks.store.jsons import read_json

    try:
        document = read_json((output_dir / RUN_CONFIG).read_bytes(), name=RUN_CONFIG)
    except (OSError, HandshakeError):
        return {}
    if not isinstance(document, dict):
        return {}
    settings = document.get("config")  # a path, or the settings themselves
    return document | settings | {"config": None} if isinstance(settings, dict) else document


def _written(path: Path, document: dict[str, Any]) -> dict[str, dict[str, str]]:
    import hashlib

    from tasks.store.failures import typed
    from tasks.store.jsons import canonical_json

    data = canonical_json(document)
    with typed("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {"quality.json": {"path": str(path), "sha256": hashlib.sha256(data).hexdigest()}}


def _show(document: dict[str, Any], files: dict[str, dict[str, str]], as_json: bool) -> None:
    from tasks.tiles.evaluate import flat_metrics

    metrics = flat_metrics(document)
    refused = document["verdict"] in REFUSED or document["not_evaluated"]
    status = "no_refinement" if document["verdict"] == "no_refinement" else "incomplete" if refused else "complete"
    if as_json:
        told = {name: document[name] for name in ("verdict", "reason", "oracle_strength", "oracle_sha256", "tiles")}
        more = {"missing": document["not_evaluated"], "warnings": document["warnings"]}
        print_answer(answer(status, metrics=metrics, artifacts=files, **told, **more))
        return
    from tasks.cli.tiles_shown import show_scores

    show_scores(metrics)
    for warning in document["warnings"]:
        print(f"warning: {warning}")
    for name, reason in list(document["not_evaluated"].items())[:10]:
        print(f"not evaluated: {name}: {reason}")
    print(f"\n{document['tiles']} tiles against {document['evaluation']['reference']} ({document['oracle_strength']})")
    for name, file in files.items():
        print(f"{name:<12} {file['path']}")
    print(f"{document['verdict']}: {document['reason']}")
