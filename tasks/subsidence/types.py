"""What the steps of this workload hand to each other: references and plain numbers, no arrays."""

from typing import Any, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef

SplitName = Literal["train", "val", "test", "future"]
SIDECARS = ("scalers", "stage1_scaling_audit", "config.holdout.artifacts.train_groups_csv")


class HandoffFile(Frozen):
    """One file that a manifest names: where it was recorded, where it lies, and its bytes (None: missing)."""

    key: str = Field(description="Dotted place in the manifest, for example artifacts.numpy.train_inputs_npz")
    stored_path: str
    resolved_path: str | None = Field(description="Relative to the manifest's folder, or null where nothing was found")
    relocated: bool
    ref: ArtifactRef | None


class IngestedHandoff(Frozen):
    """A handoff whose bytes are in the store."""

    manifest: ArtifactRef
    files: tuple[HandoffFile, ...]

    def ref(self, key: str) -> ArtifactRef | None:
        """The bytes recorded under a dotted manifest key, or None."""
        return next((file.ref for file in self.files if file.key == key), None)

    def sidecars(self) -> "IngestedHandoff":
        """Manifest, scaler numbers and hold-out places, without the windows: what scaling is read from."""
        files = (file for file in self.files if file.key in SIDECARS)
        return IngestedHandoff(manifest=self.manifest, files=tuple(files))


class Source(Frozen):
    """Where a run starts: a handoff, and what is known of the truth."""

    handoff: IngestedHandoff
    truth_panel: ArtifactRef | None = Field(None, description="CSV with the forecast years")
    truth_fields: ArtifactRef | None = Field(None, description="NPZ with the known parameters of a twin city")


class SplitRefs(Frozen):
    """The bundles of some splits only: what a step cannot reach, it cannot leak."""

    bundles: dict[str, ArtifactRef]

    def only(self, *names: SplitName) -> "SplitRefs":
        """These splits, as far as they exist."""
        return SplitRefs(bundles={key: ref for key, ref in self.bundles.items() if key.partition("_")[0] in names})

    def has(self, name: SplitName) -> bool:
        """Whether the windows of this split exist."""
        return f"{name}_inputs" in self.bundles


class Handoff(Frozen):
    """A handoff whose manifest has been read; the arrays still lie in the store."""

    ingested: IngestedHandoff
    city: str
    time_steps: int
    horizon: int
    mode: str
    train_end_year: int
    forecast_start_year: int
    bundles: dict[str, ArtifactRef] = Field(description="train_inputs, train_targets, val_inputs, ... that exist")


class CheckResult(Frozen):
    """One line of the audit."""

    id: str
    severity: Literal["fail", "warn", "record"]
    status: Literal["pass", "warn", "fail", "skipped"]
    message: str
    expected: str = ""
    found: str = ""
    where: str = ""
    remedy: str = ""


class Audit(Frozen):
    """Verdict of the handshake audit and its JSON report."""

    verdict: Literal["pass", "pass_with_warnings", "fail"]
    checks: tuple[CheckResult, ...]
    report: ArtifactRef
    splits: SplitRefs = Field(description="Bundles that later steps may build on")


class ConfigLayer(Frozen):
    """Live values from one source, in the order in which they were given: file:..., env, set."""

    source: str
    values: dict[str, Any]


class LiveConfig(Frozen):
    """All live values of one run; nothing is read from the environment after this has been made."""

    layers: tuple[ConfigLayer, ...] = ()


class Settings(Frozen):
    """The resolved configuration: plain values, and the JSON report with the source of each."""

    values: dict[str, Any]
    report: ArtifactRef


# What results do not depend on: lines for people, and the report of where each value came from. No step that computes
# may have it in its cache key; `export` and `register`, which write the report down, have it.
COSMETIC = ("settings.report", "settings.values.VERBOSE", "settings.values.DEBUG", "settings.values.AUDIT_STAGES")


class Scaled(Frozen):
    """Finalized scaling semantics."""

    semantics: ArtifactRef
    public: ArtifactRef = Field(description="scaling_kwargs.json")


class Blueprint(Frozen):
    """Everything needed to rebuild the network without reading anybody's archive."""

    init_manifest: ArtifactRef
    architecture: ArtifactRef


class Trained(Frozen):
    """Weights and what is known of how they came about."""

    best_weights: ArtifactRef
    final_weights: ArtifactRef
    best_archive: ArtifactRef = Field(description="Keras archive for outside tools; never loaded here")
    final_archive: ArtifactRef
    log: ArtifactRef
    summary: ArtifactRef
    val_prediction: ArtifactRef = Field(description="What the trained network predicts on all validation rows")
    saved_model: ArtifactRef | None = Field(
        None, description="SavedModel in a tar for outside tools; null: not asked for"
    )


class Calibrated(Frozen):
    """Interval factors from validation groups, and the check that the reloaded model is the trained one."""

    factors: ArtifactRef = Field(description="Factors with method, rank and rows")
    factors_npy: ArtifactRef | None = Field(
        description="interval_factors_80.npy, float32 (H,); null for point forecasts"
    )
    future_factors: ArtifactRef = Field(
        description="The same for years after training, fitted with training years hidden"
    )
    future_factors_npy: ArtifactRef | None = Field(description="interval_factors_80_future.npy, float32 (H,)")
    stats: ArtifactRef = Field(description="What the factors do to the calibration rows themselves")
    groups_sha256: str
    shared: bool = Field(description="The calibration places also chose the checkpoint")
    reload_max_abs_difference_m: float


class Inferred(Frozen):
    """What the reloaded network says, from one pass with frozen gates; read by everything that is published."""

    evaluation: ArtifactRef = Field(description="Quantiles of the test split, or of validation where there is no test")
    evaluated_split: SplitName
    future: ArtifactRef | None = Field(description="Quantiles of the future windows")
    fields: ArtifactRef | None = Field(
        description="Physical fields and residuals of the evaluated windows; null: no physics"
    )
    future_fields: ArtifactRef | None = Field(description="The same at the future windows, which cover every place")
    scalars: ArtifactRef = Field(description="Learned scalars, residual diagnostics and identifiability")


class BaselineScores(Frozen):
    """Scores and predictions of every baseline on the same rows."""

    report: ArtifactRef
    metrics: dict[str, float | None]


class Products(Frozen):
    """The artifact family under its public names; file names carry no clock time."""

    files: dict[str, ArtifactRef]
    keys: dict[str, str] = Field(description="Product name to file name")
    missing: dict[str, str] = Field(description="Product name to the reason why it was not made")
    metrics: dict[str, float | None]
    inspection: tuple[dict[str, str], ...]
    complete: bool


class Verdict(Frozen):
    """What the oracle says, and what it cannot vouch for."""

    evidence: Literal["physics_derived", "observation_only"]
    report: ArtifactRef
    metrics: dict[str, float | None]


class Registered(Frozen):
    """The registry entry of a complete run, or the reason why there is none."""

    entry: ArtifactRef | None
    artifact_hash: str | None
    role: str | None
    reason: str


class Transferred(Frozen):
    """Forecasts of a registered model on a handoff that it was not trained on."""

    files: dict[str, ArtifactRef]
    metrics: dict[str, float | None]
    trained_on: str
