"""The table of deployments, its file, and the parameter forms of the deployed flows."""

import json
from pathlib import Path

import pytest
from prefect.flows import load_flow_from_entrypoint
from ruamel.yaml import YAML

from tasks.orchestration.serving.deployment_file import file_text
from tasks.orchestration.serving.deployments import runtime_placeholder
from tasks.orchestration.serving.table import FLOWS_QUEUE, STEPS_QUEUE, pools, rows

FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"
ALL = {row.full_name: row for row in (*rows("docker"), *rows("process"))}


def test_the_file_is_the_table():
    assert FILE.read_text() == file_text(), "python -m tasks.orchestration.serving.deployments --yaml > " + FILE.name


def test_the_file_names_no_machine():
    document = YAML(typ="safe").load(FILE.read_text())
    assert document["pull"] == []
    for entry in document["deployments"]:
        env = entry["work_pool"]["job_variables"]["env"]
        assert not [value for value in env.values() if value.startswith("/") or "http" in value]
        image = entry["work_pool"]["job_variables"]["image"]
        assert env["STAGEGATE_RUNTIME"] == f"{{{{ ${runtime_placeholder(image)} }}}}"


def test_the_timezone_is_a_parameter_of_the_file():
    document = YAML(typ="safe").load(file_text("Asia/Shanghai"))
    schedules = [schedule for entry in document["deployments"] for schedule in entry["schedules"]]
    assert schedules == [{"cron": "0 2 * * *", "timezone": "Asia/Shanghai", "active": True}]


def test_the_promised_deployments_exist():
    docker = {row.full_name for row in rows("docker")}
    parents = {
        "forecast-subsidence/default",
        "audit-subsidence/default",
        "apply-forecaster/default",
        "refine-tiles/default",
        "train-tiles/default",
        "nightly-retrain/nightly",
    }
    steps = {f"run-step/{name}" for name in ("cpu", "cpu-tf", "cpu-torch", "cuda-tf", "cuda-torch")}
    assert docker == parents | steps
    assert {row.full_name for row in rows("process")} == parents | {"run-step/local"}


@pytest.mark.parametrize("engine", ["docker", "process"])
def test_a_flow_never_waits_in_the_queue_of_its_steps(engine):
    """With one queue, eight waiting flows would take all places and wait for ever for steps that cannot start."""
    for row in rows(engine):
        assert row.pool in pools(engine)
        waits_for_others = row.flow != "run-step"
        assert row.queue == (FLOWS_QUEUE if waits_for_others else STEPS_QUEUE)
        assert (row.job_variables("{}")["env"].get("STAGEGATE_EXECUTOR") == "pools") == waits_for_others


def properties(node, path=""):
    if isinstance(node, dict):
        for name, value in (node.get("properties") or {}).items():
            yield f"{path}.{name}", value
        for key, value in node.items():
            yield from properties(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from properties(value, path)


@pytest.mark.parametrize("name", ALL)
def test_every_field_of_a_form_says_what_it_is(name):
    schema = json.loads(load_flow_from_entrypoint(ALL[name].entrypoint).parameters.model_dump_json())
    fields = dict(properties(schema))
    assert list(schema["properties"]) == ["request"]
    assert len(fields) >= 6
    silent = [path for path, field in fields.items() if not field.get("title") or not field.get("description")]
    assert not silent


def test_choices_are_lists_in_the_form():
    schema = load_flow_from_entrypoint("flows.forecast_subsidence.forecast_subsidence").parameters.definitions
    asked = schema["SubsidenceRequest"]["properties"]
    assert asked["model"]["anyOf"][0]["enum"] == ["GeoPriorSubsNet", "PoroElasticSubsNet", "HybridAttn-NoPhysics"]
    assert asked["accelerator"]["enum"] == ["required", "preferred", "none"]
    assert schema["TwinRequest"]["properties"]["holdout"]["enum"] == ["random", "spatial_block", "temporal"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("refine-tiles", ["checkpoint", "output_dir"]), ("train-tiles", ["input_dir", "output_dir"])],
)
def test_what_a_tile_form_cannot_do_without(name, wanted):
    schema = json.loads(load_flow_from_entrypoint(ALL[f"{name}/default"].entrypoint).parameters.model_dump_json())
    (model,) = [found for found in schema["definitions"].values() if "output_dir" in found["properties"]]
    assert schema["required"] == ["request"]
    assert model["required"] == wanted
    assert model["additionalProperties"] is False


def test_choices_of_tile_forms_are_lists():
    schema = load_flow_from_entrypoint("flows.refine_tiles.refine_tiles").parameters.definitions
    asked = schema["RefineRequest"]["properties"]
    assert asked["precision"]["anyOf"][0]["enum"] == ["auto", "fp32", "bf16", "fp16"]
    assert asked["compression"]["enum"] == ["none", "zlib1", "zlib6"]
    assert asked["missing_metadata"]["anyOf"][0]["enum"] == ["published", "unknown"]
    assert asked["range_policy"]["anyOf"][0]["enum"] == ["auto", "strict", "clip"]
