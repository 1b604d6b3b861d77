"""Read a panel table as people deliver it: any delimiter, BOM, decimal commas, gzip; nothing is dropped unreported."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tasks.contracts.errors import HandshakeError, MissingInputError
from tasks.subsidence.stage1.panel_columns import SIBLING, TEXT_ROLES, find_columns

_MAX_BYTES = 2 * 2**30
_CHUNK_ROWS = 50_000
_LONGEST_NUMBER = 40  # characters; one giant cell must not widen a whole array
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
_NUMERALS = frozenset("0123456789+-.eE")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)


@dataclass
class Rejects:
    """Rows that were dropped: reason to count, and the first lines of the file as examples."""

    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, lines: np.ndarray | list[int]) -> None:
        """Record dropped rows by their line numbers."""
        if len(lines):
            self.counts[reason] = self.counts.get(reason, 0) + len(lines)
            known = self.lines.setdefault(reason, [])
            known.extend(int(line) for line in lines[: 5 - len(known)])


@dataclass(frozen=True)
class Rows:
    """Panel rows as read: numbers per role (n,), NaN where a cell was empty; text per role; file line numbers."""

    line: np.ndarray
    numbers: dict[str, np.ndarray]
    texts: dict[str, np.ndarray]
    columns: dict[str, str]

    def keep(self, mask: np.ndarray, reason: str, rejects: Rejects) -> "Rows":
        """The rows where mask is true; the others are recorded under the reason."""
        if mask.all():
            return self
        rejects.add(reason, self.line[~mask])
        return replace(
            self,
            line=self.line[mask],
            numbers={k: v[mask] for k, v in self.numbers.items()},
            texts={k: v[mask] for k, v in self.texts.items()},
        )


def read_table(path: Path) -> tuple[bytes, str]:
    """Bytes of the file as they are, and its text. Raises MissingInputError, HandshakeError."""
    if not path.is_file():
        raise MissingInputError("does not exist", where=f"panel CSV {path.name}", remedy="Check the path of --csv.")
    raw = path.read_bytes()
    data = _unpack(raw, path.name)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw, data.decode(encoding)
    except UnicodeDecodeError as error:
        raise HandshakeError(
            "is not UTF-8 text",
            where=f"panel CSV {path.name}",
            found=f"byte {error.start}",
            remedy="Save the table as CSV in UTF-8.",
        ) from error


def read_rows(text: str, chosen: dict[str, str], rejects: Rejects) -> Rows:
    """Parse the table; rows with a wrong field count or text where a number belongs are rejected with the reason."""
    first = text[:100_000].split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    columns = find_columns(header, chosen)
    chunks = [_parse(*chunk, columns, header, delimiter, rejects) for chunk in _chunks(reader, len(header), rejects)]
    if not chunks:
        raise HandshakeError("has a header and no rows", where="panel CSV", remedy="Check the export of the table.")
    return _join(chunks, columns)


def parse_numbers(cells: list[str], *, decimal_comma: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) with NaN for empty cells, and a mask of the cells that are no numbers."""
    values = _plain(cells)
    if values is None:
        parsed = [_number(cell.strip(), decimal_comma) for cell in cells]
        values = np.array([np.inf if value is None else value for value in parsed])
    bad = np.isinf(values)
    return np.where(bad, np.nan, values), bad


def _plain(cells: list[str]) -> np.ndarray | None:
    """All cells at once where they hold nothing but digits and signs; None where each has to be looked at."""
    if max(map(len, cells)) > _LONGEST_NUMBER or not _NUMERALS.issuperset("".join(cells)):
        return None
    try:
        return np.array(cells, dtype=str).astype(float)
    except ValueError:  # an empty cell somewhere
        return None


def _number(cell: str, decimal_comma: bool) -> float | None:
    if cell.casefold() in _MISSING:
        return float("nan")
    if decimal_comma and _COMMA_NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    return float(cell) if _NUMBER.fullmatch(cell) else None


def _unpack(raw: bytes, name: str) -> bytes:
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        with gzip.open(io.BytesIO(raw)) as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise HandshakeError(
            f"is a damaged gzip file ({error})", where=f"panel CSV {name}", remedy="Fetch it again."
        ) from error
    if len(data) > _MAX_BYTES:
        raise HandshakeError(
            "unpacks to too much",
            where=f"panel CSV {name}",
            expected=f"at most {_MAX_BYTES} bytes",
            remedy="Split the table by city.",
        )
    return data


def _chunks(reader: Iterator[list[str]], width: int, rejects: Rejects) -> Iterator[tuple[list[list[str]], list[int]]]:
    rows, lines = [], []
    try:
        for row in reader:
            if len(row) == width:
                rows.append(row)
                lines.append(reader.line_num)
            elif any(cell.strip() for cell in row):
                rejects.add("another number of fields than the header", [reader.line_num])
            if len(rows) == _CHUNK_ROWS:
                yield rows, lines
                rows, lines = [], []
    except csv.Error as error:
        raise HandshakeError(
            f"cannot be parsed ({error})",
            where=f"panel CSV line {reader.line_num}",
            remedy="Check the quotes on that line.",
        ) from error
    if rows:
        yield rows, lines


def _parse(
    rows: list[list[str]],
    lines: list[int],
    columns: dict[str, str],
    header: list[str],
    delimiter: str,
    rejects: Rejects,
) -> Rows:
    cells = {role: [row[at] for row in rows] for role, at in ((r, header.index(c)) for r, c in columns.items())}
    texts = {
        role: np.array([cell.strip() for cell in cells[role]], dtype=object) for role in TEXT_ROLES if role in cells
    }
    numbers, broken = {}, {}
    for role in columns:
        if role not in TEXT_ROLES:
            numbers[role], broken[role] = parse_numbers(cells[role], decimal_comma=delimiter != ",")
    parsed = Rows(line=np.array(lines), numbers=numbers, texts=texts, columns=columns)
    good = np.ones(len(lines), dtype=bool)
    for role, bad in broken.items():
        if role.startswith(SIBLING):
            continue
        fresh = bad & good
        rejects.add(f"'{columns[role]}' is not a number", parsed.line[fresh])
        good &= ~bad
    return parsed.keep(good, "", Rejects())


def _join(chunks: list[Rows], columns: dict[str, str]) -> Rows:
    first = chunks[0]
    return Rows(
        line=np.concatenate([chunk.line for chunk in chunks]),
        columns=columns,
        numbers={k: np.concatenate([chunk.numbers[k] for chunk in chunks]) for k in first.numbers},
        texts={k: np.concatenate([chunk.texts[k] for chunk in chunks]) for k in first.texts},
    )
