"""Settlement of a twin city: the Terzaghi series of a doubly drained layer, driven by drawdown."""

from dataclasses import dataclass

import numpy as np

SERIES_TERMS = 60  # the next term relaxes in tau / 14641: two and a half days for the slowest ground


@dataclass(frozen=True)
class SettlementHistory:
    """Settlement (steps + 1, P) m and the settlement of the slowest modes, unweighted, (steps + 1, P, kept) m."""

    settlement: np.ndarray
    modes: np.ndarray


def series_weights(terms: int = SERIES_TERMS) -> np.ndarray:
    """8 / (pi^2 (2m+1)^2) for m = 0, 1, ...: share of each mode in the settlement."""
    odd = 2.0 * np.arange(terms) + 1.0
    return 8.0 / (np.pi**2 * odd**2)


def consolidate(
    target: np.ndarray, tau: np.ndarray, *, dt_s: float, terms: int = SERIES_TERMS, keep: int = 5
) -> SettlementHistory:
    """Settlement under an equilibrium settlement that is linear within each step.

    target: (steps + 1, P) m, starting from equilibrium; tau: (P,) s. Each mode obeys s' = (target - s) / tau_m with
    tau_m = tau / (2m+1)^2, integrated exactly; what the series leaves out follows at once.
    """
    odd = 2.0 * np.arange(terms) + 1.0
    tau_m = tau[:, None] / odd**2
    fade = np.exp(-dt_s / tau_m)
    lag = tau_m / dt_s * (1.0 - fade)
    weights = series_weights(terms)
    modes = np.repeat(target[0][:, None], terms, axis=1)
    settlement, kept = np.empty_like(target), np.empty((*target.shape, keep))
    for step, level in enumerate(target):
        if step:
            rise = (level - target[step - 1])[:, None]
            modes = modes * fade + level[:, None] - target[step - 1][:, None] * fade - rise * lag
        settlement[step] = np.einsum("pm,m->p", modes, weights) + (1.0 - weights.sum()) * level
        kept[step] = modes[:, :keep]
    return SettlementHistory(settlement=settlement, modes=kept)
