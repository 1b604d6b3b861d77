"""Units inside the panel CSV: `X`, `X_raw` and `X_m` are one quantity and must not differ by a power of ten."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tasks.subsidence.checks.evidence import PANELS, Evidence
from tasks.subsidence.checks.registry import Finding, Note, Outcome, Skip

if TYPE_CHECKING:
    import pandas

SUFFIXES = ("_raw", "_m")
FEWEST_ROWS = 8
RATIO_TOLERANCE = 1e-3


def power_of_ten_columns(e: Evidence) -> Iterator[Outcome]:
    """Findings for every pair of columns with a constant ratio 10^k, k != 0."""
    present = [file for file in e.files if file.key in PANELS and file.ref is not None]
    if not present:
        yield Skip("the handoff has no panel CSV")
    for file in present:
        yield from _one_panel(e, file.key, file.ref.name)


def _one_panel(e: Evidence, key: str, name: str) -> Iterator[Outcome]:
    try:
        frame = _columns(e.open_panel(key), name)
    except (ValueError, OSError, EOFError) as error:  # pandas and codec errors are ValueErrors
        yield Finding(name, f"cannot be read as CSV: {error}", "a CSV", "unreadable", "Export the panel again.")
        return
    for base, other in _pairs(list(frame.columns)):
        power = _power(frame[base], frame[other])
        if power:
            yield Finding(
                f"{name} {other}",
                f"is {base} times 1e{-power:+d} in every row",
                "one unit per quantity",
                f"ratio 1e{-power:+d}",
                "Find out which of the two is in metres, and export again.",
            )
    yield Note(f"{name}: {len(list(_pairs(list(frame.columns))))} pairs of columns compared")


def _columns(data: bytes, name: str) -> "pandas.DataFrame":
    import pandas

    compression = "gzip" if name.endswith(".gz") else None
    header = pandas.read_csv(io.BytesIO(data), nrows=0, compression=compression)
    wanted = sorted({column for pair in _pairs(list(header.columns)) for column in pair})
    return pandas.read_csv(io.BytesIO(data), usecols=wanted, compression=compression) if wanted else header[[]]


def _pairs(columns: list[str]) -> Iterator[tuple[str, str]]:
    known = set(columns)
    for base in columns:
        family = [base, *(f"{base}{suffix}" for suffix in SUFFIXES if f"{base}{suffix}" in known)]
        yield from ((a, b) for i, a in enumerate(family) for b in family[i + 1 :])
    for column in columns:
        stem = column.removesuffix("_raw")
        if stem != column and stem not in known and f"{stem}_m" in known:
            yield column, f"{stem}_m"


def _power(a: "pandas.Series", b: "pandas.Series") -> int:
    """k where a = 10^k b in every comparable row, else 0."""
    import pandas

    a, b = (pandas.to_numeric(series, errors="coerce").to_numpy(dtype=float) for series in (a, b))
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    if usable.sum() < FEWEST_ROWS:
        return 0
    ratio = a[usable] / b[usable]
    middle = float(np.median(ratio))
    if middle <= 0 or np.ptp(ratio) > RATIO_TOLERANCE * middle:
        return 0
    power = round(np.log10(middle))
    return power if abs(middle / 10.0**power - 1) <= RATIO_TOLERANCE else 0
