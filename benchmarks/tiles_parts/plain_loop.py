"""The rival of B3: tiles one batch after the other in one process, as a short script would do it, with our model."""

import json
from pathlib import Path

import numpy as np
import torch

from tasks.tiles.checkpoint import build, load_checkpoint
from tasks.tiles.model import Batch, Refiner

BATCH = 4


def model_of(checkpoint: Path, device: str) -> Refiner:
    """Equal weights, in fp32."""
    return build(load_checkpoint(checkpoint)).to(device)


def refine_plainly(model: Refiner, inputs: Path, output: Path, device: str) -> None:
    """Default settings of torch, fp32; load, infer, save packed, write JSON."""
    files = sorted(inputs.glob("*.npz"))
    for first in range(0, len(files), BATCH):
        group = files[first : first + BATCH]
        sidecars = [json.loads(path.with_suffix(".json").read_text()) for path in group]
        with torch.no_grad():
            refined = model.refine(_batch(group, sidecars).to(device)).cpu().numpy()
        for path, sidecar, values in zip(group, sidecars, refined, strict=True):
            np.savez_compressed(output / path.name, opt_v2=values)
            sidecar["stage"] = "stage2_refined"
            (output / path.with_suffix(".json").name).write_text(json.dumps(sidecar, indent=2))


def _batch(group: list[Path], sidecars: list[dict]) -> Batch:
    tiles = torch.from_numpy(np.stack([np.load(path)["opt_v1"] for path in group]).astype(np.float32))[:, None]
    codes = (torch.tensor([each[name] for each in sidecars]) for name in ("month", "biome_code"))
    places = (torch.tensor([float(each[name]) for each in sidecars]) for name in ("lat", "lon"))
    unknown = torch.full((len(group),), float("nan"))
    valid = torch.ones(len(group), *tiles.shape[-2:], dtype=torch.bool)
    return Batch(tiles, valid, *codes, unknown, unknown, *places)
