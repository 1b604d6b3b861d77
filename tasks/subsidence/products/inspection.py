"""Questions that a person asks after a run, answered yes or no with the evidence beside the answer."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.subsidence.products.diagnostics import MAX_SHARE_NEAR_BOUND
from tasks.subsidence.products.export_inputs import ExportInputs
from tasks.subsidence.products.payload import near_bound

EARLY_SHARE, LATE_SHARE = 0.25, 0.75
MIN_COVERAGE = 0.6
BOUNDED = ("K", "Ss", "tau")
BOUNDED_FLOW = {"Ka": "K_aquifer", "Sa": "S_aquifer"}


def inspect(inputs: ExportInputs, written: Mapping[str, str]) -> list[dict[str, str]]:
    """All answers in reading order; `written` maps the products that exist to a word about their content.

    Each answer is {key, question, answer: yes|no|not applicable, evidence}.
    """
    return [
        _intended_manifest(inputs),
        _feature_dimensions(inputs),
        _best_epoch(inputs.earlier.training),
        _calibrated_forecasts(inputs, written),
        _plausible(inputs),
        _payload_written(inputs, written),
    ]


def near_bound_shares(inputs: ExportInputs) -> dict[str, float]:
    """Share of the windows whose K, Ss, tau, Ka or Sa lies within 5 % of the log range from a bound.

    Only fields of active equations; a field that stands in for one the equations do not have is left out.
    """
    fields, bounds = inputs.physics, inputs.sem.bounds
    if not fields or inputs.scalars is None:
        return {}
    named = {name: name for name in BOUNDED} if inputs.scalars.consolidation else {}
    if inputs.scalars.gw_flow and not np.array_equal(fields.get("K_aquifer"), fields.get("K")):
        named |= BOUNDED_FLOW
    known = {name: fields[field] for name, field in named.items() if field in fields and name in bounds}
    return {name: float(near_bound(values, bounds[name]).mean()) for name, values in known.items()}


def identifiability(inputs: ExportInputs) -> dict[str, Any]:
    """What the data cannot tell apart: bounds, the kappa-thickness degeneracy, gradient correlations if known."""
    if not inputs.physics or inputs.scalars is None:
        return {"applicable": False, "reason": "this model has no physics fields"}
    scalars = inputs.scalars
    note = (
        "The relaxation time fixes only Hd^2 Ss / (kappa K): larger kappa and thinner drainage give the same forecast; "
        f"kappa {scalars.kappa:.4g} with drainage factor {scalars.hd_factor:g} means {scalars.kappa_terzaghi:.4g} "
        "times Terzaghi with double drainage"
    )
    return {
        "applicable": True,
        "regime": inputs.earlier.config.get("IDENTIFIABILITY_REGIME"),
        "share_near_bound": near_bound_shares(inputs),
        "kappa_hd_degeneracy": note,
        "kappa_terzaghi": scalars.kappa_terzaghi,
        "gradient_correlation": None if inputs.identifiability is None else dict(inputs.identifiability),
    }


def best_epoch(training: Mapping[str, Any]) -> int | None:
    """The best epoch counted from 1, as people count; the summary counts from 0."""
    found = training.get("best_epoch")
    return None if found is None else found + 1


def _intended_manifest(inputs: ExportInputs) -> dict[str, str]:
    found, used = inputs.earlier.audit.get("manifest", {}), inputs.earlier.stage1_manifest
    same = found.get("sha256") in (None, used.digest) and _fold(found.get("city")) in ("", _fold(inputs.sem.city))
    verdict = inputs.earlier.audit.get("verdict", "not recorded").replace("_", " ")
    evidence = f"city {inputs.sem.city}, {used.name} sha256 {used.short}, audit {verdict}"
    return _answer("intended_manifest", "Was the intended manifest used?", same, evidence)


def _feature_dimensions(inputs: ExportInputs) -> dict[str, str]:
    sem, dims, split = inputs.sem, inputs.earlier.init_manifest.get("dims", {}), inputs.evaluation.split
    found = {
        "static_input_dim": (len(sem.static_names), split.static.shape[1]),
        "dynamic_input_dim": (len(sem.dynamic_names), split.dynamic.shape[2]),
        "future_input_dim": (len(sem.future_names), split.future.shape[2]),
    }
    same = all(dims.get(name, names) == names == width for name, (names, width) in found.items())
    words = [f"{name.split('_')[0]} {width} of {dims.get(name, names)}" for name, (names, width) in found.items()]
    return _answer("feature_dimensions", "Are the feature dimensions as recorded?", same, ", ".join(words))


def _best_epoch(training: Mapping[str, Any]) -> dict[str, str]:
    question = "Is the best epoch inside the training, neither early nor at the limit?"
    best, last = best_epoch(training), training.get("epochs_run")
    if best is None or not last:
        return _answer("best_epoch", question, None, "the training summary names no best epoch")
    place = _place(best, last)
    stopped = str(training.get("stop_reason") or "stop reason not recorded").replace("_", " ")
    evidence = f"{place}: best epoch {best} of {last}, {stopped}"
    return _answer("best_epoch", question, place in ("inside", "late"), evidence)


def _place(best: int, last: int) -> str:
    if best >= last:
        return "at the limit"
    share = best / last
    return "early" if share <= EARLY_SHARE else "late" if share > LATE_SHARE else "inside"


def _calibrated_forecasts(inputs: ExportInputs, written: Mapping[str, str]) -> dict[str, str]:
    question = "Were calibrated forecasts written?"
    if inputs.factors is None:
        reason = inputs.earlier.calibration_stats.get("reason") or "point forecasts have no interval"
        return _answer("calibrated_forecasts", question, None, reason)
    wanted = ["eval_calibrated"] + (["future_calibrated"] if inputs.future else [])
    found = [name for name in wanted if name in written]
    evidence = ", ".join(found) or "none"
    if inputs.future is None:
        evidence += "; the handoff holds no future inputs, so no future table exists"
    return _answer("calibrated_forecasts", question, found == wanted, evidence)


def _plausible(inputs: ExportInputs) -> dict[str, str]:
    coverage = inputs.judged.best["overall"].get("coverage80")
    shares = near_bound_shares(inputs)
    numbers = {name: f"{name} near a bound {100 * share:.0f} %" for name, share in shares.items()}
    bad = [numbers[name] for name, share in shares.items() if share > MAX_SHARE_NEAR_BOUND]
    if coverage is not None and coverage < MIN_COVERAGE:
        bad.append(f"coverage {coverage:.2f} below {MIN_COVERAGE}")
    fine = [*numbers.values(), *([] if coverage is None else [f"coverage {coverage:.3f}"])]
    evidence = "; ".join(bad or fine) or "no diagnostics"
    return _answer("plausible", "Are the diagnostics plausible?", not bad, evidence)


def _payload_written(inputs: ExportInputs, written: Mapping[str, str]) -> dict[str, str]:
    question = "Was the physics payload exported?"
    if not inputs.physics:
        return _answer("payload", question, None, "this model has no physics fields")
    cells = int(np.size(next(iter(inputs.physics.values()))))
    evidence = f"{cells} cells of the {inputs.evaluation.split.name} split" if "payload" in written else "not written"
    return _answer("payload", question, "payload" in written, evidence)


def _answer(key: str, question: str, good: bool | None, evidence: str) -> dict[str, str]:
    answer = "not applicable" if good is None else "yes" if good else "no"
    return {"key": key, "question": question, "answer": answer, "evidence": evidence}


def _fold(text: str | None) -> str:
    return (text or "").casefold()
