"""Arrays of a handoff: one bundle, or one split as stored values. Nothing is converted but the kind of number."""

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.store.blobs import Store
from tasks.subsidence.arrays import Split
from tasks.subsidence.checks.evidence import Bundle
from tasks.subsidence.checks.views import INPUTS, TARGETS, as_float32, unusable
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.manifest import read_manifest
from tasks.subsidence.types import Handoff, SplitName


def read_bundle(handoff: Handoff, store: Store, name: str) -> dict[str, np.ndarray]:
    """All arrays of one NPZ (train_inputs, ...), native, in C order, of the stored kind.

    Raises HandshakeError when the handoff has no such bundle, UnsafeArchiveError for an unreadable one.
    """
    ref = handoff.bundles.get(name)
    if ref is None:
        raise HandshakeError(
            "is not part of the handoff",
            where=f"{name}.npz",
            expected=", ".join(sorted(handoff.bundles)),
            remedy="Copy the whole handoff folder.",
        )
    return store.get_npz(ref)


def read_split(handoff: Handoff, store: Store, split: SplitName) -> Split:
    """One split as float32 arrays in stored values; zero-width arrays stand for absent static or future drivers.

    Targets are None for the future and where no target bundle exists. Raises HandshakeError when the inputs are absent,
    or when an array is missing, no number, misshapen, or of another length than the others.
    """
    manifest = read_manifest(handoff.ingested, store)
    inputs = _usable(manifest, f"{split}_inputs", read_bundle(handoff, store, f"{split}_inputs"))
    targets = {}
    if split != "future" and f"{split}_targets" in handoff.bundles:
        targets = _usable(manifest, f"{split}_targets", read_bundle(handoff, store, f"{split}_targets"))
    rows = inputs["coords"].shape[0]
    if targets and targets[TARGETS[0]].shape[0] != rows:
        raise HandshakeError(
            "has another number of windows than the inputs",
            where=f"{split}_targets.npz",
            expected=rows,
            found=targets[TARGETS[0]].shape[0],
            remedy="Pass the handoff as Stage-1 wrote it.",
        )
    ahead = handoff.horizon if handoff.mode == "pihal_like" else handoff.time_steps + handoff.horizon
    return Split(
        name=split,
        coords=inputs["coords"],
        dynamic=inputs["dynamic_features"],
        static=inputs.get("static_features", np.zeros((rows, 0), np.float32)),
        future=inputs.get("future_features", np.zeros((rows, ahead, 0), np.float32)),
        thickness=inputs["H_field"],
        subsidence=targets.get("subs_pred"),
        head=targets.get("gwl_pred"),
    )


def has_split(handoff: Handoff, store: Store, split: SplitName) -> bool:
    """Whether `read_split` gives this split: its inputs are there and usable, and so are its targets, if it has any.

    An optional split may pass the audit with a warning and still be unusable; ask before building on it.
    """
    if f"{split}_inputs" not in handoff.bundles:
        return False
    try:
        read_split(handoff, store, split)
    except HandshakeError:
        return False
    return True


def _usable(manifest: Stage1Manifest, name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    reason = unusable(manifest, Bundle(name, arrays=arrays))
    if reason is not None:
        raise HandshakeError(reason, remedy="Run the audit; it names the array and what is expected.")
    return {key: as_float32(array) for key, array in arrays.items() if key in (*INPUTS, *TARGETS)}
