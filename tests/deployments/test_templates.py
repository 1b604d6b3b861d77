"""What the worker makes of a pool's template: container settings as prefect-docker builds them, without an engine."""

import asyncio
from pathlib import Path

import pytest
from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration

from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.table import rows
from tasks.orchestration.serving.templates import NOT_INHERITED, base_job_template

SECRET = "wJalrXUtnFEMI"


@pytest.fixture
def layout():
    return Layout(
        home=Path("/srv/home"),
        store="/srv/store",
        results=Path("/srv/results"),
        data_root=Path("/srv/data"),
        engine="docker",
        host="172.31.77.1",
        port=4200,
    )


def configured(name, layout):
    """The configuration of a run of `run-step/<name>` or a flow, as the worker resolves it."""
    row = next(row for row in rows("docker") if name in (row.full_name, row.full_name.removeprefix("run-step/")))
    template = base_job_template(row.pool, layout)
    values = row.job_variables('{"python": "3.11", "packages": {}}')

    async def resolve():
        return await DockerWorkerJobConfiguration.from_template_and_values(template, values, client=object())

    configuration = asyncio.run(resolve())
    configuration.env = {key: value for key, value in configuration.env.items() if value is not None}
    return configuration


def settings(name, layout):
    """Arguments that docker-py would get."""
    worker = object.__new__(DockerWorker)
    configuration = configured(name, layout)
    configuration.command = "prefect flow-run execute"
    return worker._build_container_settings(None, configuration)


def test_a_container_can_do_nothing_more_than_its_step_needs(layout):
    made = settings("cpu-tf", layout)
    assert made["user"] == "10001:10001"
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges"]
    assert made["init"] is True
    assert list(made["tmpfs"]) == ["/tmp"]
    assert made["pids_limit"] == 1024
    assert made["mem_limit"] == "4g"
    assert made["network"] == "stagegate"
    assert made["network_mode"] is None
    assert made["privileged"] is False
    assert made["image"] == "stagegate/tf:cpu"
    assert "device_requests" not in made


def test_data_are_read_only_and_paths_are_the_same_inside(layout):
    assert settings("cpu", layout)["volumes"] == [
        "/srv/data:/srv/data:ro",
        "/srv/results:/srv/results:rw",
        "/srv/store:/srv/store:rw",
    ]


def test_a_store_behind_a_url_is_not_mounted(layout):
    remote = layout.model_copy(update={"store": "s3://bucket/prefix"})
    made = settings("cpu", remote)
    assert not [volume for volume in made["volumes"] if "bucket" in volume]
    assert made["environment"]["STAGEGATE_STORE"] == "s3://bucket/prefix"


@pytest.mark.parametrize("name", ["cuda-tf", "cuda-torch"])
def test_a_gpu_step_asks_for_one_gpu_and_shared_memory(layout, name):
    made = settings(name, layout)
    assert made["device_requests"] == [{"driver": "nvidia", "count": 1, "capabilities": [["gpu"]]}]
    assert made["shm_size"] == "1g"
    assert made["environment"]["STAGEGATE_ACCELERATOR"] == "cuda"


def test_a_step_and_a_flow_find_their_environment(layout):
    step, flow = (configured(name, layout).env for name in ("cpu", "audit-subsidence/default"))
    assert step["PREFECT_API_URL"] == "http://172.31.77.1:4200/api"
    assert step["PREFECT_HOME"] == "/tmp/prefect"
    assert step["STAGEGATE_RESULTS"] == "/srv/results"
    assert step["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert "STAGEGATE_EXECUTOR" not in step
    assert flow["STAGEGATE_EXECUTOR"] == "pools"
    assert flow["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"


def test_credentials_come_from_the_worker_and_are_in_no_template(layout, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert SECRET not in str(base_job_template("cpu", layout))
    assert configured("cpu", layout).env["AWS_SECRET_ACCESS_KEY"] == SECRET


def test_the_number_of_threads_of_a_worker_holds_in_its_containers(layout, monkeypatch):
    """Sums depend on it: with another number a container would train other weights than the worker's own machine."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert configured("cpu-tf", layout).env["OPENBLAS_NUM_THREADS"] == "3"


def test_what_only_the_server_needs_stays_with_it(layout):
    """A worker hands all its Prefect settings to its containers; null in the template takes these away again."""
    base = base_job_template("cpu", layout)["job_configuration"]["env"]
    assert base == dict.fromkeys(NOT_INHERITED)
    assert "PREFECT_API_DATABASE_CONNECTION_URL" in base
    assert "PREFECT_API_AUTH_STRING" not in base


def test_a_process_pool_changes_nothing_but_the_environment(layout):
    template = base_job_template("local", layout.model_copy(update={"engine": "process"}))
    assert template["variables"]["properties"]["env"]["default"]["STAGEGATE_DATA_ROOT"] == "/srv/data"
    assert "PREFECT_HOME" not in template["variables"]["properties"]["env"]["default"]


@pytest.fixture
def engine():
    from tasks.contracts.errors import DependencyError
    from tasks.orchestration.serving.engine import engine
    from tasks.orchestration.serving.images import is_built
    from tasks.orchestration.serving.names import image_name

    try:
        built = is_built(image_name("core"))
    except DependencyError as error:
        pytest.skip(str(error))
    if not built:
        pytest.skip("the core image is not built: make images")
    return engine()


def test_a_really_created_container_has_the_gpu_and_the_limits(engine, layout, tmp_path):
    """An engine without GPU creates it and refuses to start it, so that nothing runs on a CPU by accident."""
    from docker.errors import APIError

    from tasks.orchestration.serving.names import image_name

    places = {"store": str(tmp_path), "results": tmp_path, "data_root": tmp_path, "network": "bridge"}
    made = settings("cuda-tf", layout.model_copy(update=places)) | {"image": image_name("core"), "command": "true"}
    container = engine.containers.create(**made | {"name": None, "auto_remove": False})
    try:
        host = container.attrs["HostConfig"]
        (request,) = host["DeviceRequests"]
        assert (request["Driver"], request["Count"], request["Capabilities"]) == ("nvidia", 1, [["gpu"]])
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Init"]) == (True, ["ALL"], True)
        assert (host["ShmSize"], host["Memory"], host["PidsLimit"]) == (2**30, 4 * 2**30, 1024)
        assert container.attrs["Config"]["User"] == "10001:10001"
        if "nvidia" not in engine.info()["Runtimes"]:
            with pytest.raises(APIError, match="could not select device driver"):
                container.start()
    finally:
        container.remove(force=True)
