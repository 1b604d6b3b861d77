"""Mixed precision of training: products in half width, what touches reflectance in fp32, as in inference."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tasks.tiles.model import Batch, Refiner

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def kept_in_fp32(*modules: nn.Module) -> Iterator[None]:
    """Run these modules outside of autocast while this lasts."""
    for module in modules:
        module.forward = _outside_autocast(module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward  # the method of the class shows again


def forward(model: Refiner, batch: Batch, precision: str) -> Tensor:
    """The unclamped refined tiles (B, 4, H, W) in fp32."""
    if precision == "fp32":
        return model(batch)
    device = batch.tiles.device.type
    with kept_in_fp32(model.cond, model.head.detail), torch.autocast(device, dtype=HALF[precision]):
        return model(batch)


def _outside_autocast(inner):
    def run(*inputs: Tensor) -> Tensor:
        device = inputs[0].device.type
        with torch.autocast(device, enabled=False):
            return inner(*(value.float() if value.is_floating_point() else value for value in inputs))

    return run
