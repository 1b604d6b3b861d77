"""Settings of a refinement: command line over configuration file over defaults, every key known or refused.

The file is YAML with `stage2.model`, checked against the checkpoint, and `stage2.inference`. Files that serve other
stages too are usable as they are: their other sections are passed over.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import Precision, Side, TilesConfig
from tasks.store.jsons import canonical_json
from tasks.tiles.config_file import read_yaml
from tasks.tiles.known_keys import check_keys, section
from tasks.tiles.model_keys import model_section

DEFAULT_CONFIG = "configs/hardware.lowvr.yaml"
DEFAULT_BATCH_SIZE = 4
LARGE_BATCH = 16
# Sections of files that serve several programs, and those of this stage's training.
_ELSEWHERE = (
    "data", "training", "memory", "stage1", "stage3", "inference", "logging", "hardware", "augmentation",
    "config_version", "created", "last_updated", "compatible_with",
)  # fmt: skip
_STAGE2 = ("model", "inference", "loss")
_REDUCED = ("bf16", "fp16")


class Inference(Frozen):
    """What `stage2.inference` may set; the command line wins."""

    batch_size: Side | None = None
    precision: Precision | None = None
    window: int | None = None
    overlap: int | None = None
    workers: Side | None = None


class Options(Inference):
    """What the command line may set on top."""

    no_amp: bool | None = None
    missing_metadata: Any = None
    range_policy: Any = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Resolved:
    """The settings of a run."""

    tiles: TilesConfig
    batch_size: int
    workers: int | None  # None: as many as the machine allows
    expected_model: dict[str, Any]  # what the checkpoint must agree with, see `model_keys.check_model`
    source: str  # the file, or the packaged preset
    ignored: tuple[str, ...]  # keys that are accepted and mean nothing here
    warnings: tuple[str, ...]


def load_config(path: str | Path | None, given: bool, cli: Mapping[str, Any]) -> Resolved:
    """Settings of a file and of those options that a person gave; options that are None were not given.

    A file that was not `given` and is absent is replaced by the packaged preset of its name. Raises ConfigError.
    """
    document, source = read_yaml(Path(path or DEFAULT_CONFIG), given)
    stage2, ignored = _stage2(document, source)
    model, unused = model_section(section(stage2, "model", source), f"{source} stage2.model")
    where = f"{source} stage2.inference"
    listed = section(stage2, "inference", source)
    check_keys(listed, Inference.model_fields, where)
    settings = _validated(Inference, listed, where).model_dump(exclude_none=True)
    options = {key: value for key, value in cli.items() if value is not None}
    check_keys(options, Options.model_fields, "command line")
    _validated(Options, options, "command line")
    chosen = settings | _amp(options)
    batch_size = chosen.pop("batch_size", DEFAULT_BATCH_SIZE)
    workers = chosen.pop("workers", None)
    tiles = _validated(TilesConfig, chosen, "settings")
    _check_together(tiles)
    warnings = (f"batch size {batch_size}: above {LARGE_BATCH} brings nothing and costs memory",)
    return Resolved(
        tiles, batch_size, workers, model, source, (*ignored, *unused), warnings if batch_size > LARGE_BATCH else ()
    )


def config_id(config: TilesConfig) -> str:
    """sha256 of the canonical JSON of all that changes values, beside checkpoint and input."""
    return hashlib.sha256(canonical_json(config.model_dump())).hexdigest()


def check_window(config: TilesConfig, patch: int) -> None:
    """Raise ConfigError where the window is no multiple of the patch of the checkpoint."""
    if config.window % patch:
        near = max(patch, round(config.window / patch) * patch)
        expected = f"a multiple of the patch size {patch}"
        raise ConfigError("does not fit", where="window", expected=expected, found=config.window, remedy=f"Use {near}.")


def _stage2(document: dict[str, Any], source: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    check_keys(document, ("stage2", *_ELSEWHERE), source)
    stage2 = section(document, "stage2", source)
    check_keys(stage2, _STAGE2, f"{source} stage2")
    ignored = [key for key in document if key != "stage2"]
    return stage2, (*ignored, *(f"stage2.{key}" for key in stage2 if key == "loss"))


def _amp(options: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in options.items() if key != "no_amp"}
    if not options.get("no_amp"):
        return rest
    if rest.get("precision") in _REDUCED:
        remedy = "Leave out one of the two."
        found = f"--precision {rest['precision']}"
        raise ConfigError("contradicts --precision", where="--no_amp", expected="fp32", found=found, remedy=remedy)
    return rest | {"precision": "fp32"}


def _validated(model: type[Frozen], values: Mapping[str, Any], where: str) -> Any:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        found = f"{first['input']!r} ({type(first['input']).__name__})"
        raise ConfigError(
            "has no usable value", where=f"{where} '{key}'", expected=first["msg"], found=found
        ) from error


def _check_together(config: TilesConfig) -> None:
    if config.overlap >= config.window:
        found = f"overlap {config.overlap}, window {config.window}"
        raise ConfigError("is too large", where="overlap", expected="less than the window", found=found)
    for name in ("scale", "offset"):
        if not math.isfinite(getattr(config, name) or 0):
            raise ConfigError("is not finite", where=name, expected="a number", found=getattr(config, name))
    if config.offset and config.scale is None:
        remedy = "reflectance = (DN + offset) / scale: say the scale too."
        raise ConfigError("means nothing without a scale", where="offset", found=config.offset, remedy=remedy)
