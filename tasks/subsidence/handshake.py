"""The handshake: every check on one handoff, a verdict, a report, and the refusal that lists all failures."""

from collections.abc import Iterable

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.store.blobs import Store
from tasks.subsidence import checks as _registered  # noqa: F401  importing the package registers the checks
from tasks.subsidence.checks.evidence import gather
from tasks.subsidence.checks.registry import ordered, run_check
from tasks.subsidence.checks.report import audit_report
from tasks.subsidence.types import CheckResult, Handoff, LiveConfig


def audit(
    handoff: Handoff, live: LiveConfig, city: str | None, store: Store, *, model: str | None = None
) -> tuple[str, list[CheckResult], dict]:
    """Run all checks: verdict (pass, pass_with_warnings, fail), one result per check, and the report as plain JSON.

    city: what --city asked for. model: the flavour; else MODEL_NAME of the live values, else the manifest's.
    Bad data never raise: they fail their checks, and mark what depends on them as skipped. The report holds no clock
    time and no absolute path.
    """
    with np.errstate(all="ignore"):  # absurd numbers overflow; the checks report them
        evidence = gather(handoff, live, city, store, model)
        results = [run_check(one, evidence) for one in ordered()]
        verdict = judge(results)
        report = audit_report(evidence, results, verdict, manifest_name=handoff.ingested.manifest.name)
    return verdict, results, report


def judge(results: Iterable[CheckResult]) -> str:
    """The verdict of a list of results."""
    statuses = {result.status for result in results}
    return "fail" if "fail" in statuses else "pass_with_warnings" if "warn" in statuses else "pass"


def refuse(results: Iterable[CheckResult]) -> None:
    """Raise HandshakeError listing every failure, if there is any."""
    failures = [result.message for result in results if result.status == "fail"]
    if failures:
        count = f"{len(failures)} check{'s' if len(failures) > 1 else ''} failed"
        raise HandshakeError("\n".join([f"the handoff is refused, {count}:", *failures]))
