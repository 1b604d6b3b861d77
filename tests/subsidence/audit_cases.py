"""One spoilt handoff per case: what was done to it, and what the audit has to say about it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.store.blobs import Store
from tasks.subsidence.handshake import audit
from tasks.subsidence.manifest import ingest_handoff, load_handoff
from tasks.subsidence.types import CheckResult, ConfigLayer, LiveConfig
from tests.subsidence.mini import write_mini_handoff


@dataclass(frozen=True)
class Case:
    """`spoil` are arguments of write_mini_handoff; `says` must all be in the message of check `id`."""

    id: str
    name: str
    says: tuple[str, ...]
    spoil: dict[str, Any] = field(default_factory=dict)
    status: str = "fail"
    live: dict[str, Any] = field(default_factory=dict)
    city: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.id} {self.name}"


@dataclass(frozen=True)
class Audited:
    """The outcome of one audit."""

    verdict: str
    results: dict[str, CheckResult]
    report: dict[str, Any]

    def with_status(self, status: str) -> set[str]:
        """Ids of the checks that ended so."""
        return {id for id, result in self.results.items() if result.status == status}


def audited(folder: Path, case: Case | None = None, **spoil: Any) -> Audited:
    """Write a mini handoff, spoil it, and audit it."""
    case = case or Case("", "", (), spoil)
    manifest = write_mini_handoff(folder / "handoff", **case.spoil)
    return audit_of(manifest, folder.parent / "store-of-handoffs", case)  # shared: equal files are stored once


def audit_of(manifest: Path, store_root: Path, case: Case | None = None) -> Audited:
    """Audit a handoff that lies on disk."""
    case = case or Case("", "", ())
    store = Store(store_root)
    handoff = load_handoff(ingest_handoff(manifest, store), store)
    live = LiveConfig(layers=(ConfigLayer(source="set", values=case.live),)) if case.live else LiveConfig()
    verdict, results, report = audit(handoff, live, case.city, store, model=case.model)
    json.dumps(report, allow_nan=False)
    return Audited(verdict, {result.id: result for result in results}, report)


def assert_said(case: Case, outcome: Audited) -> None:
    """The check of the case has its status, and its message names what is wrong and what to do."""
    result = outcome.results[case.id]
    assert result.status == case.status, result.message
    missing = [text for text in case.says if text not in result.message]
    assert not missing, f"{missing} not in: {result.message}"
    assert result.message.startswith(f"{case.id} ")
    if case.status in ("fail", "warn"):
        assert "city" in result.message and "sha256" in result.message
        assert outcome.verdict == ("fail" if outcome.with_status("fail") else "pass_with_warnings")


def in_manifest(place: str, value: Any) -> dict[str, Callable]:
    """A hook that sets one dotted place of the manifest; the value DELETE removes it."""

    def spoil(record: dict[str, Any]) -> None:
        *path, last = place.split(".")
        for name in path:
            record = record[name]
        if value is DELETE:
            del record[last]
        else:
            record[last] = value

    return {"manifest": spoil}


DELETE = object()


def in_array(bundle: str, array: str, change: Callable[[np.ndarray], np.ndarray | None]) -> dict[str, Callable]:
    """A hook that replaces one array of one bundle (or changes it in place, when `change` gives None)."""

    def spoil(bundles: dict[str, dict[str, np.ndarray]]) -> None:
        changed = change(bundles[bundle][array])
        if changed is not None:
            bundles[bundle][array] = changed

    return {"arrays": spoil}


def setting(index: Any, value: Any) -> Callable[[np.ndarray], None]:
    """An in-place change: array[index] = value."""

    def change(array: np.ndarray) -> None:
        array[index] = value

    return change


def everywhere(array: str, change: Callable[[np.ndarray], np.ndarray], *, part: str) -> Callable[[dict], None]:
    """An `arrays` hook that replaces `array` in every bundle of one part (inputs or targets)."""

    def spoil(bundles: dict[str, dict[str, np.ndarray]]) -> None:
        for name, arrays in bundles.items():
            if name.endswith(part) and array in arrays:
                arrays[array] = change(arrays[array]).astype(np.float32)

    return spoil
