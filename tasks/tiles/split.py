"""Which pairs train and which judge: whole scenes, so that neighbouring tiles are never on both sides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.contracts.errors import ConfigError

# What tells the tiles of one scene apart at the end of a name: scene7_0012, T32TQM_2020-06_r3c14, alps-x120-y240.
_WORD = r"(?:tile|row|col|[rcxyhvt])"
_NUMBER = rf"(?:(?:^|(?<=/)|[._-]){_WORD}?|(?<=\d){_WORD})[._-]?\d+"
_TILE_NUMBERS = re.compile(rf"(?:{_NUMBER})+$", re.IGNORECASE)

RULE_SIDECAR = "sidecar key 'scene'"
RULE_NAME = "file name without its last groups of digits"


def scene_of(tile_id: str, named: Any = None) -> tuple[str, str]:
    """Scene of a tile and the rule that says so: the sidecar's own name, else what its id shares with its neighbours.

    Tiles of one place at several dates share a scene under the second rule, since dates are digits too.
    """
    if isinstance(named, str | int) and not isinstance(named, bool) and str(named).strip():
        return str(named).strip(), RULE_SIDECAR
    return _TILE_NUMBERS.sub("", tile_id), RULE_NAME


@dataclass(frozen=True)
class Split:
    """Places of the pairs on each side, ascending, and the validation scenes."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    val_scenes: tuple[str, ...]


def split_by_scene(scenes: Sequence[str], val_fraction: float, seed: int) -> Split:
    """Draw whole scenes for validation: the share of all scenes, at least one, and never all.

    The draw follows from the set of scene names and the seed alone. Raises ConfigError where there is only one scene.
    """
    names = sorted(set(scenes))
    if len(names) < 2:
        raise ConfigError(
            "cannot be split into training and validation",
            where="the training pairs",
            expected="at least two scenes",
            found=f"{len(names)} ({RULE_SIDECAR}, else {RULE_NAME})",
            remedy="Name the scene of each tile in its sidecar ('scene'): one scene cannot judge itself.",
        )
    count = min(max(round(val_fraction * len(names)), 1), len(names) - 1)
    drawn = np.random.default_rng([seed, 1]).permutation(len(names))[:count]
    chosen = {names[place] for place in drawn}
    train = tuple(place for place, scene in enumerate(scenes) if scene not in chosen)
    val = tuple(place for place, scene in enumerate(scenes) if scene in chosen)
    return Split(train, val, tuple(sorted(chosen)))
