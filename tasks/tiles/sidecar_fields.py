"""Fields of a sidecar that the model uses: what each may be, and the error that says what it was instead.

`where` is the name of the sidecar. An absent field, and null, is None.
"""

import math
from typing import Any

from tasks.contracts.tile_errors import InvalidBiomeError, InvalidMonthError, SidecarError
from tasks.tiles.dates import Day, month_number, parse_date

_LAST_BIOME = 15
_LAST_YEAR = 9999
_LONGEST = 60


def month(value: Any, where: str) -> int | None:
    """1 to 12. Raises InvalidMonthError."""
    number = month_number(value)
    if value is None or number is not None:
        return number
    expected = "1 to 12, or an English month name or its first three letters"
    remedy = "Correct it, or remove the key to use June."
    raise InvalidMonthError(
        "is no month", where=f"{where} 'month'", expected=expected, found=_shown(value), remedy=remedy
    )


def biome_code(value: Any, where: str) -> int | None:
    """0 to 15. Raises InvalidBiomeError."""
    code = _integral(value)
    if value is None or (code is not None and 0 <= code <= _LAST_BIOME):
        return code
    expected, remedy = f"an integer from 0 to {_LAST_BIOME}", "Correct it, or remove the key to use 0 (unknown)."
    raise InvalidBiomeError(
        "is no biome code", where=f"{where} 'biome_code'", expected=expected, found=_shown(value), remedy=remedy
    )


def day(value: Any, where: str) -> Day | None:
    """A day of the calendar. Raises SidecarError."""
    found = parse_date(value)
    if value is None or found is not None:
        return found
    raise _unusable("date", where, "YYYY-MM-DD, with or without a time", value)


def year(value: Any, where: str) -> int | None:
    """1 to 9999; NaN is as good as absent. Raises SidecarError."""
    if value is None or (type(value) is float and math.isnan(value)):
        return None
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_LAST_YEAR))
    found = int(value) if digits else _integral(value)
    if found is None or not 1 <= found <= _LAST_YEAR:
        raise _unusable("year", where, f"an integer from 1 to {_LAST_YEAR}", value)
    return found


def degrees(value: Any, key: str, where: str, limit: int) -> float | None:
    """Between -limit and limit; NaN is as good as absent. Raises SidecarError."""
    found = number(value, key, where)
    if found is None or math.isnan(found):
        return None
    if abs(found) > limit:
        raise _unusable(key, where, f"degrees from -{limit} to {limit}", value)
    return found


def number(value: Any, key: str, where: str) -> float | None:
    """Any number that a float can hold. Raises SidecarError."""
    if value is None:
        return None
    try:
        if type(value) in (int, float):
            return float(value)
    except OverflowError:
        pass  # an integer beyond all floats
    raise _unusable(key, where, "a number", value)


def kind(value: Any) -> str:
    """What JSON calls a value."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _integral(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _unusable(key: str, where: str, expected: str, value: Any) -> SidecarError:
    remedy = "Correct it, or remove the key."
    place = f"{where} '{key}'"
    return SidecarError("has no usable value", where=place, expected=expected, found=_shown(value), remedy=remedy)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return kind(value)
    if isinstance(value, int) and value.bit_length() > 256:
        return "a huge integer"
    text = ascii(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
