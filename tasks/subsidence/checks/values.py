"""Checks of the numbers as such: finite, one-hot, scaled as recorded, varying."""

from collections.abc import Iterator

import numpy as np

from tasks.subsidence.checks.evidence import Bundle, Evidence
from tasks.subsidence.checks.registry import Finding, Note, Outcome, Skip, check
from tasks.subsidence.checks.views import View, as_float32, is_numeric, known_arrays

FIT_TOLERANCE = 1e-6
FAR = (-1.0, 2.0)  # what a value outside the train range may be scaled to
ONE_HOT_TOLERANCE = 1e-6


def finite_ratio(array: np.ndarray) -> float:
    """Share of values that are finite as float32, 1 for an empty array."""
    return float(np.isfinite(as_float32(array)).mean()) if array.size else 1.0


def finite_ratios(e: Evidence) -> dict[str, float]:
    """Finite ratio of every known numeric array, by `bundle.array`."""
    return {f"{bundle.name}.{name}": finite_ratio(array) for bundle, name, array in _numeric(e)}


def _numeric(e: Evidence) -> Iterator[tuple[Bundle, str, np.ndarray]]:
    for bundle in e.bundles.values():
        for name in known_arrays(bundle.name):
            if name in bundle.arrays and is_numeric(bundle.arrays[name]):
                yield bundle, name, bundle.arrays[name]


def _unread(e: Evidence) -> Iterator[Skip]:
    yield from (Skip(bundle.unread) for bundle in e.bundles.values() if bundle.unread is not None)


@check("V-01", "fail", pub="y (train, val)")
def all_finite(e: Evidence) -> Iterator[Outcome]:
    """Every value is finite; future targets are all NaN."""
    for bundle, name, stored in _numeric(e):
        array = as_float32(stored)
        good = int(np.isfinite(array).sum())
        where = f"{bundle.file} '{name}'"
        if bundle.name == "future_targets":
            if good:
                yield Finding(
                    where,
                    f"holds {good} finite values, the future has no truth",
                    "all NaN",
                    str(good),
                    "Check that these are not observations that a model could learn from.",
                    "warn",
                )
        elif good < array.size:
            first = ", ".join(str(i) for i in np.argwhere(~np.isfinite(array))[0].tolist())
            yield Finding(
                where,
                f"has {array.size - good} values of {array.size} that are NaN or infinite (first at [{first}])",
                "all finite",
                f"finite ratio {good / array.size:.6f}",
                "Fill or drop these windows in Stage-1.",
            )
    yield from _unread(e)


@check("V-02", "record", pub="r")
def finite_record(e: Evidence) -> Iterator[Outcome]:
    """Finite ratio of every array and split."""
    yield Note(", ".join(f"{place} {ratio:g}" for place, ratio in finite_ratios(e).items()))


@check("V-03", "fail", pub="-", reads="train val test future oos_time")
def one_hot_blocks(e: Evidence) -> Iterator[Outcome]:
    """Columns of one category are 0 or 1 and sum to 1."""
    blocks = e.manifest.one_hot_blocks()
    for view in e.each():
        where = f"{view.file} 'static_features'"
        if view.split.static.shape[1] != len(e.manifest.config.features.static):
            yield Skip(f"{where} does not match its names (S-03)")
            continue
        for category, columns in blocks.items():
            yield from _one_block(where, category, view.split.static[:, list(columns)])


def _one_block(where: str, category: str, block: np.ndarray) -> Iterator[Outcome]:
    total = block.sum(axis=1, dtype=np.float64)
    binary = (np.minimum(np.abs(block), np.abs(block - 1)) <= ONE_HOT_TOLERANCE).all(axis=1)
    wrong = ~binary | ((np.abs(total - 1) > ONE_HOT_TOLERANCE) & (np.abs(total) > ONE_HOT_TOLERANCE))
    unseen = int((binary & (np.abs(total) <= ONE_HOT_TOLERANCE)).sum())
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        yield Finding(
            where,
            f"has {int(wrong.sum())} windows whose {category!r} columns are not one-hot (first: window "
            f"{row}, sum {total[row]:g})",
            "0 or 1, sum 1",
            f"sum {total[row]:g}",
        )
    if unseen:
        yield Finding(
            where,
            f"has {unseen} windows of a {category!r} unseen in training (all zeros)",
            "sum 1",
            "sum 0",
            "Forecasts there rest on the other columns.",
            "warn",
        )


@check("V-04", "fail", pub="-", reads="train val test future oos_time")
def scaled_columns(e: Evidence) -> Iterator[Outcome]:
    """MinMax columns are in [0, 1] on train and near it elsewhere."""
    scaled = set(e.manifest.artifacts.encoders.scaled_ml_numeric_cols)
    for view in e.each():
        for array, name, values in named_columns(e, view):
            if name not in scaled:
                continue
            low, high = float(values.min()), float(values.max())
            train = view.name == "train"
            limits = (0 - FIT_TOLERANCE, 1 + FIT_TOLERANCE) if train else FAR
            if low < limits[0] or high > limits[1]:
                wanted = "[0, 1]" if train else f"[{FAR[0]:g}, {FAR[1]:g}]"
                yield Finding(
                    f"{view.file} '{array}' {name}",
                    f"is scaled to {low:.6g}..{high:.6g}, expected {wanted}",
                    wanted,
                    f"{low:.6g}..{high:.6g}",
                    severity="fail" if train else "warn",
                )


def named_columns(e: Evidence, view: View) -> Iterator[tuple[str, str, np.ndarray]]:
    """Array name, feature name and values of every column whose width matches the names."""
    features = e.manifest.config.features
    split = view.split
    arrays = (
        ("dynamic_features", split.dynamic, features.dynamic),
        ("static_features", split.static, features.static),
        ("future_features", split.future, features.future),
    )
    for array, values, names in arrays:
        if values.shape[-1] == len(names):
            yield from ((array, name, values[..., column]) for column, name in enumerate(names))


@check("V-05", "warn", pub="-", reads="train val test future oos_time")
def channels_vary(e: Evidence) -> Iterator[Outcome]:
    """No dynamic channel is constant, none repeats another."""
    for view in e.each():
        channels = {name: values for array, name, values in named_columns(e, view) if array == "dynamic_features"}
        for name, values in channels.items():
            if values.size > 1 and (values == values.flat[0]).all():
                yield Finding(
                    f"{view.file} 'dynamic_features' {name}",
                    f"is {values.flat[0]:g} everywhere",
                    "values that vary",
                    f"{values.flat[0]:g}",
                    "Check the column in the source table.",
                )
        names = list(channels)
        for i, name in enumerate(names):
            for other in names[i + 1 :]:
                if np.array_equal(channels[name], channels[other]):
                    yield Finding(
                        f"{view.file} 'dynamic_features'",
                        f"{name} and {other} are the same numbers",
                        "different channels",
                        "equal",
                        "Drop one of them in Stage-1.",
                    )
