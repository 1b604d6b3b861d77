"""A store after something was killed: every byte that is visible is what its name says."""

import hashlib
import json
import re
from pathlib import Path

from tasks.store.blobs import BLOB_FOLDER, Store
from tasks.store.gc import refs_in
from tasks.store.places import is_temporary

_BLOB = re.compile(f"{BLOB_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{62}}")


def assert_whole(root: Path) -> None:
    """Blobs complete and read-only, records sealed, and all that a record names is there."""
    blobs = [path for path in (root / BLOB_FOLDER).rglob("*") if path.is_file() and not is_temporary(path.as_posix())]
    assert blobs, "nothing was stored"
    for path in blobs:
        name = path.relative_to(root).as_posix()
        assert _BLOB.fullmatch(name), name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name.removeprefix(BLOB_FOLDER).replace("/", ""), name
        assert not path.stat().st_mode & 0o222, name
    for record in (root / "results").iterdir():
        _assert_sealed(root, record)
    assert not list((root / "quarantine").rglob("*"))


def _assert_sealed(root: Path, record: Path) -> None:
    raw = record.read_bytes()
    seal = hashlib.sha256(record.name.encode() + b"\n" + raw).hexdigest()
    assert (root / "seals" / record.name).read_text() == seal, record.name
    refs = list(refs_in(json.loads(json.loads(raw)["result"])))
    assert all(Store(root).holds(ref) for ref in refs), record.name
