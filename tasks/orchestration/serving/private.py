"""Files that only their owner may read."""

import os
import secrets
from pathlib import Path


def read_or_make(path: Path, prefix: str = "") -> str:
    """The secret in a file; a new random one where there is no such file."""
    if not path.exists():
        write(path, prefix + secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def write(path: Path, text: str) -> None:
    """A whole file or none, mode 0600."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
