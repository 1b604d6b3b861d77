"""A made-up run without a model: windows of a small city, forecasts with known faults, scores by the real scorers."""

import io
from dataclasses import replace

import numpy as np

from tasks.contracts.refs import ArtifactRef
from tasks.subsidence import calibrate
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.forecast import Forecast, collect
from tasks.subsidence.handoff.strata import strata
from tasks.subsidence.handoff.truth import Truth
from tasks.subsidence.metrics import score
from tasks.subsidence.products.export_inputs import Earlier, ExportInputs, Judged
from tasks.subsidence.products.payload import PhysicsScalars
from tasks.subsidence.scoring.protocol import protocol
from tasks.subsidence.scoring.skill import references, skill
from tasks.subsidence.semantics import Affine, Axes, ResidualScales, Semantics, Standardisation

LEVELS = (0.1, 0.5, 0.9)
T, H = 5, 3
TRAIN_END = 2022
MIN_X, MIN_Y, RANGE_X, RANGE_Y = 721_000.0, 2_457_000.0, 20_000.0, 16_000.0
NORMAL_90 = 1.2816


def semantics(**changes) -> Semantics:
    """Semantics of a city with five drivers, two lithologies, and a georeference."""
    known = {
        "city": "samplecity", "time_steps": T, "horizon": H, "mode": "tft_like", "train_end_year": TRAIN_END,
        "forecast_start_year": TRAIN_END + 1, "time_units": "year", "seconds_per_time_unit": 31_556_952.0,
        "dynamic_names": ("depth_m", "subsidence_cum", "rainfall_mm", "soil_thickness_censored"),
        "static_names": ("lithology_class_Clay", "lithology_class_Sand", "z_surf_m"), "future_names": ("rainfall_mm",),
        "depth_index": 0, "subsidence_index": 1, "z_surf_index": 2, "one_hot_blocks": {"lithology_class": (0, 1)},
        "use_head_proxy": False, "coords_normalized": True, "coord_range": Axes(t=7.0, x=RANGE_X, y=RANGE_Y),
        "coord_min": Axes(t=2015.0, x=MIN_X, y=MIN_Y),
        "coord_scale_si": Axes(t=7 * 31_556_952.0, x=RANGE_X, y=RANGE_Y), "epsg": 32649, "georeference": "absolute",
        "future_time_shift": 0.0, "subsidence_affine": Affine(), "head_affine": Affine(), "thickness_affine": Affine(),
        "thickness_cap_m": 30.0,
        "standardisation": Standardisation(sigma_s=(0.009, 0.013, 0.017), sigma_h=(0.7, 0.7, 0.7), mean={}, std={}),
        "residual_scales": ResidualScales(T_c=31_556_952.0, h_c=0.76, s_c=0.0085, L_c=12.0, L_xy=1000.0, Ss_c=3e-5,
                                          Sa_c=1e-5, K_c=3e-10),
        "bounds": {"K": (1e-12, 1e-7), "Ss": (1e-6, 1e-3), "tau": (604_800.0, 9_467_085_600.0), "H": (0.1, 30.0),
                   "Ka": (1e-7, 1e-3), "Sa": (1e-6, 1e-4)},
        "public": {"gwl_kind": "depth_bgs", "gwl_sign": "down_positive", "bounds": {"K_min": 1e-12}},
    }  # fmt: skip
    return Semantics(**{**known, **changes})


