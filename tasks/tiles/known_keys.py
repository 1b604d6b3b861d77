"""Keys of configuration sections: known, or refused with the nearest known one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from tasks.contracts.errors import ConfigError


def check_keys(values: Mapping[Any, Any], known: Iterable[str], where: str) -> None:
    """Raise ConfigError for the first key that is not known."""
    known = tuple(known)
    for key in values:
        if key not in known:
            raise unknown(key, known, where)


def unknown(key: Any, known: Iterable[str], where: str) -> ConfigError:
    """The error for a key that nobody knows; it names the nearest that is known."""
    known = tuple(known)
    near = get_close_matches(str(key).lower(), known, n=1, cutoff=0.0)
    remedy = f"Did you mean '{near[0]}'?" if near else ""
    expected = f"one of {', '.join(known)}"
    return ConfigError("has an unknown key", where=where, expected=expected, found=f"'{key}'", remedy=remedy)


def section(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """A sub-section, empty where it is absent. Raises ConfigError where it is no mapping."""
    found = values.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError("is no section", where=f"{where} '{key}'", expected="keys and values", found=repr(found)[:80])
    return found
