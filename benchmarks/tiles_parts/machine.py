"""Which machine the figures are of."""

import os
import platform
from pathlib import Path

from tasks.tiles.memory import free_bytes, usable_cpus
from tasks.tiles.precision import cpu_flags

_TELLING = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "sha_ni")


def tell_machine() -> None:
    """Processor, its flags, memory, load average, versions, devices."""
    import numpy as np
    import torch

    flags = cpu_flags()
    print(f"machine: {_model()}, {usable_cpus()} usable CPUs, {free_bytes() / 2**30:.1f} GiB free")
    print(f"CPU flags: {', '.join(name if name in flags else f'no {name}' for name in _TELLING)}")
    print(f"load average: {' '.join(f'{value:.2f}' for value in os.getloadavg())}")
    print(f"torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}")
    if torch.cuda.is_available():
        print(f"GPU: {torch.cuda.get_device_name(0)}")
    else:
        print("GPU: none; what B3 and B4 say of a GPU was not run")


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name} ({platform.machine()})"
