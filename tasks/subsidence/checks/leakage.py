"""Checks of the split: disjoint groups, no row twice, and what kind of score it can give."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.places import nearest, offsets_m
from tasks.subsidence.checks.registry import Finding, Note, Outcome, Skip, check
from tasks.subsidence.checks.views import View

SAME_PLACE_M = 0.5
LONLAT_DECIMALS = 7
SPLIT = ("train", "val", "test")
SPLIT_AGAIN = "Split again by group; a score on seen groups means nothing."


@check("G-01", "fail", pub="-", reads="train val test")
def groups_disjoint(e: Evidence) -> Iterator[Outcome]:
    """No group is in two of train, validation and test, by the CSVs and by the decoded places."""
    yield from _listed_twice(e)
    places = {view.name: offsets_m(e, view.split.coords) for view in e.each(*SPLIT)}
    if any(offsets is None for offsets in places.values()):
        yield Skip("places do not decode (C-02)")
        return
    for one, other in combinations(places, 2):
        distance, _ = nearest(places[one], places[other])
        shared = int((distance <= SAME_PLACE_M).sum())
        if shared:
            yield Finding(
                f"{one}_inputs.npz and {other}_inputs.npz",
                f"share {shared} places (within {SAME_PLACE_M} m)",
                "disjoint groups",
                f"{shared} shared",
                SPLIT_AGAIN,
            )


def _listed_twice(e: Evidence) -> Iterator[Outcome]:
    listed = {}
    for split, groups in e.groups.items():
        if groups.lonlat is None:
            if groups.problem:
                yield Skip(groups.problem)
            continue
        listed[split] = {tuple(row) for row in np.round(groups.lonlat, LONLAT_DECIMALS).tolist()}
    for one, other in combinations(listed, 2):
        shared = len(listed[one] & listed[other])
        if shared:
            yield Finding(
                f"{one} and {other} group CSVs",
                f"share {shared} groups",
                "disjoint groups",
                f"{shared} shared",
                SPLIT_AGAIN,
            )


@check("G-02", "fail", pub="-", reads="train val test")
def rows_unique(e: Evidence) -> Iterator[Outcome]:
    """No window is in two splits with all inputs equal."""
    rows = {view.name: _row_bytes(view) for view in e.each(*SPLIT)}
    for one, other in combinations(rows, 2):
        shared = len(rows[one] & rows[other])
        if shared:
            yield Finding(
                f"{one}_inputs.npz and {other}_inputs.npz",
                f"share {shared} windows with all inputs equal",
                "no window twice",
                f"{shared} shared",
                SPLIT_AGAIN,
            )


def _row_bytes(view: View) -> set[bytes]:
    split = view.split
    arrays = (split.coords, split.dynamic, split.static, split.future, split.thickness)
    rows = len(split)
    flat = np.concatenate([array.reshape(rows, -1) for array in arrays], axis=1) + np.float32(0)  # one spelling of zero
    return {row.tobytes() for row in flat}


@check("G-03", "warn", pub="-", reads="train val test")
def neighbours_near(e: Evidence) -> Iterator[Outcome]:
    """How far validation and test lie from train; a random split measures spatial interpolation."""
    train = e.view("train")
    medians = {}
    for view in e.each("val", "test"):
        places = [offsets_m(e, part.split.coords) for part in (train, view) if part is not None]
        if len(places) == 2 and places[0] is not None:
            medians[view.name] = float(np.median(nearest(*places)[0]))
    text = ", ".join(f"{split} {metres:.0f} m" for split, metres in medians.items()) or "unknown"
    strategy = (e.manifest.config.holdout.strategy or "").strip().lower()
    if strategy == "random":
        yield Finding(
            "split",
            f"is random, median distance to the nearest train place: {text}; scores are a spatial interpolation score",
            "a split by blocks or by time",
            "random",
            "Read scores as interpolation, or prepare with --holdout spatial_block.",
        )
    else:
        yield Note(f"median distance to the nearest train place: {text}; strategy {strategy or 'not recorded'}")


@check("G-04", "warn", pub="-", reads="train val test")
def time_held_out(e: Evidence) -> Iterator[Outcome]:
    """Some location has windows of several origins, or later test windows give a score of later years."""
    if e.view("oos_time") is not None:
        yield Finding(
            "handoff",
            "holds an out-of-time split, which is audited but not scored",
            "a hold-out in time that is scored",
            "oos_time bundles",
            "Skill of a true forecast shows only against later observations (--truth) or with --holdout temporal.",
        )
        return
    if _test_is_later(e):
        yield Note("test windows end later than train windows")
        return
    views = list(e.each(*SPLIT))
    places = [offsets_m(e, view.split.coords) for view in views]
    if not views or any(offsets is None for offsets in places):
        yield Skip("places do not decode (C-02)")
        return
    keys = np.round(np.concatenate(places) / SAME_PLACE_M).astype(np.int64)
    if len(np.unique(keys, axis=0)) == len(keys):
        yield Finding(
            "handoff",
            "has one window per group: no temporal hold-out in this handoff",
            "several origins per group, or test windows that end later",
            "one window per group",
            "Skill of a true forecast shows only against later observations (--truth).",
        )


def _test_is_later(e: Evidence) -> bool:
    train, test = e.view("train"), e.view("test")
    if train is None or test is None or e.georef.span is None:
        return False
    last = [e.georef.scaled(view.split.coords)[..., 0].max() for view in (train, test)]
    return bool(last[1] - last[0] > 0.5)
