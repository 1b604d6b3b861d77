"""Checks of the files: there, readable, the recorded bytes, the documented arrays, belonging together."""

import importlib.metadata
from collections.abc import Iterator

from tasks.subsidence.checks.evidence import SPLITS, Bundle, Evidence
from tasks.subsidence.checks.registry import REBUILD, Finding, Note, Outcome, Skip, check
from tasks.subsidence.checks.views import is_numeric, known_arrays, lacking
from tasks.subsidence.handoff.manifest_parse import REQUIRED_BUNDLES
from tasks.subsidence.types import HandoffFile

COMPLETE = "Copy the whole handoff folder, or re-run prepare."
PACKAGES = {"numpy": "numpy", "sklearn": "scikit-learn"}
_NUMPY = "artifacts.numpy."


@check("F-01", "fail", pub="path text only")
def bundles_readable(e: Evidence) -> Iterator[Outcome]:
    """Every required NPZ exists; every NPZ is readable, holds no Python objects and stays within the limits."""
    for bundle in e.bundles.values():
        if bundle.missing and bundle.required:
            yield Finding(
                bundle.file, f"is missing (artifacts.numpy.{bundle.name}_npz)", "a readable NPZ", "no file", COMPLETE
            )
        elif bundle.problem is not None and not bundle.missing:
            yield Finding("", bundle.problem.rstrip("."), "a readable NPZ of plain arrays", "", COMPLETE)


@check("F-02", "fail", pub="-")
def recorded_digests(e: Evidence) -> Iterator[Outcome]:
    """Every file has the sha256 that was recorded for it."""
    recorded = e.manifest.artifacts.sha256
    checked = 0
    for file in e.files:
        wanted = _recorded(recorded, file)
        if wanted is None or file.ref is None:
            continue
        checked += 1
        if wanted.lower() != file.ref.digest:
            yield Finding(
                file.resolved_path or file.key,
                f"has sha256 {file.ref.digest[:8]}…, the manifest recorded {wanted[:8]}…",
                wanted,
                file.ref.digest,
                "The file was changed after it was written. Restore it, or re-run prepare.",
            )
    yield Note(f"{checked} files have a recorded digest" if checked else "no digests recorded; they are in the report")


def _recorded(recorded: dict[str, str], file: HandoffFile) -> str | None:
    places = (file.resolved_path, file.stored_path, file.key)
    return next((recorded[place] for place in places if place in recorded), None)


@check("F-03", "fail", pub="-")
def arrays_present(e: Evidence) -> Iterator[Outcome]:
    """Required arrays are there, as float32."""
    for bundle in e.bundles.values():
        if bundle.problem is not None:
            yield from [Skip(bundle.unread)] if bundle.unread else []
            continue
        absent = lacking(e.manifest, bundle.name, bundle.arrays)
        if absent:
            yield Finding(
                bundle.file,
                f"lacks {', '.join(absent)}",
                ", ".join(known_arrays(bundle.name)),
                ", ".join(bundle.arrays) or "nothing",
            )
        yield from _kinds(bundle)
        extra = sorted(set(bundle.arrays) - set(known_arrays(bundle.name)))
        if extra:
            yield Note(f"{bundle.file} also holds {', '.join(extra)}")


def _kinds(bundle: Bundle) -> Iterator[Outcome]:
    for name in known_arrays(bundle.name):
        if name not in bundle.arrays:
            continue
        where = f"{bundle.file} '{name}'"
        if not is_numeric(bundle.arrays[name]):
            kind = str(bundle.arrays[name].dtype)
            yield Finding(where, f"holds {kind}, not floating-point numbers", "float32", kind)
        elif name in bundle.conversions:
            yield Finding(
                where,
                f"is stored as {bundle.conversions[name]} and is converted to float32",
                "float32",
                bundle.conversions[name],
                "",
                "warn",
            )


@check("F-04", "fail", pub="-")
def rows_belong_together(e: Evidence) -> Iterator[Outcome]:
    """Row counts are those of the split record, and equal in inputs and targets."""
    counts = e.manifest.config.holdout.sequence_counts
    for split in SPLITS:
        inputs, targets = (_rows(e.bundles.get(f"{split}_{part}")) for part in ("inputs", "targets"))
        recorded = counts.get(f"{split}_seq")
        if None not in (inputs, targets) and inputs != targets:
            yield Finding(
                f"{split}_targets.npz",
                f"has {targets} windows, {split}_inputs.npz has {inputs}",
                str(inputs),
                str(targets),
                "One of the two files was replaced. " + REBUILD,
            )
        if None not in (inputs, recorded) and inputs != recorded:
            yield Finding(
                f"{split}_inputs.npz",
                f"has {inputs} windows, config.holdout.sequence_counts.{split}_seq is {recorded}",
                str(recorded),
                str(inputs),
            )


def _rows(bundle: Bundle | None) -> int | None:
    if bundle is None:
        return None
    arrays = (bundle.arrays.get(name) for name in known_arrays(bundle.name))
    return next((array.shape[0] for array in arrays if array is not None and array.ndim), None)


@check("F-05", "warn", pub="-")
def optional_files(e: Evidence) -> Iterator[Outcome]:
    """Optional files that the manifest names are there."""
    required = {f"{_NUMPY}{name}_npz" for name in REQUIRED_BUNDLES}
    missing = [file for file in e.files if file.ref is None and file.key not in required]
    if missing:
        names = ", ".join(f"{_name(file)} ({file.key})" for file in missing)
        yield Finding(
            "manifest.json",
            f"names {len(missing)} optional files that are not there: {names}",
            "every file that is named",
            f"{len(missing)} missing",
            "Nothing to do, unless one of them is needed.",
        )
    for split, groups in e.groups.items():
        if groups.problem is not None:
            yield Finding(f"{split} groups", groups.problem, "a CSV with longitude and latitude", "", COMPLETE)
    for key, content in e.sources.items():
        if isinstance(content, dict) and "unreadable" in content:
            yield Finding(f"{key}.json", str(content["unreadable"]).rstrip("."), "a JSON object", "", COMPLETE)


def _name(file: HandoffFile) -> str:
    return file.stored_path.replace("\\", "/").rpartition("/")[2]


@check("F-06", "warn", pub="-")
def versions_near(e: Evidence) -> Iterator[Outcome]:
    """numpy and scikit-learn have the major version that wrote the handoff."""
    for key, package in PACKAGES.items():
        written = getattr(e.manifest.versions, key)
        try:
            running = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield Note(f"{package} is not installed here")
            continue
        if written is not None and written.partition(".")[0] != running.partition(".")[0]:
            yield Finding(
                f"manifest.json versions.{key}",
                f"is {written}, running is {running}",
                running,
                written,
                "Nothing to do, unless numbers look odd.",
            )
