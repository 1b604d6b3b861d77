"""What a Kubernetes worker would create, rendered from the pools' template without a cluster."""

import asyncio
import importlib.util
import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.base import BaseJobConfiguration
from ruamel.yaml import YAML

from tasks.orchestration.serving.table import CUDA_POOLS, rows

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
PASSWORD = "stagegate:wJalrXUtnFEMI"
POOLS = ("cpu", "cuda-tf", "cuda-torch")


def load_pools():
    spec = importlib.util.spec_from_file_location("kubernetes_pools", FOLDER / "pools.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pools = load_pools()


def read(name):
    return YAML(typ="safe").load(FOLDER / name)


def manifest(pool, **values):
    """The Job of a run, by Prefect's own rules for variables."""
    template = pools.template(pool, "s3://bucket/prefix")
    defaults = BaseJobConfiguration._get_base_config_defaults(template["variables"]["properties"])
    return apply_values(template["job_configuration"], defaults | {"name": "run"} | values)["job_manifest"]


def pod(made):
    return made["spec"]["template"]["spec"]


def container(made):
    (only,) = pod(made)["containers"]
    return only


def row_of(pool):
    return next(row for row in rows("docker") if row.full_name == f"run-step/{pool}")


@pytest.mark.parametrize("pool", POOLS)
def test_a_pod_can_do_nothing_more_than_its_step_needs(pool):
    made = manifest(pool)
    outer, inner = pod(made)["securityContext"], container(made)["securityContext"]
    assert (outer["runAsUser"], outer["runAsGroup"], outer["runAsNonRoot"]) == (10001, 10001, True)
    assert outer["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert (inner["allowPrivilegeEscalation"], inner["privileged"]) == (False, False)
    assert pod(made)["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(made).keys()
    assert not [volume for volume in pod(made)["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("pool", POOLS)
def test_a_pod_has_limits_scratch_and_shared_memory(pool):
    made = manifest(pool)
    limits, requests = (container(made)["resources"][name] for name in ("limits", "requests"))
    assert {"cpu", "memory"} <= limits.keys() and requests.keys() == {"cpu", "memory"}
    volumes = {volume["name"]: volume for volume in pod(made)["volumes"]}
    mounts = {mount["name"]: mount for mount in container(made)["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert mounts["tmp"]["mountPath"] == "/tmp" and volumes["tmp"]["emptyDir"]["sizeLimit"]
    assert mounts["shared-memory"]["mountPath"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
    assert mounts["data"]["readOnly"] is True


def test_a_gpu_is_asked_for_in_cuda_pools_and_where_a_deployment_wants_one():
    asked = {pool: container(manifest(pool))["resources"]["limits"].get("nvidia.com/gpu") for pool in POOLS}
    assert asked == {"cpu": None} | dict.fromkeys(CUDA_POOLS, 1)
    assert container(manifest("cpu", gpu=2))["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert "nvidia.com/gpu" not in container(manifest("cpu"))["resources"]["limits"]


@pytest.mark.parametrize("pool", POOLS)
def test_every_placeholder_is_a_variable_and_none_is_left(pool):
    template = pools.template(pool, "s3://bucket/prefix")
    text = json.dumps(template["job_configuration"])
    assert {found.name for found in find_placeholders(text)} <= template["variables"]["properties"].keys()
    assert "{{" not in json.dumps(manifest(pool, namespace="stagegate"))


@pytest.mark.parametrize("pool", POOLS)
def test_prefect_takes_the_template(pool):
    made = WorkPoolCreate(name=pool, type="kubernetes", base_job_template=pools.template(pool, "s3://bucket/prefix"))
    assert (
        made.base_job_template["variables"]["properties"]["env"]["default"]["STAGEGATE_STORE"] == "s3://bucket/prefix"
    )


@pytest.mark.parametrize("pool", POOLS)
def test_the_worker_makes_a_job_without_the_password(pool):
    """With prefect-kubernetes' own model, where it is installed."""
    worker = pytest.importorskip("prefect_kubernetes.worker")
    values = row_of(pool).job_variables('{"python": "3.11", "packages": {}}')

    async def resolve():
        model, template = worker.KubernetesWorkerJobConfiguration, pools.template(pool, "s3://bucket/prefix")
        return await model.from_template_and_values(template, values, client=object())

    with temporary_settings({PREFECT_API_AUTH_STRING: PASSWORD}):
        configuration = asyncio.run(resolve())
        configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="brave-fox"))
    made = configuration.job_manifest
    environment = {entry["name"]: entry for entry in container(made)["env"]}
    assert PASSWORD not in json.dumps(made)
    assert environment["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"]["name"] == "stagegate-auth"
    assert environment["STAGEGATE_STORE"]["value"] == "s3://bucket/prefix"
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"]["value"] == "reschedule"
    assert container(made)["image"] == row_of(pool).image
    assert container(made)["args"] == ["prefect", "flow-run", "execute"]
    assert (configuration.namespace, made["metadata"]["namespace"]) == ("stagegate", "stagegate")


@pytest.mark.parametrize(("name", "part"), [("values-server.yaml", "server"), ("values-worker.yaml", "worker")])
def test_the_charts_run_without_root_and_with_secrets_by_name(name, part):
    values = read(name)
    own = values[part]
    assert own["podSecurityContext"]["runAsNonRoot"] is True
    assert own["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["containerSecurityContext"]["readOnlyRootFilesystem"] is True
    assert own["containerSecurityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert own["resources"]["limits"].keys() == {"cpu", "memory"}
    basic = own.get("basicAuth") or own["selfHostedServerApiConfig"]["basicAuth"]
    assert basic == {"enabled": True, "existingSecret": "stagegate-auth"}


def test_the_database_is_an_external_one_named_by_a_secret():
    values = read("values-server.yaml")
    assert values["secret"] == {"create": False, "name": "stagegate-database"}
    assert (values["postgresql"], values["sqlite"]) == ({"enabled": False}, {"enabled": False})


def test_what_the_pods_name_is_made_by_the_namespace_file():
    made = {(each["kind"], each["metadata"]["name"]) for each in YAML(typ="safe").load_all(FOLDER / "namespace.yaml")}
    variables = read("base-job-template.yaml")["variables"]["properties"]
    assert ("ServiceAccount", variables["service_account_name"]["default"]) in made
    assert ("Namespace", variables["namespace"]["default"]) in made
    for claim in ("data_claim", "results_claim"):
        assert ("PersistentVolumeClaim", variables[claim]["default"]) in made


def test_every_secret_is_explained():
    readme = (FOLDER / "README.md").read_text()
    named = set()
    for file in FOLDER.glob("*.yaml"):
        named |= set(
            re.findall(
                r"(?:existingSecret: |_secret: .*default: |name: )(stagegate-(?:auth|s3|database))", file.read_text()
            )
        )
    assert named == {"stagegate-auth", "stagegate-s3", "stagegate-database"}
    assert all(f"secret generic {name}" in readme for name in named)