def split(name: str, n: int = 40, *, seed: int = 0) -> Split:
    """Windows at random places; settlement is fastest in the middle; the future split has no targets."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, 1, (n, 2))
    first = TRAIN_END + 1 if name == "future" else TRAIN_END - H + 1
    years = first - T + np.arange(T + H)
    bowl = np.exp(-4 * ((place - 0.5) ** 2).sum(1))
    rate = (0.004 + 0.02 * bowl)[:, None] * (1 + 0.1 * rng.normal(size=(n, T + H)))
    settled = np.cumsum(rate, axis=1)
    depth = 2.0 + 3 * bowl[:, None] + 0.1 * np.arange(T + H) + rng.normal(0, 0.05, (n, T + H))
    surface, thickness = 5 + rng.normal(0, 0.2, n), np.minimum(5 + 35 * place[:, 0], 30.0)
    coords = np.stack(
        [np.broadcast_to((years[T:] - 2015) / 7, (n, H)), *np.repeat(place[:, :, None], H, 2).swapaxes(0, 1)], 2
    )
    flag = np.repeat((thickness >= 30)[:, None], T, 1)
    clay = place[:, 1] > 0.5
    targets = (None, None) if name == "future" else (settled[:, T:, None], (surface[:, None] - depth)[:, T:, None])
    return Split(
        name=name,
        coords=coords.astype(np.float32),
        dynamic=np.stack([depth[:, :T], settled[:, :T], np.full((n, T), 0.5), flag], 2).astype(np.float32),
        static=np.column_stack([clay, ~clay, surface]).astype(np.float32),
        future=np.full((n, T + H, 1), 0.5, np.float32),
        thickness=np.repeat(thickness[:, None, None], H, 1).astype(np.float32),
        subsidence=targets[0],
        head=targets[1],
    )


def predict(windows: Split, *, error: float = 0.1, spread_m: float = 0.002, seed: int = 1, levels=LEVELS) -> Prediction:
    """Mean-rate medians with a relative error, and intervals that widen with the step."""
    rng = np.random.default_rng(seed)
    n, history = len(windows), windows.dynamic[:, :, 1].astype(float)
    rate = (history[:, -1] - history[:, 0]) / (T - 1)
    steps = np.arange(1, H + 1)
    median = history[:, -1:] + rate[:, None] * steps * (1 + error * rng.normal(size=(n, 1)))
    sign = np.sign(np.asarray(levels) - 0.5) * (np.abs(np.asarray(levels) - 0.5) / 0.4)
    half = spread_m * np.sqrt(steps) * (1 + rng.uniform(0, 1, (n, 1)))
    head = (windows.static[:, 2:3] - windows.dynamic[:, -1:, 0]) * np.ones((1, H))
    subsidence = median[:, :, None] + half[:, :, None] * sign
    return Prediction(tuple(levels), subsidence.astype(np.float64), head[:, :, None] + 0.2 * sign)


def later_truth(windows: Split, *, years: int = 1, seed: int = 3) -> Truth:
    """Truth of the first years of a future split; the rest is unknown."""
    rng = np.random.default_rng(seed)
    history = windows.dynamic[:, :, 1].astype(float)
    rate = (history[:, -1] - history[:, 0]) / (T - 1)
    truth = history[:, -1:] + rate[:, None] * np.arange(1, H + 1) * (1 + 0.1 * rng.normal(size=(len(windows), 1)))
    truth[:, years:] = np.nan
    return Truth(truth, np.full_like(truth, np.nan))


def forecasts(n: int = 40, *, levels=LEVELS, sem: Semantics | None = None, known_years: int = 0):
    """Evaluation and future forecasts with calibrated twins, and the factors."""
    sem = sem or semantics()
    val, test, future = split("val", 60, seed=5), split("test", n), split("future", n, seed=2)
    factors = calibrate.fit(predict(val, levels=levels), val.subsidence, val.head) if len(levels) > 1 else None
    twins = {}
    for windows in (test, future):
        raw = predict(windows, levels=levels)
        after = calibrate.apply(raw, factors) if factors else None
        truth = later_truth(windows, years=known_years) if windows is future and known_years else None
        twins[windows.name] = collect(windows, raw, after, sem, truth=truth)
    return twins["test"], twins["future"], factors


def fields(forecast: Forecast, scalars: "PhysicsScalars | None" = None, *, seed: int = 4) -> dict[str, np.ndarray]:
    """Physics fields (N, H) that obey the closure, inside their bounds, smooth in space."""
    rng, scalars = np.random.default_rng(seed), scalars or physics_scalars()
    x, y = forecast.metres
    u, v = (x - MIN_X) / RANGE_X, (y - MIN_Y) / RANGE_Y
    n = len(x)
    constant = {
        "K": 10 ** (-11 + 0.3 * np.sin(6 * u)), "Ss": 10 ** (-4.2 + 0.4 * v), "H": 5 + 20 * u,
        "K_aquifer": 10 ** (-5 + 0.5 * u), "S_aquifer": 10 ** (-5 + 0.2 * v),
    }  # fmt: skip
    constant["Hd"] = scalars.hd_factor * constant["H"]
    closure = scalars.closure_s(constant["K"], constant["Ss"], constant["Hd"], constant["H"])
    constant |= {"tau_prior": closure, "tau_closure": closure, "tau": closure * np.exp(0.2 * np.sin(4 * v))}
    out = {name: np.repeat(values[:, None], H, 1) for name, values in constant.items()}
    rows = {"Q": 1e-13, "h_f": 3.0, "gw_res_vals": 1e-14, "gw_res_scaled": 0.1, "drawdown": 1.0, "s_eq": 0.05,
            "cons_res_vals": 2e-11, "cons_res_scaled": 0.07}  # fmt: skip
    out |= {name: scale * (1 + 0.3 * rng.normal(size=(n, H))) for name, scale in rows.items()}
    settled = forecast.raw.median() - forecast.last_m[:, None]
    return out | {"s_phys": 0.8 * settled, "dlogtau": np.log(out["tau"] / out["tau_prior"])}


def physics_scalars(**changes) -> PhysicsScalars:
    """Scalars of a model with both equations."""
    known = {"kappa": 0.9, "kappa_mode": "kb", "use_effective_h": True, "hd_factor": 0.6, "mv": 1.1e-7,
             "gamma_w": 9810.0, "h_ref": 0.0, "h_ref_mode": "auto", "lambda_offset": 1.0,
             "pde_modes": ("consolidation", "gw_flow")}  # fmt: skip
    return PhysicsScalars(**{**known, **changes})


def judge(forecast: Forecast, sem: Semantics, report: dict) -> Judged:
    """Scores of one forecast before and after calibration, and its skill."""
    rows, truth = strata(forecast.split, sem), np.asarray(forecast.truth_m, float)
    heads = None if forecast.head_truth_m is None else np.asarray(forecast.head_truth_m, float)
    common = {"last": forecast.last_m.astype(float), "head": heads, "draws": 10}
    before = score(forecast.raw, truth, rows, **common)
    after = None if forecast.calibrated is None else score(forecast.calibrated, truth, rows, **common)
    best = before if after is None else after
    return Judged(before, after, skill(best["overall"], references(report, forecast.split.name)))


def baseline_report(sem: Semantics, *forecasts: Forecast) -> dict:
    """Two forecast baselines, one interpolation, one that is not available."""
    made = {}
    for name, label, is_forecast, error in (
        ("last_value", "last value", True, None),
        ("mean_rate", "mean historical rate", True, 0.25),
        ("inverse_distance", "inverse distance of increments (not a forecast)", False, 0.05),
    ):
        scores = {}
        for forecast in forecasts:
            if forecast.truth_m is None or (not is_forecast and forecast.split.name == "future"):
                continue
            guess = predict(forecast.split, error=error or 0.0, spread_m=0.004, seed=9, levels=forecast.raw.levels)
            if error is None:
                shift = guess.median()[:, :, None] - forecast.last_m[:, None, None]
                guess = replace(guess, subsidence=guess.subsidence - shift)
            rows = strata(forecast.split, sem)
            truth = np.asarray(forecast.truth_m, float)
            scores[forecast.split.name] = score(guess, truth, rows, last=forecast.last_m.astype(float), draws=0)
        made[name] = {"label": label, "is_forecast": is_forecast, "available": True, "reason": None, "parameters": {},
                      "scores": scores}  # fmt: skip
    made["gradient_boosting"] = {"label": "gradient boosting on increments", "is_forecast": True, "available": False,
                                 "reason": "not available: No module named 'sklearn'", "parameters": {},
                                 "scores": {}}  # fmt: skip
    return {"levels": list(LEVELS), "alpha": 0.2, "baselines": made}


def train_log(epochs: int = 12, physics: bool = True) -> bytes:
    """A log that falls, with its physics columns empty when there was none."""
    names = ["total_loss", "data_loss", "crps_subs", "subs_pred_mae_q50", "gwl_pred_mae_q50"]
    terms = ["physics_loss_scaled", "consolidation_loss", "gw_flow_loss", "prior_loss", "smooth_loss", "bounds_loss",
             "mv_prior_loss", "epsilon_prior", "epsilon_cons", "epsilon_gw", "epsilon_cons_raw", "epsilon_gw_raw",
             "q_rms", "physics_gate", "subs_resid_gate", "q_gate", "physics_mult", "lambda_offset"]  # fmt: skip
    columns = ["epoch", *names, *terms, *(f"val_{name}" for name in names + terms)]
    out = io.StringIO()
    out.write(",".join(columns) + "\n")
    for epoch in range(epochs):
        fall = 0.02 + np.exp(-epoch / 3)
        cells = [str(epoch)]
        for prefix in (1.0, 1.15):
            scale = {"crps_subs": 0.004, "subs_pred_mae_q50": 0.005}
            cells += [f"{prefix * fall * scale.get(name, 1.0):.6g}" for name in names]
            gate = min(1.0, epoch / 4)
            for place, name in enumerate(terms):
                value = gate if name.endswith("gate") or name == "physics_mult" else fall * 0.3 / (1 + place)
                value = 0.0 if name == "bounds_loss" else 1e-11 * fall if name.endswith("_raw") else value
                cells.append(f"{value:.6g}" if physics else "")
        out.write(",".join(cells) + "\n")
    return out.getvalue().encode()


def ref(name: str, size: int = 10) -> ArtifactRef:
    """A reference to bytes that nobody reads."""
    return ArtifactRef(digest=f"{abs(hash_text(name)):064x}"[-64:], size=size, media_type="application/json", name=name)


def hash_text(text: str) -> int:
    """A digest that does not change between processes."""
    import hashlib

    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def audit() -> dict:
    """A handshake report with a warning."""
    row = {"id": "G-03", "severity": "warn", "status": "warn", "message": "spatial interpolation score", "expected": "",
           "found": "median distance 210 m", "where": "", "remedy": ""}  # fmt: skip
    passed = {**row, "id": "M-01", "status": "pass", "message": "stage is stage1"}
    return {"verdict": "pass_with_warnings", "checks": [passed, row], "counts": {"pass": 1, "warn": 1, "fail": 0}}


def earlier(sem: Semantics, model: str, stats: dict, *, physics: bool = True, config: dict | None = None) -> Earlier:
    """What the steps before the export would have left."""
    stem = f"{sem.city}_{model}"
    names = ["stage2_handshake_audit.json", "config_resolved.json", "scaling_kwargs.json", "model_init_manifest.json",
             f"{stem}_H{H}_best.keras", f"{stem}_H{H}_final.keras", f"{stem}_H{H}_best.weights.h5",
             f"{stem}_H{H}.weights.h5", f"{stem}_architecture.json", f"{stem}_train_log.csv",
             "interval_factors_80.npy"]  # fmt: skip
    return Earlier(
        files={name: ref(name) for name in names},
        stage1_manifest=ref("manifest.json"),
        train_log=train_log(physics=physics),
        training={"city": sem.city, "model": model, "best_epoch": 7, "epochs_run": 12, "stop_reason": "all_epochs",
                  "metrics_at_best": {"loss": 0.1}, "final_epoch_metrics": {"loss": 0.1}, "seeds": {"numpy": 42},
                  "compile": {"optimizer": "Adam"}, "hp_init": {"quantiles": [0.1, 0.5, 0.9]}, "identifiability": None},
        init_manifest={"dims": {"static_input_dim": 3, "dynamic_input_dim": 4, "future_input_dim": 1}},
        config={"BATCH_SIZE": 32, "MONITOR": "val_crps_subs", "PDE_MODE_CONFIG": "both", "QUANTILES": list(LEVELS),
                "ATTENTION_LEVELS": ["cross"], "IDENTIFIABILITY_REGIME": None, **(config or {})},
        calibration_stats=stats,
        audit=audit(),
        versions={"tensorflow": "2.21.0", "numpy": np.__version__},
    )  # fmt: skip


def export_inputs(
    *, n: int = 40, city: str = "samplecity", model: str = "GeoPriorSubsNet", levels=LEVELS, future: bool = True,
    physics: bool = True, known_years: int = 0, config: dict | None = None, **sem_changes,
) -> ExportInputs:  # fmt: skip
    """Everything the export needs, for a run with known answers."""
    sem = semantics(city=city, **sem_changes)
    evaluation, later, factors = forecasts(n, levels=levels, sem=sem, known_years=known_years)
    report = baseline_report(sem, evaluation, later)
    scalars = physics_scalars() if physics else None
    stats = {"factors": {}, "skipped": True, "reason": "point forecasts have no interval"}
    if factors is not None:
        stats = calibrate.stats(
            evaluation.raw, np.asarray(evaluation.truth_m, float), factors, groups_sha256="0" * 64, shared=False
        )
    return ExportInputs(
        model=model,
        sem=sem,
        evaluation=evaluation,
        future=later if future else None,
        factors=None if factors is None else factors.as_array(),
        future_factors=None if factors is None else factors.as_array(),
        physics=fields(evaluation) if physics else {},
        scalars=scalars,
        judged=judge(evaluation, sem, report),
        judged_future=judge(later, sem, report) if future and known_years else None,
        baselines=report,
        protocol=protocol("random", split="test"),
        reload_max_abs_difference_m=0.0,
        earlier=earlier(sem, model, stats, physics=physics, config=config),
    )
