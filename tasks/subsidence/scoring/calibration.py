"""The calibration step: the reloaded network must be the trained one, then its intervals are given their factors."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.contracts.errors import ReloadMismatchError
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.calibrate import Factors, fit, split_validation, stats
from tasks.subsidence.config import Config
from tasks.subsidence.handoff.groups import groups_sha256, take
from tasks.subsidence.scoring.calibration_stats import numbered

if TYPE_CHECKING:
    from tasks.subsidence.model import SubsidenceNetwork

RELOAD_LIMIT_M = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Factors, what they do to their own rows, and how far the reloaded network is from the trained one."""

    factors: Factors
    future_factors: Factors
    stats: dict
    groups_sha256: str
    shared: bool
    reload_max_abs_difference_m: float


def npy(factors: Factors) -> bytes | None:
    """Factors of subsidence as a file, float32 (H,); None for point forecasts."""
    if (array := factors.as_array()) is None:
        return None
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def calibrate(network: "SubsidenceNetwork", val: Split, trained: Prediction, cfg: Config) -> Calibration:
    """Check the reload, then fit factors on the calibration half of the validation places.

    Years after training get factors of their own, from the same places predicted with the training years hidden: there
    the network knows less, says so with wider distances, and would be widened twice by the factors of known years.
    With USE_IN_MEMORY_MODEL their predictions are those of the trained network; the check is the same.
    """
    from tasks.subsidence.infer import predict

    reloaded = predict(network, val)
    difference = reload_difference(trained, reloaded)
    in_memory = cfg["USE_IN_MEMORY_MODEL"]
    _, rows, shared = split_validation(val)
    part, truth = of_rows(trained if in_memory else reloaded, rows), take(val, rows)
    subsidence, head = truth.subsidence[:, :, 0], truth.head[:, :, 0]
    how = {"alpha": cfg["CALIBRATION_ALPHA"], "method": cfg["CALIBRATION_METHOD"]}
    factors = fit(part, subsidence, head, **how)
    blind = of_rows(predict(network, val, hide_years=True), rows)
    future_factors = fit(blind, subsidence, head, **how)
    digest = groups_sha256(val, rows)
    found = stats(
        part,
        subsidence,
        factors,
        head=head,
        groups_sha256=digest,
        shared=shared,
        calibration_rows=True,
        seed=cfg["SEED"],
    ) | {"predictions": "in_memory" if in_memory else "reloaded", "future_factors": numbered(future_factors.subsidence)}
    return Calibration(factors, future_factors, found, digest, shared, difference)


def reload_difference(trained: Prediction, reloaded: Prediction, *, what: str = "the reloaded network") -> float:
    """Largest absolute difference of all quantiles, m. Raises ReloadMismatchError above 1e-6 m."""
    names = ("subsidence", "head")
    difference = float(np.max([np.max(np.abs(getattr(trained, name) - getattr(reloaded, name))) for name in names]))
    if not difference <= RELOAD_LIMIT_M:
        raise ReloadMismatchError(
            f"{what} predicts something else than the trained one",
            where="validation rows:",
            expected=f"at most {RELOAD_LIMIT_M:g} m",
            found=f"{difference:g} m",
            remedy="Run again; if it persists, another TensorFlow is installed than trained.",
        )
    return difference


def of_rows(prediction: Prediction, rows: np.ndarray) -> Prediction:
    """The prediction of some rows."""
    return Prediction(prediction.levels, prediction.subsidence[rows], prediction.head[rows])
