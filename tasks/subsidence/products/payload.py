"""Physics payload: fields, residuals and closure of one split, as flat arrays that public readers load, and its maps.

Every field is given per window and step and written as N*H values, with coordinates beside it.
`tau_prior` is the closure time the model used; `tau_closure` is recomputed here from the exported K, Ss and
thickness, so that their agreement is a check of the export and not a copy.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.contracts.errors import IncompleteRunError
from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.store.npz_writer import write_npz
from tasks.subsidence.forecast import Column, Forecast, csv_bytes
from tasks.subsidence.handoff.locations import unique_places
from tasks.subsidence.semantics import Semantics

CONSOLIDATION_FIELDS = (
    "tau", "tau_prior", "K", "Ss", "Hd", "H", "cons_res_vals", "cons_res_scaled", "drawdown", "s_eq", "s_phys", "h_f",
)  # fmt: skip
FLOW_FIELDS = ("Q", "h_f", "K_aquifer", "S_aquifer", "gw_res_vals", "gw_res_scaled")
UNITS = {
    "H": "m", "Hd": "m", "Ss": "1/m", "K": "m/s", "K_from_tau": "m/s", "K_from_tau_m_per_year": "m/yr", "tau": "s",
    "tau_prior": "s", "tau_closure": "s", "cons_res_vals": "m/s", "cons_res_scaled": "dimensionless",
    "gw_res_vals": "1/s", "gw_res_scaled": "dimensionless", "kappa": "dimensionless", "Q": "1/s", "h_f": "m",
    "K_aquifer": "m/s", "S_aquifer": "1/m", "drawdown": "m", "s_eq": "m", "s_phys": "m",
    "residual_share": "dimensionless", "coord_t": "year", "coord_x": "m", "coord_y": "m",
    "longitude": "degree", "latitude": "degree",
}  # fmt: skip
FORMULA = {"kb": "Hd^2 * Ss / (pi^2 * kappa_b * K)", "bar": "kappa_bar * H^2 * Ss / (pi^2 * K)"}
NEAR_BOUND_SHARE = 0.05


@dataclass(frozen=True)
class PhysicsScalars:
    """Learned and fixed scalars of the physics, as `infer.scalars` reads them from the reloaded model."""

    kappa: float
    kappa_mode: str
    use_effective_h: bool
    hd_factor: float
    mv: float
    gamma_w: float
    h_ref: float
    h_ref_mode: str
    lambda_offset: float
    pde_modes: tuple[str, ...]
    physics_multiplier: float = 1.0
    residual_gate: float = 1.0

    @property
    def consolidation(self) -> bool:
        """Whether settlement has a physical mean, and with it K, Ss and tau."""
        return "consolidation" in self.pde_modes

    @property
    def gw_flow(self) -> bool:
        """Whether the flow equation holds the head, and with it the aquifer's fields and the source."""
        return "gw_flow" in self.pde_modes

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields that the active equations define, each once."""
        names = CONSOLIDATION_FIELDS if self.consolidation else ()
        return tuple(dict.fromkeys(names + (FLOW_FIELDS if self.gw_flow else ())))

    @property
    def kappa_terzaghi(self) -> float:
        """Closure factor relative to Terzaghi with double drainage: kappa/HD_FACTOR^2 (kb), 1/kappa (bar)."""
        return 1.0 / self.kappa if self.kappa_mode == "bar" else self.kappa / self.hd_factor**2

    def closure_s(self, conductivity: np.ndarray, storage: np.ndarray, hd: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Closure time in s; with K replaced by tau the same formula gives K from tau."""
        if self.kappa_mode == "bar":
            return self.kappa * h**2 * storage / (np.pi**2 * conductivity)
        return hd**2 * storage / (np.pi**2 * self.kappa * conductivity)


def payload(fields: Mapping[str, np.ndarray], forecast: Forecast, scalars: PhysicsScalars) -> dict[str, np.ndarray]:
    """Flat arrays of the payload; fields are (N, H) in SI. IncompleteRunError on absent or non-finite ones."""
    flat = {name: _flat(fields, name, forecast.years.shape) for name in scalars.field_names}
    derived = _closure_arrays(flat, forecast, scalars) if scalars.consolidation else {}
    out = {**flat, **derived, **_coordinates(forecast)}
    _require_finite(out)
    return out


