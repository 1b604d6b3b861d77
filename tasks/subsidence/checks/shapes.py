"""Checks of array shapes: as recorded, as documented, as wide as the names, as long as each other."""

from collections.abc import Iterator

from tasks.subsidence.checks.evidence import SPLITS, Bundle, Evidence
from tasks.subsidence.checks.registry import Finding, Outcome, Skip, check
from tasks.subsidence.checks.views import known_arrays, misshapen

WIDTHS = {"static_features": "static", "dynamic_features": "dynamic", "future_features": "future"}
FEWEST = {"train": 8, "val": 4}


@check("S-01", "fail", pub="-")
def recorded_shapes(e: Evidence) -> Iterator[Outcome]:
    """Array shapes are those that the manifest recorded."""
    for name, shapes in e.manifest.artifacts.shapes.items():
        bundle = e.bundles.get(name)
        for array, recorded in shapes.items():
            found = bundle.arrays[array].shape if bundle is not None and array in bundle.arrays else None
            if found is not None and found != recorded:
                yield Finding(
                    f"{name}.npz '{array}'",
                    f"has shape {found}, manifest artifacts.shapes.{name}.{array} records {recorded}",
                    str(recorded),
                    str(found),
                )
    yield from _unread(e)


@check("S-02", "fail", pub="train only, no static")
def documented_shapes(e: Evidence) -> Iterator[Outcome]:
    """Arrays of all splits have the documented shapes."""
    for bundle in _readable(e):
        for array, expected, found in misshapen(e.manifest, bundle.name, bundle.arrays):
            yield Finding(
                f"{bundle.file} '{array}'",
                f"has shape {found}, expected {expected}{_meaning(e)}",
                expected,
                str(found),
                severity="fail" if bundle.required else "warn",
            )
    yield from _unread(e)


def _meaning(e: Evidence) -> str:
    config = e.manifest.config
    return f" (TIME_STEPS {config.TIME_STEPS}, FORECAST_HORIZON_YEARS {config.FORECAST_HORIZON_YEARS}, {config.MODE})"


@check("S-03", "fail", pub="D, F only")
def widths_match_names(e: Evidence) -> Iterator[Outcome]:
    """Arrays have as many columns as the manifest names."""
    for bundle in _readable(e):
        for array, block in WIDTHS.items():
            names = getattr(e.manifest.config.features, block)
            found = bundle.arrays.get(array)
            if bundle.name.endswith("_inputs") and found is not None and found.ndim and found.shape[-1] != len(names):
                last = f" (last name: {names[-1]})" if names else ""
                yield Finding(
                    f"{bundle.file} '{array}'",
                    f"has {found.shape[-1]} columns, manifest features.{block} lists {len(names)}{last}",
                    str(len(names)),
                    str(found.shape[-1]),
                )
    yield from _unread(e)


@check("S-04", "fail", pub="r")
def equal_lengths(e: Evidence) -> Iterator[Outcome]:
    """All arrays of a split have the same number of windows, and there are enough of them."""
    for split in SPLITS:
        lengths = {
            f"{split}_{part}.npz '{array}'": rows
            for part in ("inputs", "targets")
            for array, rows in _lengths(e.bundles.get(f"{split}_{part}"))
        }
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{array} {rows}" for array, rows in lengths.items())
            yield Finding(f"{split}:", f"arrays differ in length: {listed}", "one number of windows", listed)
        fewest = FEWEST.get(split, 1)
        if lengths and min(lengths.values()) < fewest:
            yield Finding(
                f"{split}:",
                f"has {min(lengths.values())} windows, at least {fewest} are needed",
                f"at least {fewest}",
                str(min(lengths.values())),
                "Prepare with more groups, or with another split.",
            )
    yield from _unread(e)


def _lengths(bundle: Bundle | None) -> Iterator[tuple[str, int]]:
    for array in known_arrays(bundle.name) if bundle is not None else ():
        if array in bundle.arrays and bundle.arrays[array].ndim:
            yield array, bundle.arrays[array].shape[0]


def _readable(e: Evidence) -> Iterator[Bundle]:
    yield from (bundle for bundle in e.bundles.values() if bundle.problem is None)


def _unread(e: Evidence) -> Iterator[Skip]:
    for bundle in e.bundles.values():
        if bundle.unread is not None:
            yield Skip(bundle.unread)
