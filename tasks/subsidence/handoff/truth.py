"""Observations of the forecast years, brought later as a panel table and joined to forecast windows by place."""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.contracts.errors import HandshakeError, MissingInputError
from tasks.contracts.units import MM_PER_M
from tasks.subsidence.arrays import Split
from tasks.subsidence.handoff.locations import match, unique_places
from tasks.subsidence.scaling import Decoded, decode, last_subsidence
from tasks.subsidence.semantics import Semantics

if TYPE_CHECKING:
    from pandas import DataFrame

TOLERANCE_M = 1.0
MIN_SHARE_MATCHED = 0.5
MAX_BYTES = 2 * 2**30
NEEDED = ("longitude", "latitude", "year", "subsidence_cum")
HEADS = ("head_m",)
DEPTHS = ("GWL_depth_bgs_m", "GWL_depth_bgs", "GWL")  # m below ground: head needs the surface elevation
RATIO_LIMITS = (0.2, 5.0)  # of truth to the last observation; another unit is a power of ten away
MAX_SUBSIDENCE_M = 5.0
MAX_UPLIFT_M = 0.05
MIN_SHARE_CUMULATIVE = 0.99
WGS84 = 4326
MAX_NAMES = 12  # of the columns that a message lists
MAX_NAME = 40
WHERE = "truth CSV"


@dataclass(frozen=True)
class Truth:
    """What was observed at N windows and H steps, m; NaN where nothing is known."""

    subsidence: np.ndarray  # (N, H) cumulative subsidence
    head: np.ndarray  # (N, H) hydraulic head, up positive

    def known_steps(self) -> list[int]:
        """Steps (1..H) for which subsidence is known somewhere."""
        return [step + 1 for step in np.flatnonzero(np.isfinite(self.subsidence).any(axis=0)).tolist()]


def own_truth(split: Split) -> Truth:
    """The targets of a split as truth; HandshakeError when it has none."""
    if split.subsidence is None or split.head is None:
        raise HandshakeError("holds no targets to score against", where=f"split {split.name}")
    return Truth(split.subsidence[:, :, 0].astype(float), split.head[:, :, 0].astype(float))


def read_truth(source: Path | bytes, split: Split, sem: Semantics) -> Truth:
    """Truth of the windows of `split` from a CSV (plain or gzip) with longitude, latitude, year, subsidence_cum [mm].

    head_m, or a depth to water in m together with the surface elevation of the windows, gives the head. Windows without
    a place within 1 m, or years without a row, stay NaN. HandshakeError: columns missing, cells that are no numbers,
    places repeated within a year, no row of the forecast years, most places unmatched, or values in another unit.
    """
    where = decode(split, sem)
    years = np.rint(where.years).astype(int)
    table = _rows_of_years(_table(source), years)
    row = _joined(table, where, years, sem)
    subsidence = _picked(table["subsidence_cum"].to_numpy() / MM_PER_M, row)
    _check_unit(subsidence, last_subsidence(split, sem).astype(float))
    return Truth(subsidence, _heads(table, row, split, sem))


def check_truth(path: Path, years: range | None) -> None:
    """Refuse a file that `read_truth` could not use: its columns, its cells, and where known its `years`.

    Cheap enough to be asked before any work. Raises HandshakeError naming the file, MissingInputError where it is not.
    """
    where = f"{WHERE} {path.name}"
    table = _table(path, where)
    if years is not None:
        _rows_of_years(table, np.array(years), where)


def _table(source: Path | bytes, where: str = WHERE) -> "DataFrame":
    import pandas as pd

    wanted = {*NEEDED, *HEADS, *DEPTHS}
    raw = _unpacked(source)
    try:
        header = list(pd.read_csv(io.BytesIO(raw), nrows=0, encoding="utf-8-sig"))
        frame = pd.read_csv(io.BytesIO(raw), usecols=lambda name: name in wanted, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise HandshakeError(
            "cannot be read as a table", where=where, expected=f"a CSV with {', '.join(NEEDED)}", found=str(error)
        ) from error
    absent = [name for name in NEEDED if name not in frame]
    if absent:
        raise HandshakeError(
            f"lacks columns {', '.join(absent)}",
            where=where,
            expected=", ".join(NEEDED),
            found=_listed(header),
            remedy="Give the panel of the forecast years with these column names.",
        )
    return _numeric(frame, where)


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:MAX_NAME] for name in names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def _unpacked(source: Path | bytes) -> bytes:
    if isinstance(source, Path) and not source.is_file():
        raise MissingInputError("does not exist", where=f"{WHERE} {source.name}", remedy="Check --truth.")
    raw = source.read_bytes() if isinstance(source, Path) else source
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        with gzip.open(io.BytesIO(raw)) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise HandshakeError("is a damaged gzip file", where=WHERE, found=str(error)) from error
    if len(data) > MAX_BYTES:
        raise HandshakeError("unpacks to too much", where=WHERE, expected=f"at most {MAX_BYTES} bytes")
    return data


def _numeric(frame: "DataFrame", where: str) -> "DataFrame":
    import pandas as pd

    for name in frame.columns:
        numbers = pd.to_numeric(frame[name], errors="coerce").astype(float)
        bad = (numbers.isna() & (frame[name].notna() | (name in NEEDED[:3]))) | np.isinf(numbers)
        if bad.any():
            at = int(np.flatnonzero(bad.to_numpy())[0])
            raise HandshakeError(
                f"column '{name}' holds {int(bad.sum())} cells that are no numbers",
                where=f"{where} line {at + 2}",
                expected="numbers",
                found=repr(frame[name].iloc[at]),
                remedy="Write numbers with a decimal point.",
            )
        frame[name] = numbers
    return frame


