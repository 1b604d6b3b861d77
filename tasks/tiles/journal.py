"""The books of a run below `.stagegate`: a line per tile, a line per failure, the summary and the settings."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.contracts.tiles import TileRecord
from tasks.store.failures import typed
from tasks.store.jsons import canonical_json
from tasks.tiles.writer import TEMP_FOLDER

OWN = ".stagegate"
MANIFEST, ERRORS, SUMMARY, RUN_CONFIG = "manifest.jsonl", "errors.jsonl", "summary.json", "run_config.json"


class Journal:
    """Grows shard by shard, so that a killed run leaves its lines; in the order of the names at the end.

    The books of the run before it stay until there is something to write.
    """

    def __init__(self, folder: Path, run_config: Mapping[str, Any]):
        self._folder, self._run_config, self._begun = folder, run_config, False

    def add(self, records: Iterable[TileRecord], milliseconds: Mapping[str, float]) -> None:
        """Append the tiles of a shard."""
        records = list(records)
        self._begin()
        self._append(MANIFEST, _manifest(records, milliseconds))
        self._append(ERRORS, _errors(records))

    def close(self, records: Iterable[TileRecord], milliseconds: Mapping[str, float], summary: Mapping) -> None:
        """Everything once more, complete and in order."""
        records = sorted(records, key=lambda record: record.id.encode())
        self._begin()
        self._replace(MANIFEST, _manifest(records, milliseconds))
        self._replace(ERRORS, _errors(records))
        self._replace(SUMMARY, canonical_json(summary))

    def _begin(self) -> None:
        if not self._begun:
            self._replace(RUN_CONFIG, canonical_json(self._run_config))
            for name in (MANIFEST, ERRORS):
                self._replace(name, b"")
        self._begun = True

    def _append(self, name: str, lines: bytes) -> None:
        path = self._folder / OWN / name
        with typed("write", str(path)), path.open("ab") as file:
            file.write(lines)

    def _replace(self, name: str, data: bytes) -> None:
        temp, path = self._folder / TEMP_FOLDER / f"{name}.{os.getpid()}.tmp", self._folder / OWN / name
        with typed("write", str(path)):
            try:
                temp.write_bytes(data)
                os.replace(temp, path)
            except BaseException:
                with suppress(OSError):
                    temp.unlink()
                raise


def _manifest(records: Iterable[TileRecord], milliseconds: Mapping[str, float]) -> bytes:
    return b"".join(
        _line({**record.model_dump(mode="json"), "processing_time_ms": round(milliseconds.get(record.id, 0.0), 3)})
        for record in records
    )


def _errors(records: Iterable[TileRecord]) -> bytes:
    return b"".join(
        _line({key: getattr(record, key) for key in ("id", "error", "message", "phase")})
        for record in records
        if record.status == "failed"
    )


def _line(document: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(document, ensure_ascii=False)}\n".encode()
