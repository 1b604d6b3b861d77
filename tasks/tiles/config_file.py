"""A configuration file as plain values: the user's own, or the packaged preset of the same name."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError

_MAX_BYTES = 1 << 20


def read_yaml(path: Path, given: bool) -> tuple[dict[str, Any], str]:
    """Content and where it comes from. A path that was given must exist. Raises ConfigError."""
    if not given and not path.exists():
        preset = files("tasks.tiles") / "configs" / path.name
        if preset.is_file():
            return _parsed(preset.read_bytes(), f"packaged {path.name}"), f"packaged {path.name}"
    return _parsed(_bytes(path), str(path)), str(path)


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError("is no file", where=str(path), expected="a configuration file")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        remedy = "Check --config, or leave it out to use the packaged preset."
        raise ConfigError("cannot be read", where=str(path), found=error.strerror, remedy=remedy) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError("is too large", where=str(path), expected=f"at most {_MAX_BYTES} bytes")
    return data


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(data.decode())
    except (YAMLError, ValueError, RecursionError) as error:
        remedy = "Correct the YAML."
        found = " ".join(str(error).split())[:200]
        raise ConfigError("is no readable YAML", where=where, found=found, remedy=remedy) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        found = type(document).__name__
        raise ConfigError("is no configuration", where=where, expected="a mapping with 'stage2'", found=found)
    return document
