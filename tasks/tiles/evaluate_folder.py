"""A finished folder judged: `quality.json` and pictures below its `.stagegate`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tasks.contracts.tile_errors import OutputDirError
from tasks.contracts.tiles import TilesConfig
from tasks.store.failures import typed
from tasks.store.jsons import canonical_json
from tasks.tiles.compared import PRIVATE, finished_ids, folder_oracle, folder_pair, folder_pairs
from tasks.tiles.evaluate import ANY_SPLIT, evaluate
from tasks.tiles.quicklook import Quicklook, quicklooks
from tasks.tiles.tile_quality import Figures

QUALITY_FILE = f"{PRIVATE}/quality.json"
PICTURE_FOLDER = f"{PRIVATE}/quicklook"


def evaluate_folder(
    output_dir: Path,
    input_dir: Path,
    config: TilesConfig,
    *,
    reference_dir: Path | None = None,
    pictures: int = 8,
    split: str = ANY_SPLIT,
    each: Callable[[Figures], None] = lambda figures: None,
) -> dict[str, Any]:
    """The quality document of all finished tiles, which is written beside its pictures.

    `config` is the one of the run, so that input is read as it was then. Raises OutputDirError, InputDirError,
    ConfigError for a wrong `oracle.json`, StoreError.
    """
    if not output_dir.is_dir():
        raise OutputDirError("is no folder", where=str(output_dir), remedy="Check the path.")
    ids = finished_ids(output_dir)
    pairs = folder_pairs(ids, input_dir, output_dir, config, reference_dir)
    quality = evaluate(pairs, folder_oracle(ids, input_dir, reference_dir), split=split, each=each)
    shown = quicklooks(
        quality["per_tile"], lambda tile_id: folder_pair(tile_id, input_dir, output_dir, config), pictures
    )
    quality["quicklooks"] = write_quicklooks(output_dir / PICTURE_FOLDER, shown)
    _write(output_dir / QUALITY_FILE, canonical_json(quality))
    return quality


def write_quicklooks(folder: Path, shown: Sequence[Quicklook]) -> list[dict[str, str]]:
    """Write the pictures as `<id>.png` and say of each its tile, role and file, or why there is none."""
    return [_written(folder, look) for look in shown]


def _written(folder: Path, look: Quicklook) -> dict[str, str]:
    said, path = {"id": look.id, "role": look.role}, folder / f"{look.id}.png"
    if look.png is None:
        return said | {"error": look.error}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(look.png)
    except OSError as error:
        return said | {"error": f"{type(error).__name__}: {error}"}
    return said | {"file": path.relative_to(folder).as_posix()}


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with typed("write", str(path)):
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
