"""Pictures of refined tiles: before, after and what changed, side by side."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from tasks.tiles.metrics import BLUE, GREEN, RED
from tasks.tiles.tile_quality import Figures, Pair

DPI = 150
PANEL_PX = 640  # at least; small tiles are enlarged by a whole number
BRIGHTNESS, DIFFERENCE = 2.0, 10.0
TITLES = ("opt_v1 (Stage 1)", "opt_v2 (Stage 2: Prithvi refined)", "Difference × 10")
NOTES = (
    "B04, B03, B02 × 2, clipped to 0..1",
    "B04, B03, B02 × 2, clipped to 0..1",
    "opt_v2 − opt_v1 in B04, B03, B02; grey: no change, full range ±0.05",
)
MARGIN, GAP, TITLE_PX, NOTE_PX, HEADING_PX = 28, 22, 23, 15, 19
INK, MUTED, PAPER = (24, 28, 33), (98, 105, 114), (255, 255, 255)
MISSING = (np.array([236, 190, 214], np.uint8), np.array([222, 168, 197], np.uint8))
CHECK_PX = 8

Role = Literal["first", "last", "worst"]


@dataclass(frozen=True)
class Quicklook:
    """One picture, or why there is none."""

    id: str
    role: Role
    png: bytes | None
    error: str = ""


def chosen(tiles: Sequence[Figures], count: int) -> list[tuple[str, Role]]:
    """Ids to show, at most `count`: the first, the last, then the worst by NDVI RMSE."""
    ids = [tile["id"] for tile in tiles]
    ranked = sorted(tiles, key=lambda tile: (-_ndvi_rmse(tile), tile["id"]))
    wanted: list[tuple[str, Role]] = [(i, "first") for i in ids[:1]] + [(i, "last") for i in ids[-1:]]
    roles: dict[str, Role] = {}
    for tile_id, role in [*wanted, *((tile["id"], "worst") for tile in ranked)]:
        roles.setdefault(tile_id, role)
    return list(roles.items())[:count]


def quicklooks(tiles: Sequence[Figures], load: Callable[[str], Pair], count: int = 8) -> list[Quicklook]:
    """The pictures of the chosen tiles; one that cannot be made is an entry with its error, never an exception."""
    figures = {tile["id"]: tile for tile in tiles}
    return [_attempt(figures[tile_id], role, load) for tile_id, role in chosen(tiles, count)]


def picture(pair: Pair, heading: str, detail: str = "") -> bytes:
    """PNG at 150 dpi: opt_v1, opt_v2 and ten times their difference, with a heading above."""
    with np.errstate(invalid="ignore"):
        panels = [_colours(pair.v1), _colours(pair.v2), _change(pair)]
    images = [_enlarged(panel) for panel in panels]
    width, height = images[0].size
    top = MARGIN + HEADING_PX + 20 + TITLE_PX + 8 + NOTE_PX + 12
    sheet = Image.new("RGB", (2 * MARGIN + 3 * width + 2 * GAP, top + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    _line(draw, (MARGIN, MARGIN), heading, HEADING_PX, INK, 0.4 * sheet.width)
    _line(draw, (sheet.width - MARGIN, MARGIN), detail, NOTE_PX, MUTED, 0.55 * sheet.width, anchor="ra")
    for number, (image, title, note) in enumerate(zip(images, TITLES, NOTES, strict=True)):
        left = MARGIN + number * (width + GAP)
        _line(draw, (left, MARGIN + HEADING_PX + 20), title, TITLE_PX, INK, width)
        _line(draw, (left, MARGIN + HEADING_PX + 20 + TITLE_PX + 8), note, NOTE_PX, MUTED, width)
        sheet.paste(image, (left, top))
    return _png(sheet, heading)


def _attempt(figures: Figures, role: Role, load: Callable[[str], Pair]) -> Quicklook:
    try:
        return Quicklook(figures["id"], role, picture(load(figures["id"]), *_words(figures, role)))
    except Exception as error:  # a picture is worth no run
        return Quicklook(figures["id"], role, None, f"{type(error).__name__}: {error}")


def _words(figures: Figures, role: Role) -> tuple[str, str]:
    known = {"ndvi_rmse": "NDVI RMSE", "edge_correlation": "edge correlation", "change_rms": "RMS change"}
    shown = [f"{label} {figures[name]:.3f}" for name, label in known.items() if figures[name] is not None]
    place = f"month {figures['month']}, biome {figures['biome_code']}"
    size = f"{figures['height']} × {figures['width']} px"
    if figures["valid_fraction"] < 1:
        missing = round((1 - figures["valid_fraction"]) * figures["height"] * figures["width"])
        size += f", {missing} without data (pink)"
    said = {"first": "first tile", "last": "last tile", "worst": "among the worst by NDVI RMSE"}[role]
    return f"{figures['id']}  ({said})", "  ·  ".join([place, size, *shown])


def _ndvi_rmse(tile: Figures) -> float:
    return -math.inf if tile["ndvi_rmse"] is None else tile["ndvi_rmse"]


def _colours(tile: np.ndarray) -> np.ndarray:
    return _shaded(BRIGHTNESS * tile[[RED, GREEN, BLUE]], np.isfinite(tile).all(axis=0))


def _change(pair: Pair) -> np.ndarray:
    change = pair.v2 - pair.v1
    return _shaded(0.5 + DIFFERENCE * change[[RED, GREEN, BLUE]], np.isfinite(change).all(axis=0))


def _shaded(rgb: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W, 3) bytes; pixels without a value are a chequerboard."""
    y, x = np.indices(valid.shape) // CHECK_PX
    board = np.where(((x + y) % 2 == 0)[..., None], *MISSING)
    colours = np.round(255 * np.clip(np.nan_to_num(rgb), 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    return np.where(valid[..., None], colours, board)


def _enlarged(panel: np.ndarray) -> Image.Image:
    """Small tiles keep square pixels; larger ones are averaged down."""
    image, side = Image.fromarray(panel), max(panel.shape[:2])
    if side > 1.5 * PANEL_PX:
        factor = PANEL_PX / side
        smaller = tuple(max(1, round(length * factor)) for length in image.size)
        return image.resize(smaller, Image.Resampling.BOX)
    factor = math.ceil(PANEL_PX / side)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _line(draw: ImageDraw.ImageDraw, at, text: str, size: int, colour, room: float, anchor: str = "la") -> None:
    font = _font(size)
    shown, kept = text, len(text)
    while kept and draw.textlength(shown, font) > room:
        kept -= 1
        shown = f"{text[:kept].rstrip()}..."
    draw.text(at, shown, colour, font, anchor=anchor)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which knows most scripts and lies in matplotlib's folder; else Pillow's own, which knows Latin."""
    package = find_spec("matplotlib")
    for folder in package.submodule_search_locations or () if package else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def _png(sheet: Image.Image, title: str) -> bytes:
    described = PngInfo()
    described.add_itxt("Title", title)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", dpi=(DPI, DPI), pnginfo=described)
    return buffer.getvalue()
