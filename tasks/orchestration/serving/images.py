"""The container images: `python -m tasks.orchestration.serving.images [core|tf|torch ...]` builds them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tasks.contracts.errors import StagegateError
from tasks.orchestration.runtimes import LABEL as RUNTIME_LABEL
from tasks.orchestration.runtimes import Runtime
from tasks.orchestration.serving.engine import EngineError, engine
from tasks.orchestration.serving.names import CODE_LABEL, LOCAL_BASE, Accelerator, ImageKind, image_name
from tasks.orchestration.serving.sources import tree_code

__all__ = ["image_name", "is_built", "is_current", "labels_of", "runtime_of"]

BUILD = "Build it: make images."


def is_built(image: str) -> bool:
    """Whether the engine holds an image of this name. Raises EngineError where the engine does not answer."""
    return _found(image) is not None


def is_current(image: str) -> bool:
    """Whether an image holds the code that this process runs."""
    found = _found(image)
    return found is not None and found.get(CODE_LABEL) == tree_code()


def runtime_of(image: str) -> Runtime:
    """What the steps of an image run on. Raises EngineError for an image that is absent or not one of ours."""
    labels = labels_of(image)
    if RUNTIME_LABEL not in labels:
        raise EngineError(f"has no label {RUNTIME_LABEL}", where=f"image {image}", remedy=BUILD)
    return Runtime.model_validate_json(labels[RUNTIME_LABEL])


def labels_of(image: str) -> dict[str, str]:
    """All labels of an image. Raises EngineError for an image that is absent."""
    found = _found(image)
    if found is None:
        raise EngineError("is not in the Docker engine", where=f"image {image}", remedy=BUILD)
    return found


def _found(image: str) -> dict[str, str] | None:
    client = engine()  # first: it says what to do where the client is not installed
    from docker.errors import DockerException, ImageNotFound

    try:
        return client.images.get(image).labels
    except ImageNotFound:
        return None
    except DockerException as error:
        raise EngineError("could not be looked up", where=f"image {image}", found=error) from error


def main(
    images: Annotated[list[ImageKind] | None, typer.Argument(help="Which; all where none is named.")] = None,
    accelerator: Annotated[Accelerator, typer.Option(help="What they compute on.")] = Accelerator.CPU,
    base_image: Annotated[str, typer.Option(envvar="BASE_IMAGE", help="Debian with Python 3.11.")] = LOCAL_BASE,
    wheels: Annotated[Path | None, typer.Option(envvar="STAGEGATE_WHEELHOUSE", help="Where wheels are kept.")] = None,
) -> None:
    """Build container images with nothing fetched while building."""
    from tasks.orchestration.serving.build import build_images
    from tasks.orchestration.serving.wheelhouse import default_folder

    try:
        build_images(images or list(ImageKind), accelerator, base_image or LOCAL_BASE, wheels or default_folder())
    except StagegateError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
