"""Windows of one split as the value checks see them: well-shaped, finite, in SI, with the channels by their meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.handoff.manifest_model import Stage1Manifest

if TYPE_CHECKING:
    from tasks.subsidence.checks.evidence import Bundle

FUTURE_STEPS = {"tft_like": "T+H", "pihal_like": "H"}
INPUTS = ("coords", "dynamic_features", "static_features", "future_features", "H_field")
TARGETS = ("subs_pred", "gwl_pred")
FUTURE_TARGETS = ("subsidence", "gwl")
MAY_LACK = {"static_features": "static", "future_features": "future"}


@dataclass(frozen=True)
class View:
    """Finite windows of a split, N' <= N rows; channels are None where the manifest does not place them."""

    name: str
    split: Split  # stored values, float32, finite rows only
    rows: int  # windows in the file, finite or not
    no_targets: str | None  # why subsidence and head of `split` are None
    depth: np.ndarray | None  # (N', T) m below ground
    cumulative: np.ndarray | None  # (N', T) m
    z_surf: np.ndarray | None  # (N',) m
    thickness: np.ndarray  # (N', H) m
    subsidence: np.ndarray | None  # (N', H) m, cumulative
    head: np.ndarray | None  # (N', H) m, as stored in the targets

    @property
    def file(self) -> str:
        """Name of the input bundle."""
        return f"{self.name}_inputs.npz"

    @property
    def targets_file(self) -> str:
        """Name of the target bundle."""
        return f"{self.name}_targets.npz"


def expected_shape(manifest: Stage1Manifest, array: str) -> tuple[str, tuple[int | None, ...]]:
    """Shape of an array as text and as numbers; None stands for any size."""
    T, H = manifest.config.TIME_STEPS, manifest.config.FORECAST_HORIZON_YEARS
    steps = {"tft_like": None if None in (T, H) else T + H, "pihal_like": H}.get(manifest.config.MODE or "")
    ahead = FUTURE_STEPS.get(manifest.config.MODE or "", "steps")
    known = {
        "coords": (f"(N, {H}, 3)", (None, H, 3)),
        "dynamic_features": (f"(N, {T}, D)", (None, T, None)),
        "static_features": ("(N, S)", (None, None)),
        "future_features": (f"(N, {steps or ahead}, F)", (None, steps, None)),
    }
    return known.get(array, (f"(N, {H}, 1)", (None, H, 1)))


def misshapen(
    manifest: Stage1Manifest, bundle: str, arrays: Mapping[str, np.ndarray]
) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, expected shape and found shape of every known array that is not shaped as documented."""
    return [
        (name, text, array.shape)
        for name, array in arrays.items()
        if name in known_arrays(bundle)
        for text, wanted in [expected_shape(manifest, name)]
        if len(array.shape) != len(wanted) or any(w not in (None, n) for w, n in zip(wanted, array.shape, strict=True))
    ]


def known_arrays(bundle: str) -> tuple[str, ...]:
    """Names that a bundle may hold."""
    if bundle.endswith("_inputs"):
        return INPUTS
    return (*FUTURE_TARGETS, *TARGETS) if bundle == "future_targets" else TARGETS


def lacking(manifest: Stage1Manifest, bundle: str, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of arrays that a bundle must hold and does not."""
    if bundle == "future_targets":
        return [] if set(FUTURE_TARGETS) <= set(arrays) or set(TARGETS) <= set(arrays) else list(FUTURE_TARGETS)
    listed = manifest.config.features
    return [
        name
        for name in known_arrays(bundle)
        if name not in arrays and not (name in MAY_LACK and not getattr(listed, MAY_LACK[name]))
    ]


def is_numeric(array: np.ndarray) -> bool:
    """Whether an array can be cast to float32 without inventing a meaning."""
    return array.dtype.kind in "fiu"


