"""From rows to a cube of points and years in SI units; every row that is lost is counted with its reason."""

from dataclasses import dataclass, replace

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.stage1.panel_columns import ALIASES
from tasks.subsidence.stage1.panel_read import Rejects, Rows
from tasks.subsidence.stage1.panel_units import RANGES_SI, check_magnitudes, check_same_quantity, in_range, to_si

_DEGREE_DECIMALS = 7  # one centimetre: finer digits are print noise, not another point
_NEVER_MISSING = ("longitude", "latitude", "year", "thickness")


@dataclass(frozen=True)
class Panel:
    """Points G by years Y. values: subsidence (cumulative), depth, head, thickness, z_surf [m], rainfall, urban; NaN
    where the table has nothing. texts: category names, '' where missing. line: row of the file, -1 where missing."""

    longitude: np.ndarray  # (G,) degrees
    latitude: np.ndarray  # (G,)
    years: np.ndarray  # (Y,) int, without gaps
    values: dict[str, np.ndarray]  # (G, Y)
    texts: dict[str, np.ndarray]  # (G, Y) object
    line: np.ndarray  # (G, Y)
    columns: dict[str, str]
    head_proxy: bool

    def __len__(self) -> int:
        return len(self.longitude)

    def at(self, first: int, last: int) -> slice:
        """Year axis slice from `first` to `last` inclusive; empty where the table has no such years."""
        start = first - int(self.years[0])
        return slice(max(start, 0), max(last - int(self.years[0]) + 1, 0))

    def select(self, points: np.ndarray) -> "Panel":
        """The given points only."""
        return replace(
            self,
            longitude=self.longitude[points],
            latitude=self.latitude[points],
            line=self.line[points],
            values={k: v[points] for k, v in self.values.items()},
            texts={k: v[points] for k, v in self.texts.items()},
        )


def clean(rows: Rows, *, city: str, units: dict[str, str], rejects: Rejects) -> Panel:
    """SI values of one city, one row per point and year. units: role group (subs, depth, thickness) to unit name."""
    rows = _only_city(rows, city, rejects)
    check_same_quantity(rows.numbers, rows.columns)
    own = {role: values for role, values in rows.numbers.items() if role in ALIASES}
    rows = replace(rows, numbers=to_si(own, units))
    for role in _required(rows):
        rows = rows.keep(~np.isnan(rows.numbers[role]), f"'{rows.columns[role]}' is empty", rejects)
    rows = rows.keep(rows.numbers["year"] % 1 == 0, f"'{rows.columns['year']}' is not a whole year", rejects)
    if not len(rows.line):
        raise _nothing_left(rejects)
    for role in RANGES_SI:
        if role in rows.numbers:
            mask = in_range(rows.numbers[role], role, rows.columns[role])
            rows = rows.keep(mask, f"'{rows.columns[role]}' outside the plausible range (mixed units?)", rejects)
    rows = _deduplicate(rows, rejects)
    if not len(rows.line):
        raise _nothing_left(rejects)
    panel = _drop_jumps(_derive(_cube(rows)), rejects)
    check_magnitudes(panel.values, panel.columns)
    return panel


def _required(rows: Rows) -> list[str]:
    water = "depth" if "depth" in rows.numbers else "head"
    moved = "subsidence_cum" if "subsidence_cum" in rows.numbers else "subsidence_rate"
    surface = ["z_surf"] if "z_surf" in rows.numbers else []
    return [*_NEVER_MISSING, water, moved, *surface]


def _nothing_left(rejects: Rejects) -> HandshakeError:
    reasons = "; ".join(f"{count} rows: {reason}" for reason, count in rejects.counts.items())
    return HandshakeError(
        "has no usable row",
        where="panel CSV",
        found=reasons,
        remedy="Correct the table, or name its columns and units.",
    )


def _only_city(rows: Rows, city: str, rejects: Rejects) -> Rows:
    if "city" not in rows.texts:
        return rows
    names = np.array([str(name).casefold() for name in rows.texts["city"]])
    if not np.any(names == city.casefold()):
        found = ", ".join(sorted({str(name) for name in rows.texts["city"][:10_000]})[:5])
        raise HandshakeError(
            "holds no row of the city",
            where="panel CSV",
            expected=city,
            found=found,
            remedy="Pass --city as it stands in the table.",
        )
    return rows.keep(names == city.casefold(), "another city", rejects)


