"""Training pairs from folders: tiles with their targets, or clean tiles that are degraded here."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.contracts.tile_errors import InputDirError, TileError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.degrade import STANDARD, degrade
from tasks.tiles.pair import Pair, PairInfo, Pairs
from tasks.tiles.pair_files import PairBytes, PairFiles, joined, read_files, read_input, read_target, with_values
from tasks.tiles.references import OracleStrength, strength_of
from tasks.tiles.split import scene_of

SYNTHETIC = 4  # stream of random numbers under the seed of the training


@dataclass(frozen=True)
class Reading:
    """How files become pairs; with a seed the targets are the tiles themselves and the tiles their degradation."""

    config: TilesConfig
    num_frames: int = 1
    synthetic_seed: int | None = None

    def pair(self, content: PairBytes) -> tuple[Pair, TileMeta]:
        """The pair in these bytes, and its sidecar. Raises TileError."""
        tile, meta = read_input(content, self.config, self.num_frames)
        if self.synthetic_seed is None:
            target = read_target(content.target, content.id, meta, self.config)
            return joined(tile, target, meta, self.config), meta
        rng = _generator(self.synthetic_seed, content.id)
        degraded = np.stack([degrade(frame, rng) for frame in tile.values])
        return joined(with_values(tile, degraded), tile, meta, self.config), meta


def folder_pairs(
    input_dir: Path, target_dir: Path | None, config: TilesConfig, *, seed: int, num_frames: int = 1
) -> Pairs:
    """Pairs of a folder of tiles and one of targets of the same names, or synthetic ones of the tiles alone.

    Raises InputDirError where no tile has a target.
    """
    tiles = sorted(input_dir.glob("*.npz"), key=lambda path: path.name.encode())
    files = [_files(path, target_dir) for path in tiles]
    strength = "physics_derived" if target_dir is None else strength_of(target_dir)[0]
    return open_pairs(files, config, synthetic=target_dir is None, oracle_strength=strength, seed=seed,
                      num_frames=num_frames)  # fmt: skip


def open_pairs(
    files: Sequence[PairFiles],
    config: TilesConfig,
    *,
    synthetic: bool,
    oracle_strength: OracleStrength,
    seed: int,
    num_frames: int = 1,
) -> Pairs:
    """Read every pair once, to know its size, scene and digests; those that cannot be used are recorded as left out.

    `seed` decides the degradation of synthetic pairs. Raises InputDirError where no pair is left.
    """
    how = Reading(config, num_frames, seed if synthetic else None)
    used, infos, rules, left_out = [], [], Counter(), []
    for entry in files:
        try:
            info, rule = _surveyed(entry, how)
        except TileError as error:
            missing = entry.target is not None and not entry.target.is_file()
            left_out.append({"id": entry.id, "error": "no target" if missing else type(error).__name__})
            continue
        used.append(entry)
        infos.append(info)
        rules[rule] += 1
    if not infos:
        raise _nothing(files, left_out)
    record = {"scene_rules": dict(rules), "left_out": left_out}
    if synthetic:
        record["degradation"] = {**STANDARD.model_dump(), "seed": seed}

    def load(place: int) -> Pair:
        return how.pair(read_files(used[place], expected=infos[place].digests))[0]

    return Pairs(tuple(infos), load, "synthetic" if synthetic else "target_dir", oracle_strength, record)


def _surveyed(files: PairFiles, how: Reading) -> tuple[PairInfo, str]:
    content = read_files(files)
    pair, meta = how.pair(content)
    scene, rule = scene_of(files.id, meta.extra.get("scene"))
    return PairInfo(files.id, scene, *pair.valid.shape, content.digests), rule


def _files(tile: Path, target_dir: Path | None) -> PairFiles:
    sidecar = tile.with_suffix(".json")
    target = None if target_dir is None else target_dir / tile.name
    return PairFiles(tile.stem, tile, sidecar if sidecar.is_file() else None, target)


def _nothing(files: Sequence[PairFiles], left_out: list[dict[str, str]]) -> ConfigError:
    reasons = Counter(entry["error"] for entry in left_out)
    found = ", ".join(f"{count} with {name}" for name, count in reasons.items()) or f"{len(files)} tiles"
    remedy = "A target has the file name of its tile and the key target, opt_ref, or s2_b2, s2_b3, s2_b4, s2_b8."
    return InputDirError("hold no usable training pair", where="the folders", found=found, remedy=remedy)


def _generator(seed: int, tile_id: str) -> np.random.Generator:
    """Random numbers of one tile: they do not depend on which other tiles there are."""
    return np.random.default_rng([seed, SYNTHETIC, int.from_bytes(hashlib.sha256(tile_id.encode()).digest()[:8])])
