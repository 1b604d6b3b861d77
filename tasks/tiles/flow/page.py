"""The report of a run over tiles as one HTML file: everything needed to judge it, nothing loaded from elsewhere."""

import base64
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.tiles.flow import page_rows as rows
from tasks.tiles.flow.charts import charts
from tasks.tiles.flow.numbers import NONE, duration, rate, share, shown
from tasks.tiles.flow.page_words import LABELS, headline, oracle_sentence, reservations, unmeasured
from tasks.tiles.flow.types import TilesAudit
from tasks.tiles.journal import ERRORS, MANIFEST, OWN, RUN_CONFIG, SUMMARY
from tasks.tiles.request import RefineRequest
from tasks.tiles.summary import Summary

SHOWN_FAILURES = 50
LONG = 6  # rows; a longer table by month or biome is folded
ROLES = {"first": "first tile", "last": "last tile", "worst": "among the worst by NDVI RMSE"}
FILES = {
    f"{OWN}/quality.json": "every figure of every tile",
    f"{OWN}/{MANIFEST}": "one line per tile: hashes, sizes, device, precision",
    f"{OWN}/{ERRORS}": "one line per failed tile",
    f"{OWN}/{SUMMARY}": "counts and throughput",
    f"{OWN}/tileset.json": "the tile set as it is published for the third stage",
    f"{OWN}/handshake_audit.json": "the checks made before the first tile",
    f"{OWN}/{RUN_CONFIG}": "settings of the run",
    f"{OWN}/quicklook/": "the pictures",
}


def report_page(
    request: RefineRequest,
    summary: Summary,
    quality: Mapping[str, Any],
    audit: TilesAudit,
    pictures: Mapping[str, bytes],
    steps: Sequence[Any],
    warnings: Sequence[str],
) -> str:
    """The whole page as text; every value is escaped, every picture is inside.

    `pictures` are PNG by name, `steps` are the records of a run. Failed tiles are read from the books in the output
    folder, which must be closed.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("tasks.tiles", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    view = _run(request, summary, warnings) | _quality(summary, quality)
    view |= {"figures": _figures(quality, pictures), "not_drawn": _not_drawn(quality)}
    view |= {"audit": rows.audit_rows(audit), "audit_counts": rows.audit_counts(audit)}
    view |= {"lineage": rows.lineage_rows(steps), "steps": len(steps)}
    return environment.get_template("report.html.j2").render(view)


def _run(request: RefineRequest, summary: Summary, warnings: Sequence[str]) -> dict[str, Any]:
    output = Path(request.output_dir)
    failures = _failures(output) if summary.failed else []
    return {
        "name": "/".join(Path(request.input_dir or request.scene or NONE).parts[-2:]),
        "facts": {
            "From": request.input_dir or request.scene,
            "To": request.output_dir,
            "Checkpoint": request.checkpoint,
        },
        "counts": _counts(summary),
        "ran": rows.ran_rows(request, summary),
        "events": rows.event_rows(summary),
        "failed": summary.failed,
        "failures": failures,
        "errors": sorted(summary.errors.items(), key=lambda item: -item[1]),
        "warnings": list(warnings),
        "message": summary.message,
        "books": {
            "Ignored files": summary.ignored,
            "Sidecars without a tile": summary.orphan_sidecars,
            "Outputs without an input": summary.orphans,
        },
        "settings": rows.setting_rows(request),
        "files": FILES,
        "log": request.log_file or str(output / "inference.log"),
    }


def _quality(summary: Summary, quality: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "headline": headline(summary, quality),
        "reservations": reservations(summary, quality),
        "oracle": oracle_sentence(quality),
        "oracle_sha256": quality["oracle_sha256"],
        "split": quality["evaluation"]["split"],
        "modes": quality["evaluation"]["known_failure_modes"],
        "input_form": quality["evaluation"]["input_form"],
        "output_form": quality["evaluation"]["output_form"],
        "baselines": quality["evaluation"]["baselines"],
        "definitions": {LABELS[key]: text for key, text in quality["evaluation"]["metrics"].items()},
        "tiles": quality["tiles"],
        "copies": quality["verdict"] == "no_refinement",
        "identical": share(quality["share_bit_identical"]),
        "preservation": rows.preservation_rows(quality) if quality["tiles"] else [],
        "changes": rows.change_rows(quality) if quality["tiles"] else [],
        "against": rows.reference_rows(quality),
        "against_tiles": (quality["against_reference"] or {}).get("tiles", 0),
        "unmeasured": unmeasured(quality),
        "charts": charts(quality),
        "groups": [
            {"title": title, "rows": found, "long": len(found) > LONG}
            for title, found in (
                ("month", rows.group_rows(quality["by_month"], rows.month_names())),
                ("biome", rows.group_rows(quality["by_biome"], rows.biome_names())),
            )
            if found
        ],
    }


def _counts(summary: Summary) -> list[dict[str, str]]:
    """The numbers of the first screen; what is bad when it is not zero is marked."""
    tones = {"done": "good", "resumed": "", "failed": "bad", "empty": "caution", "not_run": "bad"}
    cards = [{"name": "Tiles found", "value": str(summary.found), "tone": ""}]
    for name, tone in tones.items():
        count = getattr(summary, name)
        cards.append({"name": name.replace("_", " ").capitalize(), "value": str(count), "tone": tone if count else ""})
    cards.append({"name": "Throughput", "value": rate(summary.tiles_per_s), "tone": ""})
    return [*cards, {"name": "Time", "value": duration(summary.seconds), "tone": ""}]


def _failures(output: Path) -> list[dict[str, str]]:
    """The first failed tiles by the books; none where the books cannot be read."""
    try:
        with (output / OWN / ERRORS).open(encoding="utf-8") as lines:
            return [json.loads(line) for line in islice(lines, SHOWN_FAILURES)]
    except (OSError, ValueError):
        return []


def _figures(quality: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[dict[str, str]]:
    known = {look["file"]: look for look in quality.get("quicklooks", ()) if look.get("file")}
    tiles = {tile["id"]: tile for tile in quality["per_tile"]}
    return [_figure(name, png, known.get(name), tiles) for name, png in pictures.items()]


def _figure(name: str, png: bytes, look: Mapping[str, str] | None, tiles: Mapping[str, Any]) -> dict[str, str]:
    address = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    if look is None or look["id"] not in tiles:
        return {"address": address, "id": name, "caption": ""}
    tile = tiles[look["id"]]
    said = [ROLES[look["role"]], f"{tile['height']} × {tile['width']} px"]
    said += [f"{LABELS[key]} {shown(key, tile[key])}" for key in ("ndvi_rmse", "edge_correlation", "change_rms")]
    said += ["equal to its input bit for bit"] if tile["bit_identical"] else []
    return {"address": address, "id": look["id"], "caption": " · ".join(said)}


def _not_drawn(quality: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [look for look in quality.get("quicklooks", ()) if look.get("error")]
