"""Which column of a panel means what: names seen in the field, and the choice of the caller above them."""

import difflib

from tasks.contracts.errors import ConfigError, HandshakeError

# role -> names, best first; matched without regard to case
ALIASES: dict[str, tuple[str, ...]] = {
    "longitude": ("longitude", "lon", "lng"),
    "latitude": ("latitude", "lat"),
    "year": ("year",),
    "subsidence_cum": ("subsidence_cum", "cumulative_subsidence", "subs_cum"),
    "subsidence_rate": ("subsidence", "subsidence_rate", "subs_rate"),
    "depth": ("GWL_depth_bgs_m", "GWL_depth_bgs", "depth_to_water", "GWL"),
    "head": ("head_m", "head", "hydraulic_head"),
    "z_surf": ("z_surf_m", "z_surf", "elevation_m", "elevation"),
    "thickness": ("soil_thickness", "compressible_thickness", "thickness_m", "thickness"),
    "rainfall": ("rainfall_mm", "rainfall", "rain_mm", "precip_mm"),
    "urban": ("urban_load_global", "normalized_density", "urban_load", "normalized_urban_load_proxy"),
    "lithology": ("lithology", "geology"),
    "lithology_class": ("lithology_class",),
    "city": ("city",),
}
SIBLING = "sibling:"  # role prefix of a second column of one quantity, read only to compare units
TEXT_ROLES = ("lithology", "lithology_class", "city")
_REQUIRED = (
    ("longitude",),
    ("latitude",),
    ("year",),
    ("subsidence_cum", "subsidence_rate"),
    ("depth", "head"),
    ("thickness",),
)


def find_columns(header: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """Role to column name. Raises ConfigError for an unknown role, HandshakeError for a missing or repeated column."""
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise HandshakeError(
            "repeats columns", where="panel CSV", found=", ".join(repeated), remedy="Rename one of them."
        )
    unknown = sorted(set(chosen) - set(ALIASES))
    if unknown:
        near = difflib.get_close_matches(unknown[0], ALIASES, n=2)
        raise ConfigError(
            f"unknown role '{unknown[0]}'",
            where="columns",
            expected=f"one of {', '.join(ALIASES)}",
            remedy=f"Did you mean {' or '.join(near)}?" if near else "",
        )
    folded = {name.casefold(): name for name in header}
    found = {}
    for role, names in ALIASES.items():
        wanted = (chosen[role],) if role in chosen else names
        match = next((folded[name.casefold()] for name in wanted if name.casefold() in folded), None)
        if match is not None:
            found[role] = match
        elif role in chosen:
            raise _missing(f"column '{chosen[role]}' chosen for {role}", wanted, header)
    for roles in _REQUIRED:
        if not any(role in found for role in roles):
            raise _missing(" or ".join(roles), [name for role in roles for name in ALIASES[role]], header)
    if "depth" not in found and "z_surf" not in found:
        raise _missing("surface elevation, which turns the head into a depth", ALIASES["z_surf"], header)
    return found | _siblings(found, folded)


def _siblings(found: dict[str, str], folded: dict[str, str]) -> dict[str, str]:
    """Other columns named X, X_raw or X_m beside the depth and surface columns."""
    also = {}
    for role in ("depth", "z_surf"):
        base = found.get(role, "").casefold().removesuffix("_m").removesuffix("_raw")
        for name in (base, f"{base}_raw", f"{base}_m"):
            if name in folded and folded[name] != found[role]:
                also[f"{SIBLING}{role}:{name}"] = folded[name]
    return also


def _missing(what: str, names: object, header: list[str]) -> HandshakeError:
    return HandshakeError(
        f"has no {what}",
        where="panel CSV",
        expected=f"one of {', '.join(names)}",
        found=", ".join(header[:30]),
        remedy="Name the column with columns={role: name}.",
    )
