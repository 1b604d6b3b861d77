"""What the checks look at, read once: manifest, bundles, live values, groups, georeference. No check reads files."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store
from tasks.store.jsons import read_json
from tasks.store.npz import iterate_npz
from tasks.subsidence.checks.views import View, build_view, is_numeric, misshapen
from tasks.subsidence.handoff.georef import Georeference, georeference
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.handoff.manifest_parse import REQUIRED_BUNDLES, parse_manifest
from tasks.subsidence.types import Handoff, HandoffFile, LiveConfig

SPLITS = ("train", "val", "test", "future", "oos_time")
WITH_TARGETS = ("train", "val", "test", "oos_time")
KNOWN_BUNDLES = {f"{split}_{part}" for split in SPLITS for part in ("inputs", "targets")}
PANELS = ("artifacts.csv.raw", "artifacts.csv.clean")


@dataclass(frozen=True)
class Bundle:
    """One NPZ: its arrays (native, C order, stored kind), or the reason why there are none."""

    name: str
    missing: bool = False
    problem: str | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    conversions: dict[str, str] = field(default_factory=dict)  # array: what the stored form was, where it was another

    @property
    def required(self) -> bool:
        """Whether no handoff is complete without it."""
        return self.name in REQUIRED_BUNDLES

    @property
    def file(self) -> str:
        """The name people know."""
        return f"{self.name}.npz"

    @property
    def unread(self) -> str | None:
        """Why it cannot be looked at; None where it can, and where it is optional and simply not there."""
        if self.problem is None or (self.missing and not self.required):
            return None
        return f"{self.file} {'is missing' if self.missing else 'cannot be read'} (F-01)"


@dataclass(frozen=True)
class Groups:
    """Longitude and latitude of the groups of one split, (G, 2) degrees, or the reason why they are unknown."""

    lonlat: np.ndarray | None
    problem: str | None = None


@dataclass(frozen=True)
class Evidence:
    """One handoff as the audit sees it."""

    manifest: Stage1Manifest
    digest: str
    files: tuple[HandoffFile, ...]
    bundles: Mapping[str, Bundle]
    live: Mapping[str, Any]
    city: str | None
    model: str | None
    sources: Mapping[str, Any]
    groups: Mapping[str, Groups]
    open_panel: Callable[[str], bytes]

    @property
    def identity(self) -> str:
        """The manifest this is about, for messages."""
        return f"Manifest sha256 {self.digest[:8]}…, city {self.manifest.city or 'unknown'}"

    @cached_property
    def views(self) -> dict[str, View | str]:
        """Per split that has an input bundle: its well-shaped finite windows, or the reason why there are none."""
        bundles = {split: self.bundles.get(f"{split}_inputs") for split in SPLITS}
        named = [split for split, bundle in bundles.items() if bundle and (bundle.unread or not bundle.missing)]
        return {split: build_view(self.manifest, split, self.bundles) for split in named}

    def view(self, split: str) -> View | None:
        """The windows of a split, None where there are none to look at."""
        found = self.views.get(split)
        return found if isinstance(found, View) else None

    def each(self, *splits: str) -> Iterator[View]:
        """The windows of these splits (all, if none is named), as far as they can be read."""
        for split in splits or SPLITS:
            view = self.view(split)
            if view is not None:
                yield view

    def trouble(self, split: str, *, targets: bool) -> str | None:
        """Why a split (or its targets) cannot be looked at; None where it can, or where no manifest promises it."""
        found = self.views.get(split)
        if found is None or (isinstance(found, View) and not targets):
            return None
        return found if isinstance(found, str) else found.no_targets

    @cached_property
    def georef(self) -> Georeference:
        """How stored coordinates decode."""
        coords = self.bundles["train_inputs"].arrays.get("coords")
        if coords is None or not is_numeric(coords) or misshapen(self.manifest, "train_inputs", {"coords": coords}):
            coords = None
        return georeference(self.manifest, coords, self.sources, self.groups["train"].lonlat)


def gather(handoff: Handoff, live: LiveConfig, city: str | None, store: Store, model: str | None = None) -> Evidence:
    """Read a handoff out of the store. Bad data never raise here: they become problems that checks report."""
    manifest = parse_manifest(store.get_bytes(handoff.ingested.manifest))
    values = {key: value for layer in live.layers for key, value in layer.values.items()}
    files = handoff.ingested.files
    flavour = model or values.get("MODEL_NAME") or values.get("MODEL") or manifest.model
    return Evidence(
        manifest=manifest,
        digest=handoff.ingested.manifest.digest,
        files=files,
        bundles=_bundles(manifest, handoff, store),
        live=values,
        city=city,
        model=flavour if isinstance(flavour, str) else None,
        sources={key: value for key in ("scalers", "stage1_scaling_audit") if (value := _json(handoff, key, store))},
        groups={split: _groups(manifest, handoff, split, store) for split in ("train", "val", "test")},
        open_panel=lambda key: store.get_bytes(handoff.ingested.ref(key)),
    )


def _bundles(manifest: Stage1Manifest, handoff: Handoff, store: Store) -> dict[str, Bundle]:
    named = {key.removesuffix("_npz") for key, path in manifest.artifacts.numpy.items() if path is not None}
    names = sorted((named & KNOWN_BUNDLES) | {*REQUIRED_BUNDLES})
    return {name: _bundle(name, handoff.bundles.get(name), store) for name in names}


def _bundle(name: str, ref: ArtifactRef | None, store: Store) -> Bundle:
    if ref is None:
        return Bundle(name, missing=True, problem=f"{name}.npz is missing")
    arrays, conversions = {}, {}
    try:
        for key, header, array in iterate_npz(store.get_bytes(ref), name=f"{name}.npz"):
            arrays[key] = array
            if not header.native or header.dtype != np.float32:
                order = " in Fortran order" if header.fortran_order and array.ndim > 1 else ""
                conversions[key] = f"{header.dtype.str}{order}"
    except HandshakeError as error:
        return Bundle(name, problem=str(error))
    return Bundle(name, arrays=arrays, conversions=conversions)


def _json(handoff: Handoff, key: str, store: Store) -> Any:
    """Content of a side file, or a mapping with its problem under `unreadable`; None where there is no such file."""
    ref = handoff.ingested.ref(key)
    if ref is None:
        return None
    try:
        return read_json(store.get_bytes(ref), name=ref.name)
    except HandshakeError as error:
        return {"unreadable": str(error)}


def _groups(manifest: Stage1Manifest, handoff: Handoff, split: str, store: Store) -> Groups:
    ref = handoff.ingested.ref(f"config.holdout.artifacts.{split}_groups_csv")
    if ref is None:
        return Groups(None)
    names = (manifest.config.cols.lon or "longitude", manifest.config.cols.lat or "latitude")
    try:
        rows = csv.DictReader(io.StringIO(store.get_bytes(ref).decode("utf-8-sig")))
        lonlat = np.array([[float(row[name]) for name in names] for row in rows], dtype=float).reshape(-1, 2)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        return Groups(None, f"{ref.name} cannot be read: {error!r}, columns {names} expected")
    if not np.isfinite(lonlat).all():
        return Groups(None, f"{ref.name} holds values that are not finite")
    return Groups(lonlat)
