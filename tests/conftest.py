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

from tests.engines.docker_platform import docker_platform  # noqa: E402, F401
from tests.engines.s3 import bucket, objects, s3, s3_root  # noqa: E402, F401


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


def pytest_itemcollected(item):
    """Tests of one file stay on one worker, those of all flows and of S3 too: they share finished runs and a server.

    Marked while collecting: afterwards would be too late, since xdist has named the groups by then.
    """
    if item.get_closest_marker("xdist_group") is None:
        folder = item.path.relative_to(item.config.rootpath).parts[1]
        group = "s3" if "s3" in item.fixturenames else "flows" if folder == "flows" else str(item.path)
        group = "engines" if "served" in item.fixturenames else group  # one server with workers at a time
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_sessionfinish(session):
    """Where every engine is there, a skipped test is a failed suite; data beside the checkout are nobody's promise."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    strict = os.environ.get("STAGEGATE_TEST_NO_SKIPS")
    if strict and reporter is not None:
        excused = ("beside this checkout", *(("Docker", "docker", "make images") if strict == "but-docker" else ()))
        reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
        skipped = [reason for reason in reasons if not any(word in reason for word in excused)]
        if skipped:
            reporter.write_line(f"{len(skipped)} tests were skipped though their engines should be there", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
