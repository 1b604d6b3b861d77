"""Keys under `stage2.model`: what must agree with the checkpoint, and what other programs write there."""

from collections.abc import Mapping
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import BANDS
from tasks.tiles.known_keys import check_keys, section, unknown
from tasks.tiles.variants import ModelConfig

# Keys of the section `prithvi` and of the model that have one usable value here.
_FIXED_PRITHVI = {"in_channels": len(BANDS), "num_classes": len(BANDS)}
_FREE_PRITHVI = ("checkpoint", "img_size")
_FIXED = {"use_8bit": False}
_FREE = ("name", "use_lora", "freeze_base")
_FREE_PREFIX = "lora_"


def model_section(values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the checkpoint must agree with, and the names of keys that mean nothing here.

    Raises ConfigError for unknown keys and for those that say another model than there is.
    """
    compared = tuple(ModelConfig.model_fields)
    known = (*compared, *_FIXED, *_FREE, "prithvi")
    for key in values:
        if key not in known and not str(key).startswith(_FREE_PREFIX):
            below = (f"prithvi.{name}" for name in (*_FIXED_PRITHVI, *_FREE_PRITHVI))
            raise unknown(key, (*known, "lora_r", "lora_alpha", *below), where)
    prithvi = section(values, "prithvi", where)
    check_keys(prithvi, (*_FIXED_PRITHVI, *_FREE_PRITHVI), f"{where}.prithvi")
    _check_fixed(values, _FIXED, where)
    _check_fixed(prithvi, _FIXED_PRITHVI, f"{where}.prithvi")
    unused = [key for key in values if key in _FREE or str(key).startswith(_FREE_PREFIX)]
    unused += [f"prithvi.{key}" for key in prithvi if key in _FREE_PRITHVI]
    return {key: values[key] for key in values if key in compared}, tuple(f"stage2.model.{key}" for key in unused)


def check_model(expected: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first expected value that the `config.json` of a checkpoint contradicts."""
    for key, value in expected.items():
        found = document.get(key)
        if not _agrees(value, found):
            remedy = "Correct the configuration, or name the checkpoint that it was written for."
            raise ConfigError(
                "is not what the checkpoint says",
                where=f"stage2.model.{key}",
                expected=_shown(found),
                found=_shown(value),
                remedy=remedy,
            )


def _check_fixed(values: Mapping[str, Any], fixed: Mapping[str, Any], where: str) -> None:
    for key, needed in fixed.items():
        if key in values and (values[key] != needed or type(values[key]) is not type(needed)):
            remedy = "No other value is possible with these models; correct or remove it."
            raise ConfigError(
                "has an impossible value",
                where=f"{where} '{key}'",
                expected=needed,
                found=_shown(values[key]),
                remedy=remedy,
            )


def _agrees(expected: Any, found: Any) -> bool:
    """Sections agree in the keys that are named; lists in every item."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(_agrees(value, found.get(key)) for key, value in expected.items())
    if isinstance(expected, list | tuple):
        same_kind = isinstance(found, list | tuple) and len(expected) == len(found)
        return same_kind and all(map(_agrees, expected, found))
    return expected == found and isinstance(expected, bool) == isinstance(found, bool)


def _shown(value: Any) -> str:
    return repr(value)[:120]
