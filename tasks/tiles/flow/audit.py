"""The handshake of a run over tiles: what is known before any tile is refined."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileError
from tasks.contracts.tiles import TileInput, TileMeta, TilesConfig
from tasks.store.workspace import Workspace
from tasks.tiles.config import check_window
from tasks.tiles.flow.shards import INPUTS, get
from tasks.tiles.flow.types import Listed, ModelRefs, TileCheck, TilesAudit
from tasks.tiles.metadata import read_sidecar

SHOWN = 5
SYNTHETIC = "physics_derived"


def audit_tiles(
    inputs: ArtifactRef,
    listed: Listed,
    model: ModelRefs,
    config: TilesConfig,
    here: Workspace,
    scenes: Sequence[TileInput] = (),
) -> TilesAudit:
    """Checks with their findings. Raises ConfigError where settings and checkpoint do not go together."""
    check_window(config, model.patch)
    metas, bad = _sidecars((*get(INPUTS, inputs, here.store), *scenes), here)
    checks = (
        _headers(listed, len(scenes)),
        _unreadable(bad),
        _missing("month", metas, config),
        _missing("biome_code", metas, config),
        _units(config),
        _strength(model),
    )
    document = [check.model_dump(mode="json") for check in checks]
    return TilesAudit(checks=checks, report=here.store.put_json(document, name="handshake_audit.json"))


def _sidecars(inputs: Iterable[TileInput], here: Workspace) -> tuple[list[tuple[str, TileMeta]], dict[str, str]]:
    metas: list[tuple[str, TileMeta]] = []
    bad: dict[str, str] = {}
    for given in inputs:
        try:
            data = None if given.sidecar is None else here.store.get_bytes(given.sidecar)
            metas.append((given.id, read_sidecar(data, given.id)))
        except TileError as error:
            bad[given.id] = type(error).__name__
    return metas, bad


def _headers(listed: Listed, scenes: int) -> TileCheck:
    if scenes and not listed.count:
        message = f"no tiles; {scenes} scene{'s are' if scenes > 1 else ' is'} looked at when it is refined"
        return TileCheck(id="H-01", status="skipped", message=message)
    if not listed.failed:
        return _passed("H-01", f"all {listed.count} files are tiles by their headers")
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(each.error for each in listed.failed).items())
    return TileCheck(
        id="H-01",
        status="warn",
        message=f"{len(listed.failed)} of {listed.count} files are no tiles and will fail: {kinds}",
        where=_names(each.id for each in listed.failed),
        found=kinds,
        expected="'opt_v1' (4, H, W), or the four s2_* bands",
        remedy="Their messages are in errors.jsonl.",
    )


def _unreadable(bad: dict[str, str]) -> TileCheck:
    if not bad:
        return _passed("S-01", "all sidecars that are there can be read")
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(bad.values()).items())
    return TileCheck(
        id="S-01",
        status="warn",
        message=f"{len(bad)} sidecars cannot be used and their tiles will fail: {kinds}",
        where=_names(bad),
        found=kinds,
        expected="a JSON object; month 1 to 12 or a name, biome_code 0 to 15",
        remedy="Correct them; a sidecar that is absent is no error.",
    )


def _missing(name: str, metas: Sequence[tuple[str, TileMeta]], config: TilesConfig) -> TileCheck:
    number = {"month": "S-02", "biome_code": "S-03"}[name]
    lacking = [tile for tile, meta in metas if name in meta.defaults_used]
    if not lacking:
        return _passed(number, f"every sidecar gives {name}")
    seen = {"month": "June", "biome_code": "biome 0"}[name]
    seen = seen if config.missing_metadata == "published" else "the unknown class"
    return TileCheck(
        id=number,
        status="warn",
        message=f"{len(lacking)} of {len(metas)} tiles do not give {name}: the model sees {seen}",
        where=_names(lacking),
        found=f"{len(lacking)} without {name}",
        expected=f"{name} in the sidecar",
        remedy="Add it, or choose --missing_metadata unknown.",
    )


def _units(config: TilesConfig) -> TileCheck:
    if config.scale is None:
        return _passed("U-01", "values are taken as reflectance; each tile's range is checked when it is read")
    return _passed("U-01", f"reflectance = (DN + {config.offset:g}) / {config.scale:g}")


def _strength(model: ModelRefs) -> TileCheck:
    if model.oracle_strength and model.oracle_strength != SYNTHETIC:
        return _passed("M-01", f"the model was trained against {model.oracle_strength}")
    message = "the checkpoint does not say what its model was trained against"
    if model.oracle_strength:
        message = "the model was trained on degradations that were made, not observed"
    return TileCheck(
        id="M-01",
        status="warn",
        message=message,
        where="checkpoint",
        found=model.oracle_strength or "nothing",
        expected="training against optical references",
        remedy="Judge the output against references with --reference_dir.",
    )


def _passed(number: str, message: str) -> TileCheck:
    return TileCheck(id=number, status="pass", message=message)


def _names(ids: Iterable[str]) -> str:
    ids = list(ids)
    return ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
