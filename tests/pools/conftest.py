"""One forecast in containers, one in a process of this machine: shared by all tests that look at them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines.served import STAGEGATE
from tests.flows.runs import TINY
from tests.pools.runs import Asked, Finished, stop_once
from tests.subsidence.mini import write_mini_handoff

EPOCHS = 150  # a tenth of a second each: long enough to be stopped in the middle
SETTINGS = (
    *(text for text in TINY if not text.startswith("EPOCHS")),
    f"EPOCHS={EPOCHS}",
    f"PATIENCE={EPOCHS}",
    "TF_INTRA_THREADS=1",
    "TF_INTER_THREADS=1",
)
REQUEST = {"stage1_manifest": "city/manifest.json", "set": list(SETTINGS)}


@dataclass(frozen=True)
class Machine:
    """A user who runs flows in a process of their own: the answer, and the store."""

    answer: dict
    store: str


@pytest.fixture(scope="session")
def city(docker_platform) -> Path:
    """The manifest of a small city below the data root."""
    return write_mini_handoff(docker_platform.folder / "data-root" / "city")


@pytest.fixture(scope="session")
def interrupted_at() -> dict:
    """What was seen of the training when it was asked to stop."""
    return {}


@pytest.fixture(scope="session")
def forecast(docker_platform, city, interrupted_at) -> Finished:
    """The whole flow in containers, from the shell; its training is asked to stop once."""
    asked = Asked(docker_platform, "forecast-subsidence/default", REQUEST)
    interrupted_at["saved"] = stop_once(asked, docker_platform.folder / "store", "train-subsidence")
    return asked.finish()


@pytest.fixture(scope="session")
def here(city, tmp_path_factory) -> Machine:
    """The same request in a process, over a store of its own."""
    folder = tmp_path_factory.mktemp("here")
    return in_process(folder, "subsidence", str(folder / "store"), city)


def in_process(folder: Path, words: str, store: str, manifest: Path, settings=SETTINGS) -> Machine:
    """`stagegate <words>` with a Prefect of its own over a store."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STAGEGATE_"))}
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "STAGEGATE_STORE": store}
    options = ["--stage1-manifest", str(manifest), "--out", str(folder / "runs"), "--json"]
    sets = [word for text in settings for word in ("--set", text)]
    done = subprocess.run(
        [*STAGEGATE, *words.split(), *options, *sets], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Machine(json.loads(done.stdout.strip().splitlines()[-1]), store)
