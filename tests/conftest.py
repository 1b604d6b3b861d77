"""Environment of the whole suite: own Prefect home, one thread per framework, no telemetry."""

import os
import tempfile

from tasks.cli import environment

os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="stagegate-test-prefect-")
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
environment.set_defaults()

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def prefect_server():
    """One embedded Prefect server for all tests of a worker that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture
def platform(tmp_path):
    """A run over a store of its own."""
    from tasks.orchestration.run import Run
    from tasks.orchestration.settings import PlatformSettings

    def make(**options):
        return Run(PlatformSettings(store=str(tmp_path / "store")), "", **options)

    return make
