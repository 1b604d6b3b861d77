"""Arrays of one split, under the names used everywhere in this workload. SI units."""

from dataclasses import dataclass

import numpy as np

FUTURE_AXES = {"tft_like": "window history+horizon driver", "pihal_like": "window horizon driver"}


@dataclass(frozen=True)
class Split:
    """N windows of a handoff; zero-width arrays stand for absent static or future drivers."""

    name: str
    coords: np.ndarray  # (N, H, 3) t, x, y of the target steps, as stored (normalized when the manifest says so)
    dynamic: np.ndarray  # (N, T, D)
    static: np.ndarray  # (N, S)
    future: np.ndarray  # (N, T+H, F) tft_like, (N, H, F) pihal_like
    thickness: np.ndarray  # (N, H, 1) m
    subsidence: np.ndarray | None  # (N, H, 1) cumulative subsidence, m; None where no truth exists
    head: np.ndarray | None  # (N, H, 1) hydraulic head, m, up positive

    def __len__(self) -> int:
        return self.coords.shape[0]


@dataclass(frozen=True)
class Prediction:
    """Quantile forecasts of one split, levels ascending; sharp enough to be scored without the model."""

    levels: tuple[float, ...]
    subsidence: np.ndarray  # (N, H, Q) cumulative subsidence, m
    head: np.ndarray  # (N, H, Q) hydraulic head, m

    def median(self) -> np.ndarray:
        """The 0.5 level of subsidence, (N, H), m."""
        return self.subsidence[:, :, self.levels.index(0.5)]
