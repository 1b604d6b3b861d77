"""One array as NPZ bytes: fixed date, so that equal arrays give equal bytes; values are copied once."""

import io
import zipfile
from typing import Literal

import numpy as np

Compression = Literal["none", "zlib1", "zlib6"]

_LEVELS = {"zlib1": 1, "zlib6": 6}


def single_array(key: str, array: np.ndarray, compression: Compression = "none") -> bytes:
    """NPZ of one C-ordered array. Packed bytes may differ between zlib versions."""
    pieces = _Pieces()
    method = zipfile.ZIP_STORED if compression == "none" else zipfile.ZIP_DEFLATED
    level = _LEVELS.get(compression)
    # A member that is opened by name gets the first date that the format knows, whatever the day.
    with (
        zipfile.ZipFile(pieces, "w", method, compresslevel=level) as archive,
        archive.open(f"{key}.npy", "w") as stream,
    ):
        stream.write(_npy_header(array))
        stream.write(memoryview(array).cast("B"))
    return b"".join(pieces.held)


class _Pieces:
    """A file that only grows and keeps what it is given as it is, so that zipfile cannot seek and nothing is copied."""

    def __init__(self):
        self.held: list = []

    def write(self, piece) -> int:
        self.held.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing waits."""


def _npy_header(array: np.ndarray) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue()
