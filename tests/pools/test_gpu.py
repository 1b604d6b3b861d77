"""Deployed flows on a machine without a GPU: refused at once where it is required, said where it was preferred."""

import json

import pytest

from tasks.orchestration import places
from tasks.orchestration.serving.engine import engine
from tasks.orchestration.serving.layout import Layout
from tests.deployments.test_templates import settings
from tests.pools.conftest import REQUEST
from tests.pools.runs import Asked, run_folder

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]
without_gpu = pytest.mark.skipif(places.DEVICE.exists(), reason="this machine has a GPU")


@without_gpu
def test_a_required_gpu_that_is_not_there_ends_the_flow_before_any_step(docker_platform, city):
    asked = Asked(docker_platform, "forecast-subsidence/default", REQUEST | {"accelerator": "required"}).finish()
    assert asked.exit_code == 1
    assert asked.flow.state.name == "Failed"
    message = asked.flow.state.message
    assert "ConfigError: pool cuda-tf no GPU worker is online" in message
    assert "run-step/cpu-tf (cpu, 1 workers online)" in message
    assert "ask for accelerator `preferred`" in message
    assert asked.steps == {}


@without_gpu
def test_a_preferred_gpu_that_is_not_there_is_said_in_the_record(docker_platform, forecast):
    assert forecast.flow.parameters["request"].get("accelerator", "preferred") == "preferred"
    assert forecast.lineage(docker_platform)["train-subsidence"]["place"] == "cpu-tf, cpu"
    (summary,) = run_folder(docker_platform).glob("*_training_summary.json")
    assert json.loads(summary.read_text())["env"]["device"] == "cpu"


def test_the_engine_takes_the_request_for_a_gpu(docker_platform):
    """Created and not started: that would need the GPU."""
    layout = Layout.model_validate_json(json.dumps(docker_platform.status["layout"]))
    wanted = settings("cuda-tf", layout) | {"image": "stagegate/core:cpu", "auto_remove": False}
    container = engine().containers.create(**wanted)
    try:
        held = engine().api.inspect_container(container.id)["HostConfig"]
    finally:
        container.remove()
    (gpu,) = held["DeviceRequests"]
    assert (gpu["Driver"], gpu["Count"], gpu["Capabilities"]) == ("nvidia", 1, [["gpu"]])
    assert held["ShmSize"] == 2**30
    assert (held["ReadonlyRootfs"], held["CapDrop"], held["Privileged"]) == (True, ["ALL"], False)
