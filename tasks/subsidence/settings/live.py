"""The live-owned settings: architecture, physics, losses and the run itself. A live value wins over every default."""

from tasks.subsidence.settings.key import Key

MODELS = ("GeoPriorSubsNet", "PoroElasticSubsNet", "HybridAttn-NoPhysics")
REGIMES = ("base", "anchored", "closure_locked", "data_relaxed")
STRATEGIES = ("data_first", "physics_first")
POLICIES = ("always_on", "always_off", "warmup_off")


def _live(group: str):
    def row(name, kind, default, doc, **rest) -> Key:
        return Key(name, "live", kind, default, doc, group=group, **rest)

    return row


_a = _live("architecture")
ARCHITECTURE = (
    _a("MODEL_NAME", "text", "GeoPriorSubsNet", "Flavour of the model; --model is the same setting.", choices=MODELS),
    _a(
        "ENCODER",
        "text",
        "lstm",
        "Encoder of the history.",
        choices=("lstm",),
        settled="the encoder is the LSTM",
        refused={"transformer": "Leave ENCODER out; the multi-scale LSTM is the encoder."},
    ),
    _a("EMBED_DIM", "int", 32, "Width of the embeddings.", low=1, high=1024),
    _a("HIDDEN_UNITS", "int", 64, "Width of the decoder and of the grids of dense layers.", low=1, high=4096),
    _a("LSTM_UNITS", "int", 64, "Width of each LSTM.", low=1, high=4096),
    _a("ATTENTION_UNITS", "int", 64, "Width of the attention levels.", low=1, high=4096),
    _a("NUMBER_HEADS", "int", 2, "Heads of each attention level.", low=1, high=64),
    _a("DROPOUT_RATE", "float", 0.1, "Share of units dropped while training.", low=0, high=0.9),
    _a("MEMORY_SIZE", "int", 50, "Slots of the memory attention.", low=1, high=10_000),
    _a("SCALES", "ints", [1, 2], "Every s-th step of the history is read by one LSTM.", low=1, high=64),
    _a("USE_RESIDUALS", "bool", True, "Residual connections around the attention levels."),
    _a("USE_BATCH_NORM", "bool", False, "Batch normalisation in the dense blocks."),
    _a("USE_VSN", "bool", True, "Variable selection networks; plain dense layers when false."),
    _a("VSN_UNITS", "int", 32, "Width of the variable selection networks.", low=1, high=1024),
    _a(
        "ATTENTION_LEVELS",
        "texts",
        ["cross", "hierarchical", "memory"],
        "Attention levels in use.",
        choices=("cross", "hierarchical", "memory"),
    ),
    _a(
        "QUANTILES",
        "floats",
        [0.1, 0.5, 0.9],
        "Sorted levels inside (0, 1) with 0.5; null or [0.5]: points only.",
        nullable=True,
        low=0,
        high=1,
    ),
    _a("NEIGHBOUR_CONTEXT", "int", 0, "Nearest train groups that are attended to; 0: none.", low=0, high=64),
    _a("ORIGIN_AUGMENT", "float", 0.5, "Share of windows that are trained from an earlier origin.", low=0, high=1),
)

