"""Figures as people read them; rounding never turns a near miss into a perfect value."""

NONE = "–"
MINUS = "−"
DECIMALS = {"psnr_db": 2, "spectral_angle_deg": 2, "edge_shift_px": 1}
USUAL_DECIMALS = 4


def shown(name: str, value: float | None, *, signed: bool = False) -> str:
    """A figure with the decimals of its name; 0 and 1 are exact, what would round to them says so: 3e-06, > 0.9999."""
    if value is None:
        return NONE
    if value in (0, 1):
        return f"{value:+.0f}" if signed and value else f"{value:.0f}"
    decimals = DECIMALS.get(name, USUAL_DECIMALS)
    sign = "+" if signed and value else ""
    if value and abs(value) < 0.5 * 10**-decimals:
        return f"{value:{sign}.0e}".replace("-", MINUS, 1) if value < 0 else f"{value:{sign}.0e}"
    if value < 1 and f"{value:.{decimals}f}" == f"{1:.{decimals}f}" and not signed:
        return f"> {1 - 10**-decimals:.{decimals}f}"
    return f"{value:{sign}.{decimals}f}".replace("-", MINUS)


def share(value: float | None) -> str:
    """0.25 -> 25 %; 100 % and 0 % only where it is all or none."""
    if value is None:
        return NONE
    percent = 100 * value
    if percent in (0, 100) or 0.5 <= percent < 99.5:
        return f"{percent:.0f} %"
    return "> 99.9 %" if percent >= 99.95 else "< 0.1 %" if percent < 0.05 else f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """0.04 s, 12.3 s, 2 min 5 s, 1 h 10 min."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rate(tiles_per_s: float) -> str:
    """Tiles per second, or minute where they are large; a dash where nothing was computed."""
    if tiles_per_s <= 0:
        return NONE
    return f"{tiles_per_s:.1f} tiles/s" if tiles_per_s >= 1 else f"{60 * tiles_per_s:.1f} tiles/min"