def _deduplicate(rows: Rows, rejects: Rejects) -> Rows:
    """One row per point and year: equal copies count once, contradicting ones not at all."""
    key = _keys(rows)
    order = np.lexsort((rows.line, *key.T[::-1]))
    same = np.concatenate([[False], (key[order][1:] == key[order][:-1]).all(axis=1)])
    if not same.any():
        return rows
    group = np.cumsum(~same) - 1
    leader = order[~same][group]
    differs = np.zeros(len(order), dtype=bool)
    for values in (*rows.numbers.values(), *rows.texts.values()):
        mine, first = values[order], values[leader]
        both_nan = (mine != mine) & (first != first)
        differs |= (mine != first) & ~both_nan
    contradicting = np.zeros(group[-1] + 1, dtype=bool)
    contradicting[group[differs]] = True
    clash, repeat = np.zeros(len(order), dtype=bool), np.zeros(len(order), dtype=bool)
    clash[order], repeat[order] = contradicting[group], same & ~contradicting[group]
    rejects.add("different rows for one point and year", rows.line[clash])
    rejects.add("the same row again", rows.line[repeat])
    return rows.keep(~clash & ~repeat, "", Rejects())


def _keys(rows: Rows) -> np.ndarray:
    """(n, 3) integers: longitude and latitude in 1e-7 degrees, year."""
    degrees = [np.round(rows.numbers[axis] * 10**_DEGREE_DECIMALS) for axis in ("longitude", "latitude")]
    return np.stack([*degrees, rows.numbers["year"]], axis=1).astype(np.int64)


def _cube(rows: Rows) -> Panel:
    key = _keys(rows)
    points, first, index = np.unique(key[:, :2], axis=0, return_index=True, return_inverse=True)
    years = np.arange(key[:, 2].min(), key[:, 2].max() + 1)
    at = (index.reshape(-1), key[:, 2] - years[0])
    shape = (len(points), len(years))

    def spread(values: np.ndarray, empty: object, dtype: type) -> np.ndarray:
        cube = np.full(shape, empty, dtype=dtype)
        cube[at] = values
        return cube

    numbers = {k: v for k, v in rows.numbers.items() if k not in ("longitude", "latitude", "year")}
    return Panel(
        longitude=rows.numbers["longitude"][first],
        latitude=rows.numbers["latitude"][first],
        years=years,
        values={k: spread(v, np.nan, float) for k, v in numbers.items()},
        texts={k: spread(v, "", object) for k, v in rows.texts.items() if k != "city"},
        line=spread(rows.line, -1, int),
        columns=rows.columns,
        head_proxy=False,
    )


def _derive(panel: Panel) -> Panel:
    """Add what follows from other columns: subsidence from rates; depth, surface and head from each other."""
    values = dict(panel.values)
    rate = values.pop("subsidence_rate", None)
    cumulative = values.pop("subsidence_cum", None)
    values["subsidence"] = cumulative if cumulative is not None else _running_sum(rate)
    proxy = "z_surf" not in values and "head" not in values
    if "z_surf" not in values and not proxy:
        values["z_surf"] = values["head"] + values["depth"]
    if "depth" not in values:
        values["depth"] = values["z_surf"] - values["head"]
    if "head" not in values:
        values["head"] = -values["depth"] if proxy else values["z_surf"] - values["depth"]
    if not proxy:
        implied = values["z_surf"] - values["depth"]
        values["head"] = np.where(np.isnan(values["head"]), implied, values["head"])
    return replace(panel, values=values, head_proxy=proxy)


def _running_sum(rate: np.ndarray) -> np.ndarray:
    """Sum of annual rates from each point's first year on; nothing after a gap, where the sum is unknown."""
    started = np.cumsum(~np.isnan(rate), axis=1) > 0
    total = np.cumsum(np.where(started, rate, 0.0), axis=1)
    return np.where(started, total, np.nan)


def _drop_jumps(panel: Panel, rejects: Rejects) -> Panel:
    """Remove years whose value is 100 or 1000 times too large or small against both neighbours: another unit."""
    bad = np.zeros(panel.line.shape, dtype=bool)
    for role, floor in (("subsidence", 0.02), ("thickness", 0.1)):  # below the floor (m) noise can look like a jump
        series = panel.values[role]
        between = 0.5 * (series[:, :-2] + series[:, 2:])
        calm = (np.abs(series[:, 2:] - series[:, :-2]) < 1.5 * np.abs(between)) & (np.abs(between) > floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            decades = np.abs(np.log10(np.abs(series[:, 1:-1] / between)))
        jump = calm & ((np.abs(decades - 3.0) < 0.2) | (np.abs(decades - 2.0) < 0.2))
        bad[:, 1:-1] |= jump
    if not bad.any():
        return panel
    rejects.add("100 or 1000 times its neighbours in time (mixed units?)", np.sort(panel.line[bad]))
    return replace(
        panel, line=np.where(bad, -1, panel.line), values={k: np.where(bad, np.nan, v) for k, v in panel.values.items()}
    )