_p = _live("physics")
PHYSICS = (
    _p(
        "PDE_MODE_CONFIG",
        "text",
        "both",
        "Which equations are active.",
        choices=("none", "consolidation", "gw_flow", "both"),
        same_as={"on": "both", "off": "none"},
    ),
    _p("IDENTIFIABILITY_REGIME", "text", None, "Named set of weights and locks.", choices=REGIMES, nullable=True),
    _p("OFFSET_MODE", "text", "mul", "Physics multiplier: the offset, or 10 to its power.", choices=("mul", "log10")),
    _p(
        "PHYSICS_BOUNDS_MODE",
        "text",
        "sigmoid",
        "How fields stay inside PHYSICS_BOUNDS.",
        choices=("sigmoid", "soft"),
        refused={"hard": "Use sigmoid (always inside) or soft (barrier outside)."},
    ),
    _p(
        "BOUNDS_LOSS_KIND",
        "text",
        "both",
        "Terms of the bounds loss (soft mode).",
        choices=("residual", "barrier", "both"),
    ),
    _p("BOUNDS_BETA", "float", 20.0, "Steepness of the barrier.", low=0, high=1e4, open_low=True),
    _p(
        "BOUNDS_GUARD",
        "float",
        5.0,
        "Log distance beyond a bound where the barrier turns linear.",
        low=0,
        high=100,
        open_low=True,
    ),
    _p("BOUNDS_W", "float", 1.0, "Weight of the barrier.", low=0, high=1e6),
    _p("BOUNDS_INCLUDE_TAU", "bool", True, "Whether tau has a bounds term of its own."),
    _p("BOUNDS_TAU_W", "float", 1.0, "Weight of the bounds term of tau.", low=0, high=1e6),
    _p("SCALE_PDE_RESIDUALS", "bool", True, "Non-dimensional residuals; raw SI when false."),
    _p(
        "CONSOLIDATION_STEP_RESIDUAL_METHOD",
        "text",
        "exact",
        "How a consolidation step is integrated.",
        choices=("exact", "backward_euler"),
    ),
    _p("CONSOLIDATION_MODES", "int", 5, "Modes of the relaxation; 1 is the public single mode.", low=1, high=100),
    _p(
        "CONS_STEP",
        "text",
        "ramp",
        "Equilibrium settlement within a step: linear ramp, or constant (public form).",
        choices=("ramp", "constant"),
        same_as={"linear": "ramp"},
    ),
    _p("ALLOW_SUBS_RESIDUAL", "bool", True, "Whether data may add settlement to what physics explains."),
    _p("GEOPRIOR_INIT_MV", "float", 1e-7, "Initial compressibility m_v, 1/Pa.", low=0, high=1e-3, open_low=True),
    _p("GEOPRIOR_INIT_KAPPA", "float", 1.0, "Initial closure factor kappa.", low=0, high=1e3, open_low=True),
    _p("GEOPRIOR_GAMMA_W", "float", 9810.0, "Unit weight of water, N/m3.", low=9000, high=11000),
    _p("GEOPRIOR_KAPPA_MODE", "text", "kb", "How kappa enters the closure.", choices=("kb", "bar")),
    _p("GEOPRIOR_USE_EFFECTIVE_H", "bool", True, "Drainage path from GEOPRIOR_HD_FACTOR instead of DRAINAGE_MODE."),
    _p("GEOPRIOR_HD_FACTOR", "float", 0.6, "Drainage path as a share of the thickness.", low=0, high=4, open_low=True),
    _p(
        "GEOPRIOR_H_REF",
        "float",
        "auto",
        "Reference head of the drawdown, m or by rule.",
        choices=("auto", "last", "window_start"),
        low=-12_000,
        high=9_000,
    ),
    _p(
        "GW_LAYER",
        "text",
        "two_layer",
        "Aquifer with its own fields, or the clay's (public formula).",
        choices=("two_layer", "shared"),
    ),
    _p(
        "AQUIFER_THICKNESS",
        "float",
        20.0,
        "Aquifer thickness that spreads a recharge rate, m.",
        low=0,
        high=5_000,
        open_low=True,
    ),
    _p("LOG_Q_DIAGNOSTICS", "bool", False, "Extra columns on the forcing Q in the training log."),
    _p("DEBUG_PHYSICS_GRADS", "bool", False, "Extra columns on the gradient of each physics term."),
)

_l = _live("losses")


def _variants(strategy: str, q: tuple[int, int], residual: tuple[int, int]) -> tuple[Key, ...]:
    end = strategy.upper()
    only = f"while TRAINING_STRATEGY is {strategy}"
    return (
        _l(f"LOSS_WEIGHT_GWL_{end}", "float", None, f"LOSS_WEIGHT_GWL {only}.", low=0, high=1e6, nullable=True),
        _l(f"LAMBDA_Q_{end}", "float", None, f"LAMBDA_Q {only}.", low=0, high=1e6, nullable=True),
        _l(f"Q_POLICY_{end}", "text", "warmup_off", f"Gate of the forcing Q {only}.", choices=POLICIES),
        _l(f"Q_WARMUP_EPOCHS_{end}", "int", q[0], f"Epochs without Q {only}.", low=0, high=100_000),
        _l(f"Q_RAMP_EPOCHS_{end}", "int", q[1], f"Epochs in which Q fades in {only}.", low=0, high=100_000),
        _l(
            f"SUBS_RESID_POLICY_{end}",
            "text",
            "warmup_off",
            f"Gate of the settlement residual {only}.",
            choices=POLICIES,
        ),
        _l(
            f"SUBS_RESID_WARMUP_EPOCHS_{end}",
            "int",
            residual[0],
            f"Epochs without the residual {only}.",
            low=0,
            high=100_000,
        ),
        _l(
            f"SUBS_RESID_RAMP_EPOCHS_{end}",
            "int",
            residual[1],
            f"Epochs in which the residual fades in {only}.",
            low=0,
            high=100_000,
        ),
    )


