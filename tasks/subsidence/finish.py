"""What only the run folder knows is added here: clock, machine, durations. Contents stay as the steps made them."""

import csv
import hashlib
import io
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.subsidence.brief import Brief, render_brief
from tasks.subsidence.products.payload import json_bytes
from tasks.subsidence.report import FileRow, LineageRow, Report, pictures_of, render

METRICS = "geoprior_eval_phys"
CLOCK_COLUMNS = ("seconds", "rss_mib")
UNKNOWN_DEVICE = "not recorded"


@dataclass(frozen=True)
class Facts:
    """Clock and machine of one run folder."""

    folder: Path
    at: datetime
    epochs: Sequence[Mapping[str, float]] = ()  # epoch, seconds, rss_mib
    flow_run: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, Path] = field(default_factory=dict)  # files that lie in the folder already
    stamp: str | None = None  # time in file names, where the folder has one from before; else this moment

    def described(self, name: str) -> dict[str, Any] | None:
        """Digest and size of a file as it lies in the run folder; None where it does not (yet)."""
        path = self.written.get(name)
        if path is None:
            return None
        data = path.read_bytes()
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    @classmethod
    def now(
        cls, folder: Path, epochs: Sequence[Mapping[str, float]] = (), flow_run: str = "", device: str = UNKNOWN_DEVICE
    ) -> "Facts":
        """The facts of this moment on this machine; `device` is what the network was trained on."""
        machine = {"python": platform.python_version(), "platform": platform.platform(), "device": device}
        return cls(folder, datetime.now(UTC), epochs, flow_run, machine)

    @property
    def timestamp(self) -> str:
        """UTC, to the second, as outside readers expect it."""
        return self.at.strftime("%Y-%m-%d %H:%M:%S")

    def renamed(self, name: str) -> str:
        """The metrics documents carry the time of the run in their public name, for good."""
        stamp = self.stamp or self.at.strftime("%Y%m%d-%H%M%S")
        return name.replace(METRICS, f"{METRICS}_{stamp}", 1) if name.startswith(METRICS) else name


def first_stamp(folder: Path) -> str | None:
    """The time that the metrics documents of a run folder carry in their names; None before they are written."""
    found = (re.match(rf"{METRICS}_(\d{{8}}-\d{{6}})", path.name) for path in folder.glob(f"{METRICS}_*.json"))
    return min((match[1] for match in found if match), default=None)


def in_order(names: Sequence[str]) -> list[str]:
    """Names in the order of writing: documents that describe other files come last, the run manifest after all."""
    return sorted(
        names, key=lambda name: (name.endswith("_run_manifest.json"), name.endswith("_training_summary.json"), name)
    )


def finished(name: str, data: bytes, facts: Facts) -> bytes:
    """The file as it goes into the run folder."""
    if name.endswith("_train_log.csv"):
        return _timed_log(data, facts)
    for ending, amend in _AMENDMENTS.items():
        if name.endswith(ending) or (ending == METRICS and name.startswith(METRICS)):
            return json_bytes(amend(json.loads(data), facts))
    return data


def _audit(document: dict[str, Any], facts: Facts) -> dict[str, Any]:
    return document | {"created_utc": facts.timestamp}


def _summary(document: dict[str, Any], facts: Facts) -> dict[str, Any]:
    recorded = document["sha256"]
    outputs = {name: facts.described(name) or row for name, row in recorded["outputs"].items()}
    document = document | {"sha256": recorded | {"outputs": outputs}}
    env = {**facts.machine, **{name: document["versions"].get(name) for name in ("tensorflow", "numpy")}}
    return {"timestamp": facts.timestamp, **document, "env": env}


def _stamped(document: dict[str, Any], facts: Facts) -> dict[str, Any]:
    return {**document, "timestamp": facts.timestamp}


def _manifest(document: dict[str, Any], facts: Facts) -> dict[str, Any]:
    named = {key: facts.renamed(name) for key, name in document["artifacts"].items()}
    digests = {
        name: (facts.described(name) or {"sha256": digest})["sha256"] for name, digest in document["sha256"].items()
    }
    document = document | {"sha256": digests}
    more = {"oracle_evaluation_json": "oracle_evaluation.json", "report_html": "report.html"}
    return {"timestamp": facts.timestamp, **document, "artifacts": named | more}


_AMENDMENTS = {
    "stage2_handshake_audit.json": _audit,
    "_training_summary.json": _summary,
    "_run_manifest.json": _manifest,
    METRICS: _stamped,
}


def _timed_log(data: bytes, facts: Facts) -> bytes:
    """The log with durations and memory of each epoch; empty cells where the training was taken from the cache of
    another machine."""
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    clock = {int(row["epoch"]): row for row in facts.epochs}
    out = io.StringIO(newline="")
    names = [*(rows[0] if rows else ()), *CLOCK_COLUMNS]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        known = clock.get(int(row["epoch"]), {})
        writer.writerow(row | {name: f"{known[name]:.3f}" if name in known else "" for name in CLOCK_COLUMNS})
    return out.getvalue().encode()


def report_page(
    folder: Path,
    written: Mapping[str, Path],
    keys: Mapping[str, str],
    steps: Sequence[Any],
    facts: Facts,
    notes: Sequence[str] = (),
) -> str:
    """report.html, made from the files of the run folder and the notes of the run."""

    def document(ending: str) -> dict[str, Any]:
        return json.loads(next(path for name, path in written.items() if name.endswith(ending)).read_bytes())

    manifest = document("_run_manifest.json")
    return render(
        Report(
            manifest=manifest,
            metrics=json.loads(written[manifest["artifacts"]["metrics_interpretable"]].read_bytes()),
            summary=document("_training_summary.json"),
            audit=document("stage2_handshake_audit.json"),
            calibration=json.loads(written[manifest["artifacts"]["calibration_stats"]].read_bytes()),
            oracle=document("oracle_evaluation.json"),
            pictures={key: written[name].read_bytes() for key, name in pictures_of(manifest).items()},
            files=_rows(written),
            lineage=_lineage(steps),
            notes=notes,
            facts=_named(folder, facts),
        )
    )


def brief_page(
    folder: Path,
    written: Mapping[str, Path],
    steps: Sequence[Any],
    facts: Facts,
    *,
    kicker: str,
    notes: Sequence[str],
    metrics: Mapping[str, float | None],
) -> str:
    """report.html of a run that trained nothing."""
    return render_brief(
        Brief(
            kicker=kicker,
            audit=json.loads(written["stage2_handshake_audit.json"].read_bytes()),
            notes=notes,
            metrics=metrics,
            files=_rows(written),
            lineage=_lineage(steps),
            facts=_named(folder, facts),
        )
    )


def _rows(written: Mapping[str, Path]) -> list[FileRow]:
    return [_row(name, path) for name, path in sorted(written.items())]


def _lineage(steps: Sequence[Any]) -> list[LineageRow]:
    return [LineageRow(step.step, step.status, step.inputs, step.outputs) for step in steps]


def _named(folder: Path, facts: Facts) -> dict[str, str]:
    return {"Run": folder.name, "Started by": facts.flow_run, "Written (UTC)": facts.timestamp}


def _row(name: str, path: Path) -> FileRow:
    data = path.read_bytes()
    return FileRow(name, len(data), hashlib.sha256(data).hexdigest()[:8])
