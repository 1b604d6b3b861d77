"""`stagegate serve` with containers, for all tests that need one; images are those that `make images` built."""

import atexit
import shutil
import tempfile
from pathlib import Path

import pytest

from tasks.contracts.errors import DependencyError
from tasks.orchestration.serving.engine import engine
from tasks.orchestration.serving.images import image_name, is_current
from tests.engines.served import Serve

NETWORK, SUBNET = "stagegate-test", "172.31.79.0/24"
ADDRESSES = ("--engine=docker", f"--network={NETWORK}", f"--subnet={SUBNET}")
USED = ("core", "tf")


def need_images(*more: str) -> None:
    """Skip where there is no engine or no current image; `more`: kinds beside those that every test needs."""
    try:
        engine()
    except DependencyError as error:
        pytest.skip(str(error))
    for kind in (*USED, *more):
        if not is_current(image_name(kind)):
            pytest.skip(f"{image_name(kind)} is not built from this tree: make images")


@pytest.fixture(scope="session")
def docker_platform():
    """A served platform whose steps run in containers; skipped where it cannot be."""
    need_images()
    serve = Serve(open_folder("docker"), engine=ADDRESSES)
    try:
        yield serve.start()
    finally:
        serve.stop()


def open_folder(name: str) -> Path:
    """A new folder that the database and the containers, users of their own, can get to; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix=f"stagegate-{name}-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
