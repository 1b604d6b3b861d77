"""One finished run of the whole flow, shared by all tests that only look at it."""

import pytest

from tests.flows.runs import run_flow
from tests.subsidence.mini import write_mini_handoff
from tests.subsidence.small_twin import small_twin_handoff, small_twin_request


@pytest.fixture(scope="session")
def twin_root(tmp_path_factory):
    """Store and runs of the twin city."""
    return tmp_path_factory.mktemp("twin")


@pytest.fixture(scope="session")
def twin_run(twin_root, prefect_server):
    """The twin city, end to end, from nothing: (run, report)."""
    return run_flow(twin_root, twin=small_twin_request())


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory):
    """Store, runs and handoff of the mini city."""
    root = tmp_path_factory.mktemp("mini")
    write_mini_handoff(root / "handoff")
    return root


@pytest.fixture(scope="session")
def mini_run(mini_root, prefect_server):
    """A handoff in the public layout, end to end: (run, report)."""
    return run_flow(mini_root, stage1_manifest=str(mini_root / "handoff" / "manifest.json"))


@pytest.fixture
def twin_handoff(tmp_path):
    """A prepared twin handoff of its own."""
    return small_twin_handoff(tmp_path / "twin")
