"""A served platform and a browser on it, both gone when the last page has been looked at."""

import pytest

from tests.engines.docker_platform import open_folder
from tests.engines.served import Serve
from tests.serving.conftest import postgres_programs  # noqa: F401
from tests.ui.dashboard import CHROMIUM, tabs


@pytest.fixture(scope="module")
def served(postgres_programs):  # noqa: F811
    """`stagegate serve --engine process`, on a PostgreSQL of its own."""
    serve = Serve(open_folder("dashboard"))
    try:
        yield serve.start()
    finally:
        serve.stop()


@pytest.fixture(scope="module")
def new_tab(request, pytestconfig):
    """A function that opens a tab; pictures stay in `.pytest_cache/d/dashboard`."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with tabs(request.getfixturevalue("served"), pytestconfig.cache.mkdir("dashboard")) as new:
        yield new


@pytest.fixture(scope="module")
def dashboard(new_tab):
    """A tab whose user has logged in."""
    tab = new_tab()
    tab.log_in()
    tab.page.get_by_text("Dashboard").first.wait_for()
    return tab
