"""Docker for these tests: one connection, the images that `make images` built, and one probe of each."""

import json
from functools import cache
from pathlib import Path

import pytest

from tasks.contracts.errors import DependencyError
from tasks.orchestration.catalogue import steps
from tasks.orchestration.serving.engine import engine, run_once
from tasks.orchestration.serving.images import image_name, is_built, is_current

POOLS = {"core": "cpu", "tf": "cuda-tf", "torch": "cuda-torch"}  # whose steps an image serves
PROBE = (Path(__file__).parent / "probe.py").read_text()


@pytest.fixture(scope="session")
def docker_engine():
    """The engine, or one line that says why there is none."""
    try:
        return engine()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def built(docker_engine):
    """A function from `core`, `tf` or `torch` to the name of its image."""

    def name_of(kind: str) -> str:
        image = image_name(kind)
        if not is_built(image):
            pytest.skip(f"{image} is not built: make images")
        return image

    return name_of


@pytest.fixture(scope="session")
def built_from_this_tree(built):
    """The same, for images that hold the code of this very tree."""

    def name_of(kind: str) -> str:
        image = built(kind)
        if not is_current(image):
            pytest.skip(f"{image} holds other code than this tree: make images")
        return image

    return name_of


@pytest.fixture(scope="session")
def served():
    """A function from `core`, `tf` or `torch` to the steps that run in it, by name."""
    return lambda kind: {name: step for name, step in steps().items() if step.pool == POOLS[kind]}


@pytest.fixture(scope="session")
def probed(built):
    """A function from `core`, `tf` or `torch` to what a hardened container of it finds about itself."""

    @cache
    def facts(kind: str) -> dict:
        return json.loads(run_once(built(kind), ["python", "-c", PROBE], environment={"POOL": POOLS[kind]}))

    return facts
