"""Small tiles, archives and settings for the tests of files."""

import io
import zipfile

import numpy as np

from tasks.contracts.errors import StagegateError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.reader import Tile, read_tile


def tile(height: int = 3, width: int = 4, value: float = 0.25) -> np.ndarray:
    """(4,H,W) float32; the bands differ by 0.1."""
    return np.full((4, height, width), value, np.float32) + np.arange(4, dtype=np.float32)[:, None, None] / 10


def bands(values: np.ndarray) -> dict[str, np.ndarray]:
    """The same tile in the other layout."""
    return {f"s2_b{number}": band for number, band in zip((2, 3, 4, 8), values)}


def npz(**arrays: np.ndarray) -> bytes:
    """What numpy.savez writes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npz_of_headers(**shapes: tuple[int, ...]) -> bytes:
    """An archive whose headers claim float32 arrays of these shapes, followed by 64 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, shape in shapes.items():
            header = io.BytesIO()
            fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, fields)
            archive.writestr(f"{key}.npy", header.getvalue() + bytes(64))
    return buffer.getvalue()


def read(data, meta: TileMeta | None = None, *, num_frames: int = 1, **settings) -> Tile:
    """The tile `t` of an archive, under the default settings with these changes."""
    return read_tile(data, "t", meta or TileMeta(), TilesConfig(**settings), num_frames)


def said(error: StagegateError) -> dict[str, str]:
    """The parts of a message, each as text."""
    parts = {name: getattr(error, name) for name in ("what", "where", "expected", "found", "remedy")}
    return {name: str(part) for name, part in parts.items()}
