"""Distances between places, in metres, whatever the coordinates are stored in."""

import math

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.handoff.georef import epsg_code, try_project

METRES_PER_DEGREE = 111_132.0


def metres_per_degree(e: Evidence) -> tuple[float, float]:
    """Metres per degree of longitude and of latitude: the recorded ones, else those of a sphere."""
    scaling = e.manifest.scaling
    latitude = scaling.lat_ref_deg if scaling.lat_ref_deg is not None else 0.0
    east = scaling.deg_to_m_lon if scaling.deg_to_m_lon else METRES_PER_DEGREE * math.cos(math.radians(latitude))
    return east, scaling.deg_to_m_lat or METRES_PER_DEGREE


def places_m(e: Evidence, places: np.ndarray) -> np.ndarray:
    """(N, 2) decoded or scaled places as metres; differences are what counts."""
    return places * np.array(metres_per_degree(e)) if e.manifest.scaling.coords_in_degrees else places


def offsets_m(e: Evidence, coords: np.ndarray) -> np.ndarray | None:
    """(N, 2) metres from an unknown but common zero; None where the ranges are unknown."""
    scaled = e.georef.scaled(coords)
    return None if scaled is None else places_m(e, scaled[:, 0, 1:])


def projected_groups(e: Evidence, split: str) -> np.ndarray | None:
    """(G, 2) places of the groups of a split in the system of x and y; the future may use any group."""
    splits = (split,) if split in e.groups else tuple(e.groups)
    known = [e.groups[name].lonlat for name in splits if e.groups[name].lonlat is not None]
    if len(known) < len(splits):
        return None
    lonlat = np.concatenate(known)
    if e.manifest.scaling.coords_in_degrees:
        return lonlat
    epsg = epsg_code(e.manifest.scaling.coord_epsg_used)
    places = None if epsg is None else try_project(lonlat, epsg)
    return None if places is None else np.nan_to_num(places, posinf=1e12, neginf=-1e12)


def nearest(places: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) from each point to the nearest of `places`, and its row."""
    from scipy.spatial import cKDTree

    return cKDTree(places).query(points)