LOSSES = (
    _l("LAMBDA_CONS", "float", 1.0, "Weight of the consolidation residual.", low=0, high=1e6),
    _l("LAMBDA_GW", "float", 0.1, "Weight of the groundwater residual.", low=0, high=1e6),
    _l("LAMBDA_PRIOR", "float", 0.2, "Weight of the closure prior on tau.", low=0, high=1e6),
    _l("LAMBDA_SMOOTH", "float", 0.01, "Weight of the smoothness of log K and log Ss.", low=0, high=1e6),
    _l("LAMBDA_BOUNDS", "float", 0.05, "Weight of the bounds loss.", low=0, high=1e6),
    _l("LAMBDA_MV", "float", 0.01, "Weight of the compressibility prior.", low=0, high=1e6),
    _l(
        "LAMBDA_Q",
        "float",
        5e-4,
        "Weight of the size of Q.",
        low=0,
        high=1e6,
        default_if=("TRAINING_STRATEGY", {"physics_first": 1e-5}),
    ),
    _l(
        "LAMBDA_OFFSET",
        "float",
        1.0,
        "Physics multiplier without a scheduler.",
        low=-12,
        high=1e6,
        default_if=("OFFSET_MODE", {"log10": 0.0}),
    ),
    _l("LOSS_WEIGHT_GWL", "float", 0.5, "Weight of the head against subsidence in the data loss.", low=0, high=1e6),
    _l("MV_LR_MULT", "float", 1.0, "Gradient multiplier of m_v.", low=0, high=1e3),
    _l("KAPPA_LR_MULT", "float", 5.0, "Gradient multiplier of kappa.", low=0, high=1e3),
    _l("TRAINING_STRATEGY", "text", "data_first", "Which set of gates is in force.", choices=STRATEGIES),
    *_variants("data_first", (2, 6), (1, 4)),
    *_variants("physics_first", (5, 5), (5, 5)),
    _l("USE_LAMBDA_OFFSET_SCHEDULER", "bool", False, "Move the physics multiplier while training."),
    _l("LAMBDA_OFFSET_UNIT", "text", "epoch", "Index of the offset schedule.", choices=("epoch", "step")),
    _l("LAMBDA_OFFSET_WHEN", "text", "begin", "When in that unit the offset moves.", choices=("begin", "end")),
    _l("LAMBDA_OFFSET_WARMUP", "int", 5, "Units from START to END.", low=0, high=10_000_000),
    _l(
        "LAMBDA_OFFSET_START",
        "float",
        0.1,
        "First offset of the linear schedule.",
        low=-12,
        high=1e6,
        default_if=("OFFSET_MODE", {"log10": -1.0}),
    ),
    _l(
        "LAMBDA_OFFSET_END",
        "float",
        1.0,
        "Last offset of the linear schedule.",
        low=-12,
        high=1e6,
        default_if=("OFFSET_MODE", {"log10": 0.0}),
    ),
    _l(
        "LAMBDA_OFFSET_SCHEDULE",
        "schedule",
        None,
        "Table {index: offset} or list, instead of the linear one.",
        low=-12,
        high=1e6,
        nullable=True,
    ),
    _l("PHYSICS_WARMUP_FRACTION", "float", 0.05, "Share of the steps before physics fades in.", low=0, high=1),
    _l("PHYSICS_RAMP_FRACTION", "float", 0.25, "Share of the steps in which physics fades in.", low=0, high=1),
    _l(
        "PHYSICS_WARMUP_STEPS",
        "int",
        None,
        "The same in steps; converted to a share.",
        low=0,
        high=100_000_000,
        nullable=True,
        settled="converted to PHYSICS_WARMUP_FRACTION",
    ),
    _l(
        "PHYSICS_RAMP_STEPS",
        "int",
        None,
        "The same in steps; converted to a share.",
        low=0,
        high=100_000_000,
        nullable=True,
        settled="converted to PHYSICS_RAMP_FRACTION",
    ),
)

