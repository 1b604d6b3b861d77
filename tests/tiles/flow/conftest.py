"""Runs that the tests of report and dashboard look at."""

import pytest

from tests.tiles.flow.finished_run import finished_run


@pytest.fixture(scope="session")
def noisy(tmp_path_factory):
    """A random head, references for all, two tiles that fail, one of them of a hostile name."""
    return finished_run(tmp_path_factory.mktemp("noisy"), references=True, broken=2, quicklook=4)


@pytest.fixture(scope="session")
def copies(tmp_path_factory):
    """Nothing was refined."""
    return finished_run(tmp_path_factory.mktemp("copies"), head_scale=0.0)


@pytest.fixture(scope="session")
def gentle(tmp_path_factory):
    """Changes little, and nothing to compare with; no pictures."""
    return finished_run(tmp_path_factory.mktemp("gentle"), head_scale=0.02, quicklook=0)


@pytest.fixture(scope="session")
def failed(tmp_path_factory):
    """Not one output."""
    return finished_run(tmp_path_factory.mktemp("failed"), count=0, broken=2)
