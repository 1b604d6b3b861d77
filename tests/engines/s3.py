"""Fixtures over one real S3 server for the whole run: `s3` is the server, `bucket` an empty one for each module."""

import itertools
from pathlib import Path

import fsspec
import pytest

from tests.engines.ceph import Ceph, missing_programs

_numbers = itertools.count()


def forget_clients() -> None:
    """Clients keep the credentials they were made with; the next ones read the environment again."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A running Ceph with an S3 gateway; skipped where it is not installed."""
    if missing := missing_programs():
        pytest.skip(f"needs Ceph, not installed: {', '.join(missing)}")
    server = Ceph(Path(tmp_path_factory.mktemp("ceph")) / "run")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def bucket(s3):
    """The name of a new bucket, in an environment that leads to the server."""
    name = f"bucket-{next(_numbers)}"
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_SESSION_TOKEN"):
            patch.delenv(variable, raising=False)
        for variable, value in s3.environment().items():
            patch.setenv(variable, value)
        forget_clients()
        fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
        yield name
    forget_clients()


@pytest.fixture
def s3_root(bucket) -> str:
    """The URL of a store that nothing has been put into."""
    return f"s3://{bucket}/store-{next(_numbers)}"


@pytest.fixture
def objects(bucket):
    """A client that sees and changes objects behind the back of the store."""
    return fsspec.filesystem("s3", use_listings_cache=False)