def _closure_arrays(
    flat: Mapping[str, np.ndarray], forecast: Forecast, scalars: PhysicsScalars
) -> dict[str, np.ndarray]:
    closure = scalars.closure_s(flat["K"], flat["Ss"], flat["Hd"], flat["H"])
    from_tau = scalars.closure_s(flat["tau"], flat["Ss"], flat["Hd"], flat["H"])
    return {
        "tau_closure": closure,
        "K_from_tau": from_tau,
        "K_from_tau_m_per_year": from_tau * SECONDS_PER_YEAR,
        "log10_tau": np.log10(flat["tau"]),
        "log10_tau_prior": np.log10(flat["tau_prior"]),
        "log10_tau_closure": np.log10(closure),
        "log10_K_from_tau_m_per_year": np.log10(from_tau * SECONDS_PER_YEAR),
        "residual_share": residual_share(forecast, flat["s_phys"]),
    }


def residual_share(forecast: Forecast, s_phys: np.ndarray) -> np.ndarray:
    """|residual| / (|s_phys| + |residual|) of the published median, flat (N*H,); 0 where both vanish."""
    settlement = (forecast.raw.median() - forecast.last_m[:, None]).astype(float).ravel()
    residual = np.abs(settlement - s_phys)
    total = np.abs(s_phys) + residual
    return np.divide(residual, total, out=np.zeros_like(total), where=total > 0)


def payload_metrics(arrays: Mapping[str, np.ndarray], scalars: PhysicsScalars) -> dict[str, float | None]:
    """Summary of one payload: RMS of the prior, of the scaled residuals and of the closure check."""
    found: dict[str, float | None] = {"kappa_used_for_closure": scalars.kappa if scalars.consolidation else None}
    if scalars.consolidation:
        log_tau, log_prior = np.log(arrays["tau"]), np.log(arrays["tau_prior"])
        spread = float(((log_tau - log_tau.mean()) ** 2).sum())
        explained = 1.0 - float(((log_tau - log_prior) ** 2).sum()) / spread if spread > 0 else None
        found |= {
            "eps_prior_rms": _rms(log_tau - log_prior),
            "r2_logtau": explained,
            "eps_cons_scaled_rms": _rms(arrays["cons_res_scaled"]),
            "closure_consistency_rms": _rms(log_prior - np.log(arrays["tau_closure"])),
            "median_residual_share": float(np.median(arrays["residual_share"])),
        }
    if "gw_res_scaled" in arrays:
        found["eps_gw_scaled_rms"] = _rms(arrays["gw_res_scaled"])
    return found


def meta(arrays: Mapping[str, np.ndarray], scalars: PhysicsScalars, sem: Semantics, *, model: str, split: str) -> dict:
    """Content of the side file `.npz.meta.json`: names, units, closure and conventions as the manifest states them."""
    return {
        "model_name": model,
        "pde_modes_active": list(scalars.pde_modes),
        "kappa_mode": scalars.kappa_mode,
        "use_effective_h": scalars.use_effective_h,
        "use_effective_thickness": scalars.use_effective_h,
        "hd_factor": scalars.hd_factor,
        "Hd_factor": scalars.hd_factor,
        "lambda_offset": scalars.lambda_offset,
        "time_units": sem.time_units,
        "time_coord_units": "year",
        "units": {name: unit for name, unit in UNITS.items() if name in arrays or name == "kappa"},
        "tau_prior_definition": "tau_closure_from_learned_fields",
        "tau_prior_human_name": "tau_closure",
        "tau_prior_source": "closure of the reloaded model; tau_closure is recomputed from the exported K, Ss, Hd, H",
        "kappa_value": scalars.kappa,
        "kappa_terzaghi": scalars.kappa_terzaghi,
        "tau_closure_formula": FORMULA[scalars.kappa_mode],
        "city": sem.city,
        "split": split,
        "gwl_kind": sem.public.get("gwl_kind"),
        "gwl_sign": sem.public.get("gwl_sign"),
        "use_head_proxy": sem.use_head_proxy,
        "epsg": sem.epsg,
        "georeference": sem.georeference,
        "payload_metrics": payload_metrics(arrays, scalars),
    }


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """NPZ without pickles, not packed: numpy's own writer gives other bytes with other releases of Python and zlib."""
    return write_npz(arrays)


