"""One folder with everything that can be wrong with a tile, and good tiles among it."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.tiles.engine.cases import tile, write_tile
from tests.tiles.files.made import bands, npz, npz_of_headers

Content = bytes | np.ndarray | dict[str, np.ndarray]
KNOWN = {"month": 5, "biome_code": 3}


class Bad(NamedTuple):
    """How a tile is made, and the class, phase and words of its failure."""

    make: Callable[[], Content]
    error: str
    says: str = ""
    phase: str = "read"
    sidecar: bytes | None = None


def one_byte_changed() -> bytes:
    data = bytearray(npz(opt_v1=tile()))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def three_bands() -> dict[str, np.ndarray]:
    return {name: band for name, band in bands(tile()).items() if name != "s2_b8"}


def both_layouts() -> dict[str, np.ndarray]:
    return {"opt_v1": tile(), **bands(tile() + np.float32(0.01))}


def integers() -> np.ndarray:
    return (tile() * 10_000).astype(np.uint16)


def beside(sidecar: bytes, error: str, says: str = "") -> Bad:
    """A good tile with a bad sidecar."""
    return Bad(tile, error, says, "sidecar", sidecar)


def field(name: str, value: object) -> Bad:
    error = {"month": "InvalidMonthError", "biome_code": "InvalidBiomeError"}[name]
    return beside(json.dumps({name: value}).encode(), error, str(value).lower())


BAD = {
    "no_zip": Bad(lambda: b"no archive", "TileReadError"),
    "no_bytes": Bad(lambda: b"", "TileReadError"),
    "truncated": Bad(lambda: npz(opt_v1=tile())[:900], "TileReadError"),
    "checksum": Bad(one_byte_changed, "TileReadError"),
    "objects": Bad(lambda: npz(opt_v1=np.array([{}], dtype=object)), "TileReadError"),
    "pickle": Bad(lambda: pickle.dumps(tile()), "TileReadError"),
    "three_bands": Bad(three_bands, "TileShapeError", "s2_b8 missing"),
    "other_key": Bad(lambda: {"image": tile()}, "TileShapeError", "image"),
    "three_channels": Bad(lambda: tile()[:3], "TileShapeError", "(3, 32, 32)"),
    "channels_last": Bad(lambda: np.moveaxis(tile(), 0, -1), "TileShapeError", "(32, 32, 4)"),
    "frames": Bad(lambda: np.stack([tile(), tile()]), "TileShapeError", "(2, 4, 32, 32)"),
    "one_row": Bad(lambda: tile(0, 1, 32), "TileShapeError"),
    "lying_header": Bad(lambda: npz_of_headers(opt_v1=(4, 9000, 9000)), "TileTooLargeError"),
    "both_layouts": Bad(both_layouts, "AmbiguousInputError"),
    "integers": Bad(integers, "AmbiguousUnitsError", "--scale"),
    "unscaled": Bad(lambda: tile() * 10_000, "ValueRangeError", "looks like integer reflectance, use --scale"),
    "standardised": Bad(lambda: tile() * 8 - 2, "ValueRangeError", "looks like standardised values"),
    "all_nan": Bad(lambda: np.full((4, 32, 32), np.nan, np.float32), "TileEmptyError"),
    "all_nodata": Bad(lambda: np.zeros((4, 32, 32), np.float32), "TileEmptyError", sidecar=b'{"nodata": 0}'),
    "not_json": beside(b"{", "SidecarError"),
    "no_object": beside(b"[1]", "SidecarError", "object"),
    "not_utf8": beside(b'{"month": "\xff"}', "SidecarError"),
    "month_0": field("month", 0),
    "month_13": field("month", 13),
    "month_foo": field("month", "foo"),
    "month_6.5": field("month", 6.5),
    "month_true": field("month", True),
    "biome_-1": field("biome_code", -1),
    "biome_16": field("biome_code", 16),
    "biome_3.5": field("biome_code", 3.5),
    "biome_forest": field("biome_code", "forest"),
}  # fmt: skip


def with_gaps(value: float) -> np.ndarray:
    """A tile without a value at row 4, column 7 of B04."""
    values = tile(1)
    values[2, 4, 7] = value
    return values


GOOD = {
    "good_120": (tile(1, 120), KNOWN),
    "good_224": (tile(2, 224), KNOWN),
    "good_100x90": (tile(3, 100, 90), KNOWN),
    "good_17": (tile(4, 17), KNOWN),
    "good_long": (tile(5, 1040, 16), KNOWN),
    "good_nan": (with_gaps(np.nan), KNOWN),
    "good_inf": (with_gaps(-np.inf), KNOWN),
    "good_nodata": (with_gaps(-9999), KNOWN | {"nodata": -9999}),
    "good_clipped": (with_gaps(1.25), KNOWN),
    "good_nan_sidecar": (tile(6), KNOWN | {"quality": float("nan"), "limits": [float("-inf"), 1]}),
    "good_no_month": (tile(7), {"biome_code": 3}),
    "good_no_sidecar": (tile(8), None),
    "-good dash": (tile(9), KNOWN),
    "good ü 日本": (tile(10), KNOWN),
}


def write_all(folder: Path) -> Path:
    """Every tile of both tables, and a sidecar without a tile."""
    for name, (values, sidecar) in GOOD.items():
        write_tile(folder, name, values, sidecar)
    for name, bad in BAD.items():
        made = bad.make()
        made = {"opt_v1": made} if isinstance(made, np.ndarray) else made
        (folder / f"{name}.npz").write_bytes(made if isinstance(made, bytes) else npz(**made))
        if bad.sidecar is not None:
            (folder / f"{name}.json").write_bytes(bad.sidecar)
    (folder / "orphan.json").write_text("{}")
    return folder
