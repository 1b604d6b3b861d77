"""Which manifest a run takes when none is named: the newest one that fits, and the reasons against the others."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.contracts.errors import HandshakeError, MissingInputError
from tasks.subsidence.handoff.files import locate_all
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.handoff.manifest_parse import REQUIRED_BUNDLES, STAGE_TAGS, manifest_bytes, parse_manifest


@dataclass(frozen=True)
class Choice:
    """The chosen manifest; `rejected` and `notes` map other paths (below the data folder) to a sentence."""

    path: Path
    rejected: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Candidate:
    path: Path
    label: str
    written: datetime
    manifest: Stage1Manifest


def find_manifest(data_dir: Path, city: str | None = None, model: str | None = None) -> Choice:
    """The newest Stage-1 manifest below a folder that has this city and its train and validation files.

    Raises MissingInputError where none fits, HandshakeError when two are equally new or, without a city, when
    manifests of several cities fit. Another model's handoff is accepted and noted.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise MissingInputError("data folder does not exist", where=str(data_dir), remedy="Check --data-dir.")
    fitting, rejected = _sort_out(data_dir, city)
    if not fitting:
        raise _nothing_fits(data_dir, city, rejected)
    best = _newest(fitting, city)
    older = {other.label: f"older ({other.manifest.timestamp})" for other in fitting if other is not best}
    return Choice(best.path, {**rejected, **older}, _notes(best, model))


def _sort_out(data_dir: Path, city: str | None) -> tuple[list[_Candidate], dict[str, str]]:
    fitting, rejected = [], {}
    for path in _manifests(data_dir):
        label = path.relative_to(data_dir).as_posix()
        found = _judge(path, label, city)
        if isinstance(found, str):
            rejected[label] = found
        else:
            fitting.append(found)
    return fitting, rejected


def _manifests(data_dir: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(data_dir):
        inner.sort()
        if "manifest.json" in files:
            yield Path(folder) / "manifest.json"


def _judge(path: Path, label: str, city: str | None) -> _Candidate | str:
    """The candidate, or the reason why it is none."""
    try:
        manifest = parse_manifest(manifest_bytes(path))
        places = {place.key: place.resolved for place in locate_all(manifest.plain(), path.parent)}
    except (HandshakeError, OSError) as error:
        return f"unreadable: {error}"
    reason = _misfit(manifest, city, places)
    if reason:
        return reason
    try:
        written = datetime.fromisoformat(manifest.timestamp or "")
    except ValueError:
        return f"timestamp {manifest.timestamp!r} is no date and time"
    return _Candidate(path, label, written.replace(tzinfo=None), manifest)


def _misfit(manifest: Stage1Manifest, city: str | None, places: dict[str, Path | None]) -> str | None:
    if (manifest.stage or "").strip().lower() not in STAGE_TAGS:
        return f"stage is {manifest.stage!r}, not stage1"
    if city is not None and (manifest.city or "").strip().casefold() != city.strip().casefold():
        return f"city is {manifest.city!r}, not {city!r}"
    absent = [name for name in REQUIRED_BUNDLES if places.get(f"artifacts.numpy.{name}_npz") is None]
    return f"missing {', '.join(f'{name}.npz' for name in absent)}" if absent else None


def _newest(fitting: list[_Candidate], city: str | None) -> _Candidate:
    cities = sorted({(candidate.manifest.city or "").strip().casefold() for candidate in fitting})
    if city is None and len(cities) > 1:
        raise HandshakeError(
            "manifests of several cities fit",
            where="data folder",
            expected="one city",
            found=", ".join(cities),
            remedy="Pass --city, or name one with --stage1-manifest.",
        )
    top = max(candidate.written for candidate in fitting)
    tied = [candidate for candidate in fitting if candidate.written == top]
    if len(tied) > 1:
        raise HandshakeError(
            "manifests are equally new",
            where="data folder",
            expected="one newest timestamp",
            found=f"{', '.join(str(other.path) for other in tied)}, all of {top}",
            remedy="Name one with --stage1-manifest.",
        )
    return tied[0]


def _notes(best: _Candidate, model: str | None) -> dict[str, str]:
    if model is None or best.manifest.model == model:
        return {}
    return {best.label: f"written for model {best.manifest.model!r}, used for {model!r}"}


def _nothing_fits(data_dir: Path, city: str | None, rejected: dict[str, str]) -> MissingInputError:
    reasons = "; ".join(f"{label}: {reason}" for label, reason in rejected.items()) or "no manifest.json at all"
    wanted = "a Stage-1 manifest" + (f" of city {city!r}" if city else "")
    return MissingInputError(
        "no manifest fits",
        where=str(data_dir),
        expected=wanted,
        found=reasons,
        remedy="Name one with --stage1-manifest, or run prepare.",
    )
