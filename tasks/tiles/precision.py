"""Which arithmetic runs where, and the global settings that go with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import Precision

if TYPE_CHECKING:
    from tasks.tiles.model import Refiner

Ran = Literal["fp32", "bf16", "fp16"]

_LOG = logging.getLogger(__name__)
_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
# What stays fp32 in every precision: conditioning, and the layers that make the correction at full size.
_ALWAYS_FP32 = ("cond.", "head.detail.", "backbone.temporal_embed_enc.", "backbone.location_embed_enc.")


def cpu_flags() -> frozenset[str]:
    """What the processor says it can do; empty where the system does not tell."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def cuda_capability(device: str) -> tuple[int, int]:
    """Compute capability of a CUDA device."""
    import torch

    return torch.cuda.get_device_capability(device)


def resolve(requested: Precision, device: str, no_amp: bool = False) -> Ran:
    """The precision that runs on a device, `cpu` or `cuda:N`. Raises ConfigError where the wishes contradict."""
    if no_amp and requested in ("bf16", "fp16"):
        remedy = "Leave one of the two out."
        raise ConfigError("--no_amp and --precision contradict each other", found=requested, remedy=remedy)
    if no_amp:
        return "fp32"
    return _automatic(device) if requested == "auto" else requested


def _automatic(device: str) -> Ran:
    if device.startswith("cuda"):
        return "bf16" if cuda_capability(device) >= (8, 0) else "fp16"
    return "bf16" if _BF16_FLAGS & cpu_flags() else "fp32"


def prepared(model: "Refiner", precision: Ran) -> "Refiner":
    """The model for a precision: itself for fp32, else a copy with backbone and head cast once.

    The copy shares what stays fp32, so that the model itself remains for a repeat in fp32.
    """
    import torch

    from tasks.tiles.model import Refiner

    if precision == "fp32":
        return model
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with torch.device("meta"):
        copy = Refiner(model.config)
    state = model.state_dict()
    cast = {name: value if name.startswith(_ALWAYS_FP32) else value.to(dtype) for name, value in state.items()}
    copy.load_state_dict(cast, strict=True, assign=True)
    copy.to(next(iter(state.values())).device)
    return copy.train(model.training)


@contextmanager
def global_settings(device: str, *, threads: int | None = None) -> Iterator[str]:
    """torch's global settings for a device, put back on the way out; gives the matrix precision chosen.

    fp32 on a CPU runs at "medium", which is faster and as exact there; not with AMX, which would round to bf16.
    """
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.get_num_threads()
    matmul = "medium" if device == "cpu" and not any(flag.startswith("amx") for flag in cpu_flags()) else "highest"
    try:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = False
        torch.set_num_threads(threads or before[2])
        _LOG.info("device %s, fp32 matrix precision %s, %d threads", device, matmul, torch.get_num_threads())
        yield matmul
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        torch.set_num_threads(before[2])
