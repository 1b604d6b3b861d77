"""Whether a checkpoint came from the training that is asked for now; only then may that training replace it."""

from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME, read_document

NOT_OF_THE_RESULT = ("device", "precision")


def existing(folder: Path) -> dict[str, Any] | None:
    """The document of the checkpoint in a folder; None where there is none. Raises CheckpointError."""
    whole = all((folder / name).is_file() for name in (WEIGHTS_NAME, CONFIG_NAME))
    return read_document(folder / CONFIG_NAME) if whole else None


def is_promoted(document: dict[str, Any]) -> bool:
    """Whether the checkpoint beat the identity on scenes that it had not seen."""
    return (document.get("training") or {}).get("promoted") is True


def check_same(there: dict[str, Any], asked: dict[str, Any], where: str) -> None:
    """Compare a document with what is known of the one that would replace it.

    Raises ConfigError that says which settings, variant, pairs or origin differ.
    """
    old, new = _facts(there), _facts(asked)
    differ = [name for name in new if name not in old or old[name] != new[name]]
    if differ:
        raise ConfigError(
            "holds a checkpoint of another training, which would be lost",
            where=where,
            expected=", ".join(f"{name} {old.get(name, 'not recorded')}" for name in differ),
            found=", ".join(f"{name} {new[name]}" for name in differ),
            remedy="Ask for the same training, or choose another --output_dir.",
        )


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    training = document.get("training") or {}
    facts = {name: value for name, value in training.get("settings", {}).items() if name not in NOT_OF_THE_RESULT}
    facts |= {name: document[name] for name in ("variant", "origin") if name in document}
    return facts | ({"pairs": training["data"]["id"]} if "data" in training else {})
