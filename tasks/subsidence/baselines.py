"""Every baseline on the same rows as the model: fitted, given intervals, scored, and none of them left out.

Medians come from rules fitted on train windows; intervals are split conformal absolute residuals of the calibration
rows of validation. Rules get windows without targets, so test targets cannot reach a forecast.
"""

from dataclasses import dataclass, field

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.calibrate import split_validation
from tasks.subsidence.handoff.groups import blind, groups_sha256, take
from tasks.subsidence.handoff.strata import Strata, strata
from tasks.subsidence.handoff.truth import Truth, own_truth
from tasks.subsidence.metrics import ALPHA, DRAWS, flat, report
from tasks.subsidence.scaling import last_subsidence
from tasks.subsidence.scoring.baseline_rules import RULES, Fitted, Median, Rule, Sight, Unavailable
from tasks.subsidence.scoring.cell_sums import HEAD, SUBSIDENCE, Target, contributions
from tasks.subsidence.scoring.conformal import quantile, rows_needed
from tasks.subsidence.semantics import Semantics

LEVELS = (0.1, 0.5, 0.9)
SCHEMA = "stagegate-baselines-1"


@dataclass(frozen=True)
class Baseline:
    """One row of the table; without a reason it was computed, otherwise it says why not."""

    name: str
    label: str
    is_forecast: bool
    reason: str | None = None
    parameters: dict[str, float | int] = field(default_factory=dict)
    scores: dict[str, dict] = field(default_factory=dict)  # by split name, as metrics.score
    predictions: dict[str, np.ndarray] = field(default_factory=dict)  # "<split>.<target>" -> (N, H, Q) m


@dataclass(frozen=True)
class BaselineRun:
    """All baselines on the rows of one handoff."""

    levels: tuple[float, ...]
    alpha: float
    calibration_rows: int
    calibration_sha256: str
    shared: bool
    baselines: tuple[Baseline, ...]

    def report(self) -> dict:
        """Plain JSON: settings, then one block per baseline in fixed order."""
        return {
            "schema_version": SCHEMA,
            "levels": list(self.levels),
            "alpha": self.alpha,
            "intervals": "split conformal, absolute residuals of the calibration rows of validation",
            "calibration": {
                "rows": self.calibration_rows,
                "groups_sha256": self.calibration_sha256,
                "shared_with_selection": self.shared,
            },
            "baselines": {row.name: _block(row) for row in self.baselines},
        }

    def metrics(self) -> dict[str, float | None]:
        """`baselines.<name>.<split>.mae_mm`, ... for every baseline that was computed."""
        metrics = {}
        for row in self.baselines:
            for split, scores in row.scores.items():
                metrics |= flat(scores, f"baselines.{row.name}.{split}")
        return metrics

    def arrays(self) -> dict[str, np.ndarray]:
        """`<name>.<split>.<target>` -> (N, H, Q) float32 quantiles, m."""
        named = ((f"{row.name}.{key}", values) for row in self.baselines for key, values in row.predictions.items())
        return {name: values.astype(np.float32) for name, values in named}


@dataclass(frozen=True)
class Rows:
    """Windows to be forecast and scored: blind windows for the rules, truth and labels for the scores."""

    split: Split
    truth: Truth
    strata: Strata
    last: np.ndarray  # (N,) m


@dataclass(frozen=True)
class Setting:
    """What all baselines of one run share."""

    sight: Sight
    calibration: Split
    levels: tuple[float, ...]
    alpha: float
    draws: int
    seed: int


