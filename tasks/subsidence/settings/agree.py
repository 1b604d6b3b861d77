"""Settings that live values may confirm but not change."""

import math
import re
from collections.abc import Mapping
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.subsidence.settings.key import Key, checked

_FOLDER = re.compile(r"^(?:/|[A-Za-z]:[\\/]|\\\\|[a-z0-9]+://)")


def owned(key: Key, value: Any, given: list[tuple[str, Any]]) -> dict[str, Any]:
    """The report entry of a manifest-owned key; ConfigError where a live value differs."""
    for source, other in given:
        if not same(value, other):
            raise ConfigError(
                "is set by the handoff",
                where=f"{source} {key.name}",
                expected=f"{value!r} (manifest)",
                found=repr(other),
                remedy="Leave it out, or prepare the handoff again with this value.",
            )
    return _entry(key, value, "manifest", given)


def agreed(key: Key, value: Any, given: list[tuple[str, Any]]) -> dict[str, Any]:
    """The report entry of a key on which manifest and live values must agree; a missing side takes the other."""
    known = [("manifest", checked(key, value, where="manifest"))] if value is not None else []
    known += given
    for source, other in known[1:]:
        if not _matches(key, known[0][1], other):
            raise ConfigError(
                "must agree",
                where=key.name,
                expected=f"{known[0][1]!r} ({known[0][0]})",
                found=f"{other!r} ({source})",
                remedy="Correct the setting, or pass the handoff that it belongs to.",
            )
    source, value = known[0] if known else ("default", key.default)
    return _entry(key, value, source, [item for item in given if item[0] != source])


def _matches(key: Key, one: Any, other: Any) -> bool:
    """Names of cities and conventions are compared without case."""
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().casefold() == other.strip().casefold()
    return same(one, other)


def _entry(key: Key, value: Any, source: str, given: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = {
        "key": key.name,
        "value": without_folders(value),
        "source": source,
        "owner": key.owner,
        "overridden": [],
        "used": True,
    }
    confirmed = ", ".join(dict.fromkeys(name for name, _ in given))
    return {**entry, "note": f"confirmed by {confirmed}"} if confirmed else entry


def same(value: Any, other: Any) -> bool:
    """Whether a live value says the same as the manifest; a table may name a part of it only."""
    if isinstance(other, Mapping):
        return isinstance(value, Mapping) and all(name in value and same(value[name], other[name]) for name in other)
    if isinstance(other, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(other):
            return False
        return all(same(one, two) for one, two in zip(value, other, strict=True))
    if _is_number(value) and _is_number(other):
        return math.isclose(value, other, rel_tol=1e-9)
    return type(value) is type(other) and value == other


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def without_folders(value: Any) -> Any:
    """The value with absolute paths and addresses cut to their last part: reports name no machine."""
    if isinstance(value, Mapping):
        return {name: without_folders(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(entry) for entry in value]
    if isinstance(value, str) and _FOLDER.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value
