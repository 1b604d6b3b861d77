"""One build of one or more images: contexts, layers, and the labels that only a finished image can give."""

import io
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.orchestration.runtimes import LABEL as RUNTIME_LABEL
from tasks.orchestration.serving.engine import EngineError, engine, run_once
from tasks.orchestration.serving.names import CODE_LABEL, GROUND, ImageKind, image_name
from tasks.orchestration.serving.sources import project_root, revision_labels, wheel_code
from tasks.orchestration.serving.wheelhouse import absent_from, build_context, project_wheel, wheelhouse

LINE_WIDTH = 110
PRINT_RUNTIME = ["python", "-m", "tasks.orchestration.runtimes"]


@dataclass(frozen=True)
class Workshop:
    """What all images of one build share; `project` is the wheel of this revision."""

    accelerator: str
    base_image: str
    cache: Path
    project: Path

    def build(self, kind: ImageKind) -> str:
        """Build one image and return its name; the name moves to it only when it is complete."""
        started, name = time.monotonic(), image_name(kind, self.accelerator)
        arguments = {"BASE_IMAGE": self.base_image} if kind is ImageKind.CORE else {"GROUND_IMAGE": self._ground}
        with self._context(kind) as context:
            unlabelled = self._built(context, name, arguments)
        self._label(unlabelled, name)
        size_mb = engine().images.get(name).attrs["Size"] / 1e6
        print(f"{name}: {size_mb:.0f} MB in {time.monotonic() - started:.0f} s", flush=True)
        return name

    @cached_property
    def _ground(self) -> str:
        name = image_name(GROUND, self.accelerator)
        with self._context(ImageKind.CORE) as context:
            self._built(context, name, {"BASE_IMAGE": self.base_image}, tag=name, target=GROUND)
        return name

    @cached_property
    def _core_wheels(self) -> Path:
        return wheelhouse("core", self.accelerator, self.cache)

    def _context(self, kind: ImageKind) -> AbstractContextManager[Path]:
        wheels = sorted(self._core_wheels.iterdir())
        if kind is not ImageKind.CORE:
            wheels = absent_from(self._core_wheels, wheelhouse(kind, self.accelerator, self.cache))
        dockerfile = project_root() / "containers" / kind / "Dockerfile"
        return build_context(self.cache, dockerfile, wheels, self.project)

    def _built(self, context: Path, name: str, arguments: dict[str, str], **options: str) -> str:
        lines = engine().api.build(
            path=str(context),
            buildargs={**arguments, "ACCELERATOR": self.accelerator},
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
            **options,
        )
        return _followed(lines, name)

    def _label(self, unlabelled: str, name: str) -> None:
        """A second, empty build: labels are not a layer."""
        labels = {
            **revision_labels(),
            CODE_LABEL: wheel_code(self.project),
            RUNTIME_LABEL: run_once(unlabelled, PRINT_RUNTIME).strip(),
            "org.opencontainers.image.base.name": self.base_image,
        }
        text = io.BytesIO(f"FROM {unlabelled}\n".encode())
        _followed(engine().api.build(fileobj=text, labels=labels, tag=name, rm=True, decode=True), name, quiet=True)


def build_images(kinds: list[ImageKind], accelerator: str, base_image: str, cache: Path) -> list[str]:
    """Build images and return their names. Libraries come from a wheelhouse, nothing is fetched while building."""
    project_root()
    _check_base(base_image)
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Workshop(accelerator, base_image, cache, project_wheel(Path(scratch)))
        return [workshop.build(kind) for kind in kinds]


def _check_base(base_image: str) -> None:
    """A tag is made by containers/base.sh; what is named by digest may be pulled by the build itself."""
    from docker.errors import DockerException, ImageNotFound

    try:
        engine().images.get(base_image)
    except ImageNotFound as error:
        if "@sha256:" not in base_image:
            remedy = "Run containers/base.sh as root, or name an official slim image by digest: --base-image."
            raise EngineError("is not in the engine", where=f"base image {base_image}", remedy=remedy) from error
    except DockerException as error:
        raise EngineError("cannot be read", where=f"base image {base_image}", found=error) from error


def _followed(lines: Iterator[dict], name: str, quiet: bool = False) -> str:
    """Print the steps of a build and return the id of the image."""
    from docker.errors import DockerException

    built = ""
    try:
        for line in lines:
            if "error" in line:
                raise EngineError("build failed", where=name, found=line["error"].strip())
            built = line.get("aux", {}).get("ID", built)
            text = " ".join(line.get("stream", "").split())
            if not quiet and text.startswith("Step "):
                print(f"{name}: {text[:LINE_WIDTH]}", flush=True)
    except DockerException as error:
        raise EngineError("build failed", where=name, found=error) from error
    return built