def as_float32(array: np.ndarray) -> np.ndarray:
    """The array as float32; what is too large for it becomes infinite (and is reported as such)."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def unusable(manifest: Stage1Manifest, bundle: "Bundle") -> str | None:
    """Why the arrays of a bundle cannot be looked at, with the check that says more."""
    if bundle.problem is not None:
        return f"{bundle.file} {'is missing' if bundle.missing else 'cannot be read'} (F-01)"
    known = {name: array for name, array in bundle.arrays.items() if name in known_arrays(bundle.name)}
    if lacking(manifest, bundle.name, known) or not all(is_numeric(array) for array in known.values()):
        return f"{bundle.file} lacks arrays or holds other than numbers (F-03)"
    if misshapen(manifest, bundle.name, known):
        return f"{bundle.file} is misshapen (S-02)"
    if len({array.shape[0] for array in known.values()}) > 1:
        return f"{bundle.file} has arrays of different length (S-04)"
    return None


def build_view(manifest: Stage1Manifest, name: str, bundles: Mapping[str, "Bundle"]) -> View | str:
    """The view of one split, or the reason why there is none."""
    inputs = bundles[f"{name}_inputs"]
    reason = unusable(manifest, inputs)
    if reason is not None:
        return reason
    arrays = {key: as_float32(inputs.arrays[key]) for key in INPUTS if key in inputs.arrays}
    rows = arrays["coords"].shape[0]
    targets, no_targets = _targets(manifest, bundles.get(f"{name}_targets"), name, rows)
    finite = _finite_rows({**arrays, **targets}, rows)
    if not finite.any():
        return f"{inputs.file} has no window without gaps (V-01)" if rows else f"{inputs.file} has no windows (S-04)"
    kept = {key: array if finite.all() else array[finite] for key, array in {**arrays, **targets}.items()}
    return _view(manifest, name, rows, _split(manifest, name, kept), no_targets)


def _targets(
    manifest: Stage1Manifest, bundle: "Bundle | None", name: str, rows: int
) -> tuple[dict[str, np.ndarray], str | None]:
    if name == "future":
        return {}, "the future has no targets"
    if bundle is None:
        return {}, f"{name}_targets.npz is not part of the handoff"
    reason = unusable(manifest, bundle)
    if reason is not None:
        return {}, reason
    if bundle.arrays["subs_pred"].shape[0] != rows:
        return {}, f"{bundle.file} has another number of windows than {name}_inputs.npz (S-04)"
    return {key: as_float32(bundle.arrays[key]) for key in TARGETS}, None


def _finite_rows(arrays: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    finite = np.ones(rows, dtype=bool)
    for array in arrays.values():
        finite &= np.isfinite(array).reshape(rows, -1).all(axis=1) if rows else True
    return finite


def _split(manifest: Stage1Manifest, name: str, arrays: Mapping[str, np.ndarray]) -> Split:
    rows, horizon = arrays["coords"].shape[:2]
    past = arrays["dynamic_features"].shape[1]
    ahead = horizon if manifest.config.MODE == "pihal_like" else past + horizon
    return Split(
        name=name,
        coords=arrays["coords"],
        dynamic=arrays["dynamic_features"],
        static=arrays.get("static_features", np.zeros((rows, 0), np.float32)),
        future=arrays.get("future_features", np.zeros((rows, ahead, 0), np.float32)),
        thickness=arrays["H_field"],
        subsidence=arrays.get("subs_pred"),
        head=arrays.get("gwl_pred"),
    )


def _view(manifest: Stage1Manifest, name: str, rows: int, split: Split, no_targets: str | None) -> View:
    features = manifest.config.features
    dynamic = split.dynamic if split.dynamic.shape[2] == len(features.dynamic) else split.dynamic[:, :, :0]
    static = split.static if split.static.shape[1] == len(features.static) else split.static[:, :0]
    z_surf = _column(static, manifest.z_surf_index)
    depth = _column(dynamic, manifest.depth_index)
    return View(
        name=name,
        split=split,
        rows=rows,
        no_targets=no_targets,
        depth=None if depth is None else depth.astype(np.float64),
        cumulative=_si(_column(dynamic, manifest.subsidence_index), manifest, "subs"),
        z_surf=None if z_surf is None else z_surf.astype(np.float64),
        thickness=_si(split.thickness[:, :, 0], manifest, "H"),
        subsidence=_si(None if split.subsidence is None else split.subsidence[:, :, 0], manifest, "subs"),
        head=_si(None if split.head is None else split.head[:, :, 0], manifest, "head"),
    )


def _column(array: np.ndarray, index: int | None) -> np.ndarray | None:
    return array[..., index] if index is not None and 0 <= index < array.shape[-1] else None


def _si(values: np.ndarray | None, manifest: Stage1Manifest, name: str) -> np.ndarray | None:
    """scale * value + bias; the identity where the manifest says nothing usable."""
    if values is None:
        return None
    pair = [getattr(manifest.scaling, f"{name}_{part}_si") for part in ("scale", "bias")]
    scale, bias = (
        number if number is not None and np.isfinite(number) else default
        for number, default in zip(pair, (1.0, 0.0), strict=True)
    )
    return values.astype(np.float64) * scale + bias