def json_bytes(value: object) -> bytes:
    """Canonical JSON: sorted keys, two spaces, finite numbers only."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parameter_csv(scalars: PhysicsScalars) -> bytes:
    """Parameter, Value: the four public scalars first, then what is needed to read them."""
    rows = [
        ("Compressibility_mv", scalars.mv),
        ("Consistency_Kappa", scalars.kappa),
        ("Unit_Weight_Water_gamma_w", scalars.gamma_w),
        ("Reference_Head_h_ref", scalars.h_ref),
        ("Kappa_Terzaghi", scalars.kappa_terzaghi),
        ("Drainage_Factor_Hd", scalars.hd_factor),
        ("Physics_Multiplier_lambda_offset", scalars.lambda_offset),
    ]
    if not np.all(np.isfinite([value for _, value in rows])):
        raise IncompleteRunError("a physical parameter is not finite", found=dict(rows))
    return ("Parameter,Value\n" + "".join(f"{name},{value:.9g}\n" for name, value in rows)).encode()


def parameter_map_csv(fields: Mapping[str, np.ndarray], forecast: Forecast, sem: Semantics) -> bytes:
    """One row per location: K, Ss, tau, drainage thickness, and whether one of the three is near its bound."""
    return csv_bytes(parameter_map(fields, forecast, sem))


def parameter_map(fields: Mapping[str, np.ndarray], forecast: Forecast, sem: Semantics) -> list[Column]:
    """Columns of the parameter map; positive fields are geometric means over the horizon."""
    shape = forecast.years.shape
    first, _ = unique_places(*forecast.metres)
    level = {name: np.exp(np.log(_flat(fields, name, shape).reshape(shape)[first]).mean(1)) for name in _MAPPED}
    maps = {"K_m_s": level["K"], "Ss_1_m": level["Ss"], "tau_yr": level["tau"] / SECONDS_PER_YEAR, "Hd_m": level["Hd"]}
    shift = {"dlogtau": np.log(level["tau"] / level["tau_prior"])}
    _require_finite({**maps, **shift})
    near = np.zeros(len(first), bool)
    for name in ("K", "Ss", "tau"):
        near |= near_bound(level[name], sem.bounds[name])
    numbers = [Column(name, values, "%.9g") for name, values in {**maps, **shift}.items()]
    return [*_place_cells(forecast, first), *numbers, Column("near_bound", near.astype(np.int64), "%d")]


def near_bound(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """True where a positive parameter lies within 5 % of the log range from one of its bounds."""
    low, high = np.log(bounds)
    place = (np.log(values) - low) / (high - low)
    return (place < NEAR_BOUND_SHARE) | (place > 1 - NEAR_BOUND_SHARE)


_MAPPED = ("K", "Ss", "tau", "tau_prior", "Hd")


def _place_cells(forecast: Forecast, first: np.ndarray) -> list[Column]:
    where, nothing = forecast.where, np.full(len(first), np.nan)
    x, y = forecast.metres
    degrees = [nothing if v is None else np.asarray(v, float)[first] for v in (where.longitude, where.latitude)]
    return [
        Column("longitude", degrees[0], "%.8f"),
        Column("latitude", degrees[1], "%.8f"),
        Column("coord_x", x[first], "%.3f"),
        Column("coord_y", y[first], "%.3f"),
    ]


def _coordinates(forecast: Forecast) -> dict[str, np.ndarray]:
    n, h = forecast.years.shape
    x, y = forecast.metres
    out = {
        "sample_idx": np.repeat(np.arange(n), h),
        "forecast_step": np.tile(np.arange(1, h + 1), n),
        "coord_t": forecast.years.ravel(),
        "coord_x": np.repeat(x, h),
        "coord_y": np.repeat(y, h),
    }
    if forecast.where.longitude is not None:
        out["longitude"] = np.repeat(np.asarray(forecast.where.longitude, float), h)
        out["latitude"] = np.repeat(np.asarray(forecast.where.latitude, float), h)
    return out


def _flat(fields: Mapping[str, np.ndarray], name: str, shape: tuple[int, int]) -> np.ndarray:
    if name not in fields:
        raise IncompleteRunError(
            f"physics field '{name}' was not computed",
            where="physics payload",
            found=sorted(fields),
            remedy="Run the physics pass of the reloaded model on this split.",
        )
    values = np.asarray(fields[name], dtype=np.float64)
    if values.shape != shape:
        raise IncompleteRunError(f"physics field '{name}' has another shape", expected=shape, found=values.shape)
    return values.ravel()


def _require_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise IncompleteRunError(
                f"payload field '{name}' is not finite",
                where="physics payload",
                expected="0 NaN or infinite cells",
                found=f"{bad} of {values.size}",
                remedy="A field left its bounds or a residual overflowed; see the training summary.",
            )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
