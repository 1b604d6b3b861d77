"""The training log: one row per epoch, public columns first; nothing in it depends on the clock."""

import csv
import io
import math

GATE_COLUMNS = {"lambda_offset": "offset", "q_gate": "q", "subs_resid_gate": "subs_resid"}
SHARED = (
    "loss", "total_loss", "data_loss", "physics_loss", "physics_loss_scaled", "physics_mult", "lambda_offset",
    "consolidation_loss", "gw_flow_loss", "prior_loss", "smooth_loss", "bounds_loss", "mv_prior_loss", "q_reg_loss",
    "q_rms", "q_gate", "subs_resid_gate", "epsilon_prior", "epsilon_cons", "epsilon_gw", "epsilon_cons_raw",
    "epsilon_gw_raw", "subs_pred_mae_q50", "subs_pred_mse_q50", "subs_pred_coverage80", "subs_pred_sharpness80",
    "gwl_pred_mae_q50", "gwl_pred_mse_q50",
)  # fmt: skip
OURS = ("physics_gate", "crps_subs", "field_loss")
TRAIN_ONLY = ("lr", "grad_norm", "skipped_steps")
COUNTED = "skipped_steps"
AUXILIARY = ("subs_pred_bias_q50", "gwl_pred_bias_q50")


class Means:
    """Weighted means of named values over the batches of one pass; can be written down and taken up again."""

    def __init__(self, sums: dict[str, list[float]] | None = None):
        self.sums = {name: list(pair) for name, pair in (sums or {}).items()}  # weighted sum, weight

    def add(self, names: list[str], values) -> None:
        """One batch; its `weight` is among the values. Values that are not finite are left out of the means."""
        row = dict(zip(names, (float(value) for value in values), strict=True))
        weight = row.pop("weight")
        for name, value in row.items():
            pair = self.sums.setdefault(name, [0.0, 0.0])
            if math.isfinite(value):
                pair[0] += value if name == COUNTED else value * weight
                pair[1] += weight

    def result(self) -> dict[str, float]:
        """Means, NaN where no batch was usable; skipped steps are a count."""
        return {
            name: total if name == COUNTED else (total / weight if weight > 0 else math.nan)
            for name, (total, weight) in self.sums.items()
        }


def columns(extra: tuple[str, ...], auxiliary: bool) -> list[str]:
    """Column names in order; `extra` are diagnostics that were asked for."""
    both = [*SHARED, *OURS, *(AUXILIARY if auxiliary else ())]
    return ["epoch", *both, *TRAIN_ONLY, *extra, *(f"val_{name}" for name in both)]


def log_bytes(rows: list[dict[str, float]], names: list[str]) -> bytes:
    """The rows as CSV; a value that a row does not have stays empty."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
