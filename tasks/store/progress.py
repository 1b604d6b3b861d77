"""What a long step has reached, so that a retry in any container starts from there: the newest complete wins."""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

from tasks.contracts.errors import HandshakeError, StoreError
from tasks.store.jsons import canonical_json, read_json
from tasks.store.paths import safe_name
from tasks.store.places import open_place

_MARKER = "complete.json"


class Progress:
    """Files of one step below `progress/<key>/<n>/`, listed with their digests in a marker that is written last."""

    def __init__(self, root: str | Path, key: str):
        self.place = open_place(root)
        self.folder = f"progress/{safe_name(key)}"

    def save(self, files: Mapping[str, bytes]) -> None:
        """Make these files the newest; older ones are removed once these are complete."""
        older = self._generations()
        # The suffix keeps apart two writers that count to the same number: a step and its retry.
        number = 1 + max((_number(generation) for generation in older), default=0)
        folder = f"{self.folder}/{number:08d}-{secrets.token_hex(4)}"
        for name, data in files.items():
            self.place.write(f"{folder}/{_file_name(name)}", (data,))
        listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        self.place.write(f"{folder}/{_MARKER}", (canonical_json(listed),))
        self._remove(older)

    def load(self) -> dict[str, bytes] | None:
        """The newest complete files that are intact, or None."""
        for generation in reversed(self._generations()):
            files = self._read(generation)
            if files is not None:
                return files
        return None

    def drop(self) -> None:
        """Forget everything: the step is done."""
        self._remove(self._generations())
        self.place.prune(self.folder)

    def _generations(self) -> list[str]:
        keys = [key for key, _ in self.place.listing(self.folder)]
        return sorted({key.removeprefix(f"{self.folder}/").partition("/")[0] for key in keys})

    def _read(self, generation: str) -> dict[str, bytes] | None:
        folder = f"{self.folder}/{generation}"
        if self.place.stamp(f"{folder}/{_MARKER}") is None:
            return None
        try:
            listed = dict(read_json(self._bytes(f"{folder}/{_MARKER}"), name=_MARKER))
            files = {name: self._bytes(f"{folder}/{_file_name(name)}") for name in listed}
        except (HandshakeError, StoreError, TypeError, ValueError):  # damaged, or removed by a newer one: not complete
            return None
        intact = all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in listed.items())
        return files if intact else None

    def _bytes(self, key: str) -> bytes:
        return b"".join(self.place.chunks(key))

    def _remove(self, generations: list[str]) -> None:
        for generation in generations:
            folder = f"{self.folder}/{generation}"
            keys = [key for key, _ in self.place.listing(folder)]
            # The marker goes first: what is left of a half-removed generation must not look complete.
            for key in sorted(keys, key=lambda key: not key.endswith(f"/{_MARKER}")):
                self.place.remove(key)
            self.place.prune(folder)


def _number(generation: str) -> int:
    digits = generation.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def _file_name(name: str) -> str:
    if "/" in name or name == _MARKER:
        raise StoreError("cannot name a file of saved progress", where=repr(name), remedy="Use a plain file name.")
    return safe_name(name)
