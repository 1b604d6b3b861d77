"""Made-up tiles and a shell, once for all tests of a file."""

import shutil

import pytest

from tasks.tiles.sample import make_sample
from tests.tiles.cli.shell import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory, prefect_server):
    """Its commands use the server of the tests, which saves the start of one each time."""
    from prefect.settings import PREFECT_API_URL

    return Shell(tmp_path_factory.mktemp("shell"), PREFECT_API_URL.value())


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Six tiles of 32 px and a model that changes them."""
    return make_sample(tmp_path_factory.mktemp("sample"), 6, (32,), head_scale=0.2)


@pytest.fixture
def tiles(sample, tmp_path):
    """The tiles alone, to be spoilt."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    for path in sample.tiles.glob("tile_*"):
        shutil.copy(path, folder)
    return folder