_r = _live("run")
RUN = (
    _r("EPOCHS", "int", 20, "Passes over the train windows.", low=1, high=100_000),
    _r("BATCH_SIZE", "int", 32, "Windows per step.", low=1, high=65_536),
    _r("LEARNING_RATE", "float", 1e-3, "Step size of Adam.", low=0, high=1, open_low=True),
    _r("PATIENCE", "int", 15, "Epochs without progress before stopping.", low=0, high=100_000),
    _r("CLIP_GLOBAL_NORM", "float", 5.0, "Largest global norm of the gradient.", low=0, high=1e9, open_low=True),
    _r("SEED", "int", 42, "Seed of weights, shuffling and drawing; --seed is the same setting.", low=0, high=2**31 - 1),
    _r(
        "MONITOR",
        "text",
        "val_crps_subs",
        "What picks the checkpoint; physics never does.",
        choices=("val_crps_subs", "val_data_loss"),
    ),
    _r(
        "TF_DEVICE_MODE",
        "text",
        "auto",
        "Device of the tensor work: cpu hides GPUs, gpu requires one.",
        choices=("auto", "cpu", "gpu"),
    ),
    _r(
        "TF_INTRA_THREADS",
        "int",
        None,
        "Threads inside an operation, fixed when TensorFlow starts; null: its choice.",
        low=0,
        high=1024,
        nullable=True,
    ),
    _r("TF_INTER_THREADS", "int", None, "Operations at the same time, likewise.", low=0, high=1024, nullable=True),
    _r("TF_GPU_ALLOW_GROWTH", "bool", True, "Take GPU memory as needed; without effect under a memory limit."),
    _r(
        "TF_GPU_MEMORY_LIMIT_MB",
        "int",
        None,
        "GPU memory to take, MB, at once.",
        low=64,
        high=10_000_000,
        nullable=True,
    ),
    _r("VERBOSE", "int", 1, "Lines told while training: 0 none, 1 per epoch, 2 also per gate change.", low=0, high=10),
    _r("DEBUG", "bool", False, "Tell intermediate values while training."),
    _r(
        "AUDIT_STAGES",
        "names",
        None,
        "Audit lines on the console: stage1 those on what was delivered (F, S, V, C, U, "
        "G), stage2 or all every one. The audit itself always runs.",
        nullable=True,
        choices=("stage1", "stage2", "all"),
        same_as={"*": "all"},
        refused={"stage3": "There is no tuning stage here."},
    ),
    _r(
        "USE_IN_MEMORY_MODEL",
        "bool",
        False,
        "Calibrate on what the trained network itself predicted; the reload check runs all the same.",
    ),
    _r("USE_TF_SAVEDMODEL", "bool", False, "Also write a SavedModel, checked like the weights."),
    _r("TRACK_AUX_METRICS", "bool", False, "Further metrics per epoch in the training log."),
    _r("EVAL_JSON_UNITS_MODE", "text", "si", "Units of the metrics JSON.", choices=("si", "interpretable")),
    _r("EVAL_JSON_UNITS_SCOPE", "text", "all", "Which of its values are converted.", choices=("all", "subs")),
    _r(
        "CALIBRATION_METHOD",
        "text",
        "scaled",
        "How intervals are calibrated.",
        choices=("scaled", "additive", "none"),
        refused={"isotonic": "Use scaled or additive."},
    ),
    _r("CALIBRATION_ALPHA", "float", 0.2, "Share that may lie outside the interval.", low=0.01, high=0.5),
    _r("BOOTSTRAP_SAMPLES", "int", 500, "Resamples of groups behind the 95 % bands.", low=1, high=100_000),
    _r("STRICT_UNITS", "bool", False, "Implausible depths refuse the handoff instead of warning."),
    _r(
        "ABLATION_RECORDS",
        "bool",
        False,
        "One line per run in an ablation table.",
        settled="no such table is written",
        refused={"true": "Leave it out; config_resolved.json and the registry record each run."},
    ),
    _r(
        "SCALING_KWARGS_JSON_PATH",
        "text",
        None,
        "File with last values of merged keys.",
        nullable=True,
        settled="read when the layers were read",
    ),
)

LIVE = ARCHITECTURE + PHYSICS + LOSSES + RUN
