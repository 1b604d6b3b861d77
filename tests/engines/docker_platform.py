"""`stagegate serve` with containers, for all tests that need one; images are those that `make images` built."""

import pytest

from tasks.contracts.errors import DependencyError
from tasks.orchestration.serving.engine import engine
from tasks.orchestration.serving.images import image_name, is_current
from tests.engines.served import Serve

ADDRESSES = ("--engine=docker", "--network=stagegate-test", "--subnet=172.31.79.0/24")
USED = ("core", "tf")


@pytest.fixture(scope="session")
def docker_platform(tmp_path_factory):
    """A served platform whose steps run in containers; skipped where there is no engine or no current image."""
    try:
        engine()
    except DependencyError as error:
        pytest.skip(str(error))
    for kind in USED:
        if not is_current(image_name(kind)):
            pytest.skip(f"{image_name(kind)} is not built from this tree: make images")
    folder = tmp_path_factory.mktemp("docker")
    for each in (folder, folder.parent, folder.parent.parent):
        each.chmod(each.stat().st_mode | 0o011)  # the database has a user of its own
    serve = Serve(folder, engine=ADDRESSES)
    try:
        yield serve.start()
    finally:
        serve.stop()