def run(
    train: Split,
    val: Split,
    test: Split,
    sem: Semantics,
    *,
    future: Split | None = None,
    future_truth: Truth | None = None,
    levels: tuple[float, ...] = LEVELS,
    alpha: float = ALPHA,
    draws: int = DRAWS,
    seed: int = 0,
) -> BaselineRun:
    """All baselines on `test` (or whichever split stands for it) and, where truth is given, on the future windows.

    All splits in SI. `levels` should be those of the model, so that CRPS values compare. The interpolation class does
    not appear under `future`: the truth of its neighbours does not exist there.
    """
    choice, calibration, shared = split_validation(val)
    sight = Sight(train, take(val, choice), sem)
    setting = Setting(sight, take(val, calibration), tuple(levels), alpha, draws, seed)
    targets = [_rows(test, own_truth(test), sem)]
    if future is not None and future_truth is not None:
        targets.append(_rows(future, future_truth, sem))
    rows = tuple(_baseline(rule, setting, targets) for rule in RULES)
    sha256 = groups_sha256(val, calibration)
    return BaselineRun(setting.levels, alpha, calibration.size, sha256, shared, rows)


def conformal_offsets(residuals: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """(H, Q) signed offsets of the levels from the median: conformal quantiles of |residual| (n, H) at |2 level - 1|.

    Raises Unavailable when the rows are too few for the outermost level.
    """
    shares = [abs(2.0 * level - 1.0) for level in levels]
    needed = rows_needed(1.0 - max(shares))
    if len(residuals) < needed:
        raise Unavailable(f"{len(residuals)} calibration rows, the outermost level needs {needed}")
    absolute = np.abs(residuals)
    columns = [
        np.sign(level - 0.5) * quantile(absolute, 1.0 - share) if share > 0 else np.zeros(absolute.shape[1])
        for level, share in zip(levels, shares, strict=True)
    ]
    return np.stack(columns, axis=-1)


def _baseline(rule: Rule, setting: Setting, targets: list[Rows]) -> Baseline:
    try:
        return _computed(rule, setting, [rows for rows in targets if rule.forecast or rows.split.name != "future"])
    except (ImportError, Unavailable) as error:
        return Baseline(rule.name, rule.label, rule.forecast, reason=f"not available: {error}")


def _computed(rule: Rule, setting: Setting, targets: list[Rows]) -> Baseline:
    fitted = rule.fit(setting.sight)
    heads = _fitted_head(rule, setting.sight)
    scores, predictions = {}, {}
    for rows in targets:
        name = rows.split.name
        values = _quantiles(fitted.median, rows.split, setting, setting.calibration.subsidence)
        scores[name] = _scores(values, rows.truth.subsidence, rows, SUBSIDENCE, setting)
        predictions[f"{name}.subsidence"] = values
        if heads is not None:
            values = _quantiles(heads.median, rows.split, setting, setting.calibration.head)
            scores[name]["head"] = _scores(values, rows.truth.head, rows, HEAD, setting)
            predictions[f"{name}.head"] = values
    return Baseline(rule.name, rule.label, rule.forecast, None, _parameters(fitted), scores, predictions)


def _fitted_head(rule: Rule, sight: Sight) -> Fitted | None:
    """The rule for heads; there is none where the history holds no depth to water."""
    has_history = sight.sem.depth_index is not None
    return rule.fit_head(sight) if rule.fit_head is not None and has_history else None


def _quantiles(median: Median, split: Split, setting: Setting, calibration_truth: np.ndarray) -> np.ndarray:
    residuals = calibration_truth[:, :, 0] - median(blind(setting.calibration))
    return median(split)[:, :, None] + conformal_offsets(residuals, setting.levels)


def _scores(values: np.ndarray, truth: np.ndarray, rows: Rows, target: Target, setting: Setting) -> dict:
    last = rows.last if target is SUBSIDENCE else None
    cells = contributions(setting.levels, values, truth, target, last=last, alpha=setting.alpha)
    return report(cells, truth, rows.strata, draws=setting.draws, seed=setting.seed)


def _rows(split: Split, truth: Truth, sem: Semantics) -> Rows:
    return Rows(blind(split), truth, strata(split, sem), last_subsidence(split, sem))


def _parameters(fitted: Fitted) -> dict[str, float | int]:
    return dict(sorted(fitted.parameters.items()))


def _block(row: Baseline) -> dict:
    return {
        "label": row.label,
        "is_forecast": row.is_forecast,
        "available": row.reason is None,
        "reason": row.reason,
        "parameters": row.parameters,
        "scores": row.scores,
    }
