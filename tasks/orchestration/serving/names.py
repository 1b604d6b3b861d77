"""What images are called, and what their labels are called."""

from enum import StrEnum

CODE_LABEL = "io.stagegate.code"  # digest of the files of both packages
LOCAL_BASE = "stagegate/base:bookworm"  # what containers/base.sh leaves in the engine
GROUND = "ground"  # stage of the core Dockerfile that the framework images stand on


class ImageKind(StrEnum):
    """The images there are."""

    CORE = "core"
    TF = "tf"
    TORCH = "torch"


class Accelerator(StrEnum):
    """What an image computes on."""

    CPU = "cpu"
    CUDA = "cuda"


def image_name(name: str, accelerator: str = "cpu") -> str:
    """Repository and tag, such as `stagegate/tf:cpu`."""
    return f"stagegate/{name}:{accelerator}"
