"""JSON read within limits, and written so that equal values give equal bytes."""

import json
import math
import re
from typing import Any

import numpy as np

from tasks.contracts.errors import HandshakeError, StoreError, UnsafeArchiveError

MAX_BYTES = 64 << 20
MAX_DEPTH = 64

# The next bracket outside strings, or the end. Possessive, with an optional closing quote: linear on any text.
_BRACKET = re.compile(r'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)*+([\[\]{}]|\Z)', re.DOTALL)


def read_json(data: bytes, *, name: str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON after a check of size and depth. NaN and Infinity, which Python writes, are read as floats.

    Raises UnsafeArchiveError beyond a limit, HandshakeError for what is not UTF-8 JSON.
    """
    if len(data) > max_bytes:
        raise _beyond("is too large", name, f"at most {max_bytes} bytes", len(data))
    try:
        text = data.decode("utf-8-sig")
        _check_depth(text, name, max_depth)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        remedy = "The file is damaged or of another kind; make it again."
        raise HandshakeError("is not valid JSON", where=name, found=error, remedy=remedy) from error


def canonical_json(obj: Any, *, indent: int | None = 2) -> bytes:
    """UTF-8 JSON with sorted keys and a final newline; equal values give equal bytes.

    Takes dicts with string keys, lists, tuples, strings, finite numbers (numpy scalars too), booleans and None, within
    the limits of read_json. Raises StoreError that names the place of anything else.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    plain = _plain(obj, "$", 0)
    text = json.dumps(plain, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    data = (text + "\n").encode()
    if len(data) > MAX_BYTES:
        raise _unwritable("is too large for JSON", "$", f"at most {MAX_BYTES} bytes", len(data))
    return data


def _check_depth(text: str, name: str, max_depth: int) -> None:
    depth = 0
    for match in _BRACKET.finditer(text):
        if match[1] in ("{", "["):
            depth += 1
            if depth > max_depth:
                raise _beyond("is nested too deeply", name, f"at most {max_depth} levels", f"more at {match.end()}")
        elif match[1]:
            depth -= 1


def _beyond(what: str, name: str, expected: str, found: object) -> UnsafeArchiveError:
    remedy = "Check where the file comes from; no file of this kind needs that much."
    return UnsafeArchiveError(what, where=name, expected=expected, found=found, remedy=remedy)


def _plain(value: Any, place: str, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict | list | tuple) and depth >= MAX_DEPTH:
        raise _unwritable("is nested too deeply for JSON", place, f"at most {MAX_DEPTH} levels", None)
    if isinstance(value, dict):
        return {_key(key, place): _plain(item, f"{place}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(value)]
    return _scalar(value, place)


def _scalar(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _within_range(value, place)
    if isinstance(value, str):
        return _encodable(value, place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _unwritable("is not finite", place, "a finite number or null", value)
        return value
    raise _unwritable("cannot be written as JSON", place, "dict, list, str, number, bool or None", type(value).__name__)


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise _unwritable("has a key that is not a string", place, "str", repr(key))
    return _encodable(key, place)


def _within_range(value: int, place: str) -> int:
    if value.bit_length() > 1024:
        raise _unwritable("is too large a number for JSON", place, "at most 1024 bits", f"{value.bit_length()} bits")
    return value


def _encodable(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unwritable("cannot be encoded as UTF-8", place, "text", ascii(text)) from error
    return text


def _unwritable(what: str, place: str, expected: str, found: object) -> StoreError:
    remedy = "Write plain values: null where nothing is known, lists instead of arrays."
    return StoreError(what, where=f"JSON value {place}", expected=expected, found=found, remedy=remedy)