def _rows_of_years(table: "DataFrame", years: np.ndarray, where: str = WHERE) -> "DataFrame":
    wanted = np.unique(years)
    chosen = table[table["year"].isin(wanted)].reset_index(drop=True)
    if chosen.empty:
        found = sorted(set(table["year"].astype(int)))
        raise HandshakeError(
            "has no row of the forecast years",
            where=where,
            expected=f"{wanted[0]}..{wanted[-1]}",
            found=f"{found[0]}..{found[-1]}" if found else "no row",
        )
    for name, limit in (("longitude", 180.0), ("latitude", 90.0)):
        if chosen[name].abs().max() > limit:
            raise HandshakeError(
                f"column '{name}' is not in degrees",
                where=where,
                expected=f"-{limit:g}..{limit:g}",
                found=float(chosen[name].abs().max()),
                remedy="Are longitude and latitude swapped?",
            )
    return chosen


def _joined(table: "DataFrame", where: Decoded, years: np.ndarray, sem: Semantics) -> np.ndarray:
    """(N, H) row numbers of the table, -1 where it has none."""
    mine, theirs = _places(table, where, sem)
    first, place = unique_places(*theirs.T)
    index, found = match(mine, theirs[first], TOLERANCE_M)
    _check_matched(found, first.size, np.unique(index[found]).size)
    start, span = int(years.min()), int(np.ptp(years)) + 1
    year = table["year"].to_numpy().astype(int) - start
    _check_unique(place, year)
    rows = np.full((first.size, span), -1)
    rows[place, year] = np.arange(len(table))
    return np.where(found[:, None], rows[index[:, None], years - start], -1)


def _places(table: "DataFrame", where: Decoded, sem: Semantics) -> tuple[np.ndarray, np.ndarray]:
    """Places of the windows (N, 2) and of the table rows (M, 2) in the same metres."""
    from pyproj import Transformer

    mine = np.column_stack([where.x_m, where.y_m]).astype(float)
    degrees = table[["longitude", "latitude"]].to_numpy()
    if sem.georeference == "absolute" and sem.public.get("coords_in_degrees"):
        return mine, degrees * [sem.public["deg_to_m_lon"], sem.public["deg_to_m_lat"]]
    if sem.georeference == "none" or sem.epsg is None:
        raise HandshakeError(
            "cannot be joined to the forecasts",
            where=WHERE,
            expected="a georeferenced handoff",
            found=f"georeference {sem.georeference}, EPSG {sem.epsg}",
            remedy="Prepare the handoff with scalers.json, or convert its scaler.",
        )
    project = Transformer.from_crs(WGS84, sem.epsg, always_xy=True).transform
    return mine, np.column_stack(project(*degrees.T))


def _check_matched(found: np.ndarray, table_places: int, used: int) -> None:
    if found.mean() < MIN_SHARE_MATCHED:
        raise HandshakeError(
            "belongs to other places than the forecasts",
            where=WHERE,
            expected=f"places within {TOLERANCE_M:g} m of at least {MIN_SHARE_MATCHED:.0%} of the windows",
            found=f"{int((~found).sum())} of {found.size} windows and {table_places - used} of {table_places} places "
            "of the table without a partner",
            remedy="Give the panel of the same city, longitude and latitude in degrees.",
        )


def _check_unique(place: np.ndarray, year: np.ndarray) -> None:
    cells = np.unique(np.column_stack([place, year]), axis=0)
    if len(cells) < place.size:
        raise HandshakeError(
            "repeats places within a year",
            where=WHERE,
            expected="one row per place and year",
            found=f"{place.size - len(cells)} repeated rows",
        )


def _picked(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.where(row >= 0, values[row], np.nan)


def _check_unit(subsidence: np.ndarray, last: np.ndarray) -> None:
    """Refuse what is not cumulative subsidence in mm since the same first year as the history of the windows."""
    known = np.isfinite(subsidence)
    before = np.broadcast_to(last[:, None], subsidence.shape)[known]
    truth = subsidence[known]
    if not truth.size:
        raise HandshakeError("knows no subsidence_cum at the forecast places and years", where=WHERE)
    ratio = float(np.median(truth) / np.median(before))
    seen = f"median {np.median(truth) * MM_PER_M:.4g} mm against {np.median(before) * MM_PER_M:.4g} mm last observed"
    remedy = "Give cumulative subsidence in mm since the first panel year."
    if np.abs(truth).max() > MAX_SUBSIDENCE_M or not RATIO_LIMITS[0] <= ratio <= RATIO_LIMITS[1]:
        raise HandshakeError(
            "column 'subsidence_cum' is in another unit than mm, or no cumulative subsidence",
            where=WHERE,
            found=seen,
            remedy=remedy,
        )
    grown = float(np.mean(truth >= before - MAX_UPLIFT_M))
    if grown < MIN_SHARE_CUMULATIVE:
        raise HandshakeError(
            "column 'subsidence_cum' falls below the last observation",
            where=WHERE,
            expected=f"{MIN_SHARE_CUMULATIVE:.0%} of cells at most {MAX_UPLIFT_M} m lower",
            found=f"{grown:.1%}; {seen}",
            remedy=remedy,
        )


def _heads(table: "DataFrame", row: np.ndarray, split: Split, sem: Semantics) -> np.ndarray:
    for name in HEADS:
        if name in table:
            return _picked(table[name].to_numpy(), row)
    depth = next((name for name in DEPTHS if name in table), None)
    if depth is None or sem.z_surf_index is None:
        return np.full(row.shape, np.nan)
    surface = split.static[:, sem.z_surf_index].astype(float)[:, None]
    return surface - _picked(table[depth].to_numpy(), row)
