"""The baselines as rules: fitted on train windows, asked for medians of windows whose targets they cannot see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.scaling import history_head, last_subsidence
from tasks.subsidence.scoring.baseline_columns import accumulate, columns_of, increments, past_increments
from tasks.subsidence.scoring.baseline_ridge import Linear, ridge_path
from tasks.subsidence.scoring.boosting import fit_boosted
from tasks.subsidence.scoring.interpolation import InverseDistance, metres
from tasks.subsidence.scoring.multi_origin import PENALTY, fit_multi_origin
from tasks.subsidence.semantics import Semantics

NOT_A_FORECAST = "(not a forecast)"
PENALTIES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 10.0)

Median = Callable[[Split], np.ndarray]  # windows -> (N, H) medians, m


class Unavailable(Exception):
    """A baseline that cannot be made of this handoff; the message is the reason."""


@dataclass(frozen=True)
class Sight:
    """All that fitting may look at: train windows, and the validation windows set aside for choices."""

    train: Split
    choice: Split
    sem: Semantics


class Fitted(NamedTuple):
    """A fitted rule and the parameters that were chosen."""

    median: Median
    parameters: dict[str, float | int]


class Rule(NamedTuple):
    """One baseline; `forecast` is false where targets of neighbours in the forecast years are used."""

    name: str
    label: str
    forecast: bool
    fit: Callable[[Sight], Fitted]
    fit_head: Callable[[Sight], Fitted] | None = None


def last_value(sight: Sight) -> Fitted:
    """The last observed cumulative subsidence, unchanged."""
    return _extrapolated(sight, lambda history: np.zeros(len(history)))


def last_rate(sight: Sight) -> Fitted:
    """The last annual increment, repeated."""
    _check_rates(sight)
    return _extrapolated(sight, lambda history: history[:, -1])


def mean_rate(sight: Sight) -> Fitted:
    """The mean annual increment of the history, repeated."""
    _check_rates(sight)
    return _extrapolated(sight, lambda history: history.mean(axis=1))


def ridge(sight: Sight) -> Fitted:
    """Ridge on the increments of every step; the penalty with the least validation MAE."""
    columns, rule, penalty = _chosen_ridge(sight)
    return Fitted(lambda split: accumulate(rule(columns(split)), split, sight.sem), {"penalty": penalty})


def boosting(sight: Sight) -> Fitted:
    """Gradient boosted trees on the increment since the last observation, one model per step, stopped early."""
    columns = columns_of(sight.train)
    since_last = np.cumsum(increments(sight.train, sight.sem), axis=1)
    model = fit_boosted(columns(sight.train), since_last, early_stopping=True)
    return Fitted(lambda split: _last(split, sight.sem) + model(columns(split)), {})


def boosting_full(sight: Sight) -> Fitted:
    """Gradient boosted trees on the increment of each step, one model per step, all iterations."""
    columns = columns_of(sight.train)
    model = fit_boosted(columns(sight.train), increments(sight.train, sight.sem), early_stopping=False)
    return Fitted(lambda split: accumulate(model(columns(split)), split, sight.sem), {})


def multi_origin_ridge(sight: Sight) -> Fitted:
    """Ridge on the next increment after several origins per window, applied step by step."""
    _check_rates(sight)
    model = fit_multi_origin(sight.train, sight.sem)
    return Fitted(lambda split: accumulate(model(split), split, sight.sem), {"penalty": PENALTY})


def inverse_distance(sight: Sight) -> Fitted:
    """The increments of the nearest train places in the very same years."""
    known = InverseDistance(metres(sight.train, sight.sem), increments(sight.train, sight.sem))
    median = lambda split: accumulate(known(metres(split, sight.sem)), split, sight.sem)  # noqa: E731
    return Fitted(median, {"neighbours": known.neighbours})


def ridge_corrected(sight: Sight) -> Fitted:
    """Ridge, corrected by what it missed at the nearest train places in the very same years."""
    columns, rule, penalty = _chosen_ridge(sight)
    missed = increments(sight.train, sight.sem) - rule(columns(sight.train))
    known = InverseDistance(metres(sight.train, sight.sem), missed)

    def median(split: Split) -> np.ndarray:
        return accumulate(rule(columns(split)) + known(metres(split, sight.sem)), split, sight.sem)

    return Fitted(median, {"penalty": penalty, "neighbours": known.neighbours})


def last_head(sight: Sight) -> Fitted:
    """The last observed head, unchanged."""
    return Fitted(lambda split: _last_head(split, sight.sem) + np.zeros((1, split.coords.shape[1])), {})


def boosting_head(sight: Sight) -> Fitted:
    """Gradient boosted trees on the departure from the last head, one model per step, stopped early."""
    return _boosted_head(sight, early_stopping=True)


def boosting_full_head(sight: Sight) -> Fitted:
    """The same with all iterations."""
    return _boosted_head(sight, early_stopping=False)


RULES = (
    Rule("last_value", "last value", True, last_value, last_head),
    Rule("last_rate", "last rate", True, last_rate),
    Rule("mean_rate", "mean historical rate", True, mean_rate),
    Rule("ridge", "ridge on increments", True, ridge),
    Rule("gradient_boosting", "gradient boosting on increments", True, boosting, boosting_head),
    Rule("gradient_boosting_full", "gradient boosting, all iterations", True, boosting_full, boosting_full_head),
    Rule("multi_origin_ridge", "multi-origin ridge", True, multi_origin_ridge),
    Rule("inverse_distance", f"inverse distance of increments {NOT_A_FORECAST}", False, inverse_distance),
    Rule("ridge_inverse_distance", f"ridge + inverse distance of residuals {NOT_A_FORECAST}", False, ridge_corrected),
)


def _extrapolated(sight: Sight, rate: Callable[[np.ndarray], np.ndarray]) -> Fitted:
    sem = sight.sem

    def median(split: Split) -> np.ndarray:
        per_step = rate(past_increments(split, sem))[:, None]
        return _last(split, sem) + per_step * np.arange(1, split.coords.shape[1] + 1)

    return Fitted(median, {})


def _check_rates(sight: Sight) -> None:
    if sight.sem.time_steps < 2:
        raise Unavailable("one history year holds no rate")


def _chosen_ridge(sight: Sight) -> tuple[Callable[[Split], np.ndarray], Linear, float]:
    columns = columns_of(sight.train)
    path = ridge_path(columns(sight.train), increments(sight.train, sight.sem), PENALTIES)
    x, truth = columns(sight.choice), sight.choice.subsidence[:, :, 0].astype(float)
    errors = [np.abs(accumulate(rule(x), sight.choice, sight.sem) - truth).mean() for rule in path]
    best = int(np.argmin(errors))
    return columns, path[best], PENALTIES[best]


def _boosted_head(sight: Sight, *, early_stopping: bool) -> Fitted:
    columns = columns_of(sight.train)
    departure = sight.train.head[:, :, 0].astype(float) - _last_head(sight.train, sight.sem)
    model = fit_boosted(columns(sight.train), departure, early_stopping=early_stopping)
    return Fitted(lambda split: _last_head(split, sight.sem) + model(columns(split)), {})


def _last(split: Split, sem: Semantics) -> np.ndarray:
    return last_subsidence(split, sem)[:, None].astype(float)


def _last_head(split: Split, sem: Semantics) -> np.ndarray:
    return history_head(split, sem)[:, -1:].astype(float)
