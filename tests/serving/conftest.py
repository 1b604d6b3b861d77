"""One served platform for all tests of this folder that need one."""

import pytest

from tasks.contracts.errors import StagegateError
from tasks.orchestration.serving.postgres import find_programs
from tests.engines.docker_platform import open_folder
from tests.engines.served import Serve


@pytest.fixture(scope="session")
def postgres_programs(tmp_path_factory):
    """Where PostgreSQL is; skipped where it is not installed."""
    nowhere = tmp_path_factory.mktemp("no-data")
    try:
        return find_programs(nowhere / "PG_VERSION", nowhere)
    except StagegateError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def served(postgres_programs):
    """`stagegate serve --engine process`, on a PostgreSQL of its own."""
    serve = Serve(open_folder("served"))
    try:
        yield serve.start()
    finally:
        serve.stop()
