"""One row of the ownership table, and the strict check of a value against it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from tasks.contracts.errors import ConfigError

Owner = Literal["manifest", "must-agree", "live", "merged", "stage1-only"]
NOT_IN_THIS_VERSION = "not in this version"


@dataclass(frozen=True)
class Key:
    """A setting: who owns it, what it may be, what it is when nobody says, and what it means."""

    name: str
    owner: Owner
    kind: str  # int, float, bool, text, ints, floats, texts, names, map, weights, schedule, numbers, any
    default: Any
    doc: str
    low: float | None = None
    high: float | None = None
    open_low: bool = False  # the lower limit itself is outside
    choices: tuple[str, ...] = ()
    nullable: bool = False
    same_as: Mapping[str, str] = field(default_factory=dict)  # other spellings of a choice
    refused: Mapping[str, str] = field(default_factory=dict)  # spellings that are known but not offered
    default_if: tuple[str, Mapping[str, Any]] | None = None  # (other key, its value -> default here)
    manifest: str = ""  # where the manifest keeps it, dotted below `config`
    sub_keys: tuple[str, ...] = ()  # of a map of numbers
    settled: str = ""  # why nothing reads it after the configuration has been resolved
    group: str = ""

    def limits(self) -> str:
        """The allowed values in words."""
        if self.choices:
            text = "one of " + ", ".join(self.choices)
            return f"{text} or a number" if self.kind == "float" else text
        if self.low is None and self.high is None:
            return _NAMES[self.kind]
        left = "(" if self.open_low or self.low is None else "["
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf)" if self.high is None else f"{self.high:g}]"
        return f"{_NAMES[self.kind]} in {left}{low}, {high}"


_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "text": "a text",
    "ints": "whole numbers",
    "floats": "numbers",
    "texts": "a list of texts",
    "map": "a table",
    "weights": "a table of level: weight",
    "names": "a text or a list of texts",
    "schedule": "a list of numbers or a table index: number",
    "numbers": "a table of numbers",
    "any": "any value",
}


def checked(key: Key, value: Any, *, where: str = "") -> Any:
    """The value as the table wants it; ConfigError names the key, the range and what was found.

    Types are strict: a text is never read as a number, true is not 1; only a whole number may stand for a number.
    """
    where = f"{where} {key.name}".strip()
    if value is None:
        if key.nullable or key.owner in ("manifest", "must-agree", "stage1-only"):
            return None
        raise ConfigError("cannot be empty", where=where, expected=key.limits(), found="null")
    return _READERS[key.kind](key, value, where)


def _fail(key: Key, value: Any, where: str, what: str = "is out of range") -> ConfigError:
    return ConfigError(what, where=where, expected=key.limits(), found=f"{value!r}", remedy=key.doc)


def _number(key: Key, value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(key, value, where, "has the wrong type")
    below = key.low is not None and (value < key.low or (key.open_low and value == key.low))
    if not math.isfinite(value) or below or (key.high is not None and value > key.high):
        raise _fail(key, value, where)
    return value


def _whole(key: Key, value: Any, where: str) -> int:
    if not isinstance(value, int):
        raise _fail(key, value, where, "has the wrong type")
    return _number(key, value, where)


def _real(key: Key, value: Any, where: str) -> float | str:
    if key.choices and isinstance(value, str):
        return _text(key, value, where)
    return float(_number(key, value, where))


def _flag(key: Key, value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _fail(key, value, where, "has the wrong type")
    if str(value).lower() in key.refused:
        raise _refusal(key, value, where)
    return value


def _refusal(key: Key, value: Any, where: str) -> ConfigError:
    reason = key.refused[str(value).lower()]
    return ConfigError(f"{value!r} is {NOT_IN_THIS_VERSION}", where=where, expected=key.limits(), remedy=reason)


def _text(key: Key, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _fail(key, value, where, "has the wrong type")
    if value.lower() in key.refused:
        raise _refusal(key, value, where)
    value = key.same_as.get(value, value)
    if key.choices and value not in key.choices:
        near = _nearest(value, key.choices)
        raise ConfigError("has an unknown value", where=where, expected=key.limits(), found=f"{value!r}", remedy=near)
    return value


def _list_of(item):
    def read(key: Key, value: Any, where: str) -> list:
        if not isinstance(value, (list, tuple)):
            raise _fail(key, value, where, "has the wrong type")
        return [item(key, entry, f"{where}[{i}]") for i, entry in enumerate(value)]

    return read


def _names(key: Key, value: Any, where: str) -> list[str]:
    """A list of texts; one text stands for a list of one."""
    return _list_of(_text)(key, [value] if isinstance(value, str) else value, where)


def _mapping(key: Key, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _fail(key, value, where, "has the wrong type")
    return {str(name): entry for name, entry in value.items()}


def _numbers(key: Key, value: Any, where: str) -> dict[str, float]:
    table = _mapping(key, value, where)
    for name in table:
        if key.sub_keys and name not in key.sub_keys:
            raise unknown_name(f"{key.name}.{name}", [f"{key.name}.{known}" for known in key.sub_keys], where)
    return {name: float(_number(key, entry, f"{where}.{name}")) for name, entry in table.items()}


def _indexed(key: Key, value: Any, where: str) -> dict[str, float]:
    """Numbers by the text of a number, {'0.1': 3.0}; spellings of one number (0.1, .10) are one entry."""
    table: dict[str, float] = {}
    for name, entry in _mapping(key, value, where).items():
        try:
            label = f"{float(name):g}"
        except ValueError:
            raise _fail(key, name, where, "has an index that is not a number") from None
        if label in table:
            raise ConfigError("is given twice", where=f"{where}.{label}", found=dict(value))
        table[label] = float(_number(key, entry, f"{where}.{label}"))
    return table


def _schedule(key: Key, value: Any, where: str) -> Any:
    return _indexed(key, value, where) if isinstance(value, Mapping) else _list_of(_real)(key, value, where)


_READERS = {
    "int": _whole,
    "float": _real,
    "bool": _flag,
    "text": _text,
    "ints": _list_of(_whole),
    "floats": _list_of(_real),
    "texts": _list_of(_text),
    "names": _names,
    "map": _mapping,
    "weights": _indexed,
    "schedule": _schedule,
    "numbers": _numbers,
    "any": lambda key, value, where: value,
}


def unknown_name(name: str, known: list[str], where: str) -> ConfigError:
    """The refusal of an unknown name, with the nearest known ones."""
    return ConfigError(f"unknown key '{name}'", where=where, remedy=_nearest(name, known))


def _nearest(name: str, known: Iterable[str]) -> str:
    by_lower = {entry.lower(): entry for entry in known}
    near = [by_lower[hit] for hit in get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(near)}?" if near else ""
