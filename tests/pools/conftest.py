"""One forecast in containers, one in a process of this machine, and a platform whose store is a bucket."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from tasks.orchestration.serving.network import ensure_network, gateway
from tests.engines.ceph import Ceph, missing_programs
from tests.engines.docker_platform import ADDRESSES, NETWORK, SUBNET, need_images, open_folder
from tests.engines.s3 import forget_clients
from tests.engines.served import STAGEGATE, Serve
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
BUCKET = "shared"
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


@pytest.fixture(scope="module")
def s3_for_containers(tmp_path_factory):
    """A gateway on the host's end of the containers' network, and an environment that leads to it."""
    need_images()
    if missing := missing_programs():
        pytest.skip(f"needs Ceph, not installed: {', '.join(missing)}")
    ensure_network(NETWORK, SUBNET)
    server = Ceph(Path(tmp_path_factory.mktemp("ceph")) / "run", host=gateway(SUBNET))
    try:
        server.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment().items():
                patch.setenv(name, value)
            forget_clients()
            fsspec.filesystem("s3", use_listings_cache=False).mkdir(BUCKET)
            yield server
    finally:
        forget_clients()
        server.stop()


@pytest.fixture(scope="module")
def platform_on_s3(s3_for_containers):
    """A served platform whose store is a bucket; its workers have the credentials."""
    serve = Serve(open_folder("docker-s3"), engine=ADDRESSES)
    try:
        yield serve.start(f"--store=s3://{BUCKET}/store")
    finally:
        serve.stop()
