"""Months and dates as people write them in sidecars."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_DATE = re.compile(r"(\d{4})(-?)(\d{2})\2(\d{2})(?:[T ].*)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Day:
    """A day of the calendar, with 1 for the first of January."""

    year: int
    day_of_year: int


def month_number(value: Any) -> int | None:
    """1 to 12 of an integer, an integral float, a digit string or an English name; None of everything else."""
    if isinstance(value, str):
        return _month_of_text(value.strip().lower())
    if type(value) not in (int, float) or value != value // 1:
        return None
    return int(value) if 1 <= value <= 12 else None


def parse_date(value: Any) -> Day | None:
    """The day of an ISO 8601 date, with or without a time; None of everything else."""
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        day = date(*map(int, match.group(1, 3, 4)))
    except ValueError:
        return None
    return Day(day.year, day.timetuple().tm_yday)


def _month_of_text(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return int(digits) if len(digits) in (1, 2) and int(digits) <= 12 else None
    return _MONTHS.get(text)
