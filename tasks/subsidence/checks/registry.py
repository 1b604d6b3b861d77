"""What a check is: a pure function from evidence to findings, registered under the id that users see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.types import CheckResult

Severity = Literal["fail", "warn", "record"]
REBUILD = "Re-run prepare or pass the manifest that produced this bundle."
ORDER = "MFSVCUGK"
MAX_LISTED = 8


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be. `severity` overrides the check's own."""

    where: str
    what: str
    expected: str = ""
    found: str = ""
    remedy: str = REBUILD
    severity: Severity | None = None


@dataclass(frozen=True)
class Skip:
    """Something that could not be looked at, and why."""

    reason: str


@dataclass(frozen=True)
class Note:
    """Something worth writing down; changes no status."""

    text: str


Outcome = Finding | Skip | Note


@dataclass(frozen=True)
class Check:
    """A registered check. `public`: y, r or - as the public implementation checks, records or ignores it."""

    id: str
    severity: Severity
    public: str
    title: str
    reads: tuple[str, ...]
    targets: bool
    body: Callable[[Evidence], Iterator[Outcome]]


CHECKS: dict[str, Check] = {}


def check(id: str, severity: Severity, *, pub: str, reads: str = "", targets: bool = False) -> Callable:
    """Register a check. `reads` names the splits it looks at, `targets` says that it needs their targets too.

    Where such a split cannot be read, the check is marked as skipped there without a line of its own.
    """

    def register(body: Callable[[Evidence], Iterator[Outcome]]) -> Callable:
        title = (body.__doc__ or "").strip().splitlines()[0]
        CHECKS[id] = Check(id, severity, pub, title, tuple(reads.split()), targets, body)
        return body

    return register


def ordered() -> list[Check]:
    """All checks in the order of the audit table."""
    return [CHECKS[id] for id in sorted(CHECKS, key=lambda id: (ORDER.index(id[0]), id))]


def run_check(one: Check, evidence: Evidence) -> CheckResult:
    """One line of the audit; a fail outweighs a warning, a warning a skip, a skip a pass."""
    outcomes = [*_unreadable(one, evidence), *one.body(evidence)]
    findings = [outcome for outcome in outcomes if isinstance(outcome, Finding)]
    skips = [outcome.reason for outcome in outcomes if isinstance(outcome, Skip)]
    notes = [outcome.text for outcome in outcomes if isinstance(outcome, Note)]
    if findings:
        return _bad(one, evidence, findings, skips)
    status = "skipped" if skips else "pass"
    reasons = [f"not checked: {'; '.join(dict.fromkeys(skips))}"] if skips else []
    message = ". ".join([f"{one.id} {one.title.rstrip('.')}", *reasons, *notes])
    return CheckResult(id=one.id, severity=one.severity, status=status, message=f"{message}.")


def _unreadable(one: Check, evidence: Evidence) -> Iterator[Skip]:
    for split in one.reads:
        reason = evidence.trouble(split, targets=one.targets)
        if reason is not None:
            yield Skip(reason)


def _bad(one: Check, evidence: Evidence, findings: list[Finding], skips: list[str]) -> CheckResult:
    severities = [finding.severity or one.severity for finding in findings]
    worst = "fail" if "fail" in severities else "warn"
    findings = sorted(findings, key=lambda finding: (finding.severity or one.severity) != worst)
    listed = [_sentence(finding) for finding in findings[:MAX_LISTED]]
    listed += [f"and {len(findings) - MAX_LISTED} more"] if len(findings) > MAX_LISTED else []
    tail = [f"Not checked: {'; '.join(dict.fromkeys(skips))}."] if skips else []
    remedies = dict.fromkeys(finding.remedy for finding in findings if finding.remedy)
    first = findings[0]
    return CheckResult(
        id=one.id,
        severity=worst,
        status=worst,
        message=" ".join([f"{one.id} {'; '.join(listed)}.", f"{evidence.identity}.", *tail, *remedies]),
        expected=_joined(finding.expected for finding in findings),
        found=_joined(finding.found for finding in findings),
        where=_joined(finding.where for finding in findings),
        remedy=first.remedy,
    )


def _sentence(finding: Finding) -> str:
    told = not finding.expected or finding.expected in finding.what
    return f"{finding.where} {finding.what}{'' if told else f' (expected {finding.expected})'}".strip()


def _joined(texts: Iterator[str]) -> str:
    return "; ".join(list(dict.fromkeys(text for text in texts if text))[:MAX_LISTED])
