"""What the images hold, what they may do, and that a step in them is the same step as on the host."""

import subprocess
import sys

import pytest

from tasks.orchestration.code_digest import code_digest
from tasks.orchestration.runtimes import Runtime, runtime_document
from tasks.orchestration.serving.build import PRINT_RUNTIME
from tasks.orchestration.serving.engine import EngineError, run_once
from tasks.orchestration.serving.images import is_built, is_current, labels_of, runtime_of
from tasks.orchestration.serving.names import CODE_LABEL

KINDS = ("core", "tf", "torch")
FRAMEWORKS = {"core": [], "tf": ["tensorflow", "keras"], "torch": ["torch"]}
LIMIT_MB = {"core": 1000, "tf": 2200, "torch": 1800}
IMPORTED = {
    "core": "import s3fs, sklearn",
    "tf": "import tensorflow, keras",
    "torch": "import torch, safetensors.torch, rasterio",
}

every_image = pytest.mark.parametrize("kind", KINDS)


@every_image
def test_an_image_holds_its_own_framework_and_no_other(probed, kind):
    assert probed(kind)["importable"] == [*FRAMEWORKS[kind], "s3fs"]


@every_image
def test_the_framework_imports_under_the_hardened_settings(built, kind):
    assert run_once(built(kind), ["python", "-c", f"{IMPORTED[kind]}; print('ok')"]) == "ok\n"


@pytest.mark.parametrize(("kind", "absent"), [("tf", "torch"), ("torch", "tensorflow"), ("core", "tensorflow")])
def test_the_wrong_framework_is_refused_by_name(built, kind, absent):
    with pytest.raises(EngineError, match=f"No module named '{absent}'"):
        run_once(built(kind), ["python", "-c", f"import {absent}"])


@every_image
def test_it_runs_as_nobody_that_the_host_knows(probed, kind):
    assert set(probed(kind)["ids"]) == {10001}


@every_image
def test_the_user_is_part_of_the_image(docker_engine, built, kind):
    assert docker_engine.images.get(built(kind)).attrs["Config"]["User"] == "10001:10001"


@every_image
def test_it_has_no_capability_and_can_gain_none(probed, kind):
    status = probed(kind)["status"]
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


@every_image
def test_only_tmp_can_be_written(probed, kind):
    assert set(probed(kind)["refusals"].values()) == {"Read-only file system"}
    assert probed(kind)["refused_tmp"] == ""


@every_image
def test_it_reaches_nobody(probed, kind):
    assert probed(kind)["interfaces"] == ["lo"]


@every_image
def test_the_working_folder_is_empty_as_prefect_copies_it(probed, kind):
    assert probed(kind)["folder"] == ["/opt/work", []]


@every_image
def test_nothing_of_the_build_is_left(probed, kind):
    assert probed(kind)["tools"] == []
    assert probed(kind)["left"] == []


@every_image
def test_labels_name_the_source(built, kind):
    labels = labels_of(built(kind))
    assert labels["org.opencontainers.image.title"] == "stagegate"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert len(labels["org.opencontainers.image.revision"].removesuffix("-dirty")) == 40
    assert labels["io.stagegate.accelerator"] == "cpu"


@every_image
def test_the_runtime_label_is_what_the_image_prints(built, kind):
    image = built(kind)
    assert runtime_of(image) == Runtime.model_validate_json(run_once(image, PRINT_RUNTIME))


@every_image
def test_the_code_label_is_the_digest_of_the_installed_files(built, probed, kind):
    assert labels_of(built(kind))[CODE_LABEL] == probed(kind)["tree"]


@every_image
def test_every_step_has_the_same_code_as_on_the_host(built_from_this_tree, probed, served, kind):
    built_from_this_tree(kind)
    assert probed(kind)["codes"] == {name: code_digest(step.function) for name, step in served(kind).items()}


@every_image
def test_every_step_runs_on_the_same_versions_as_on_the_host(built_from_this_tree, served, kind):
    inside = runtime_of(built_from_this_tree(kind))
    for step in served(kind).values():
        found = runtime_document(step.function, step.pool, "cpu", inside)
        assert found == runtime_document(step.function, step.pool, "cpu"), step.name


def test_core_and_tensorflow_images_serve_steps(served):
    assert "audit-handshake" in served("core")
    assert "train-subsidence" in served("tf")


@every_image
def test_an_image_is_no_larger_than_it_must_be(docker_engine, built, kind, record_property):
    image = built(kind)
    size_mb = docker_engine.images.get(image).attrs["Size"] / 1e6
    record_property("size_mb", round(size_mb))
    print(f"{image}: {size_mb:.0f} MB")
    assert size_mb < LIMIT_MB[kind]


def test_an_absent_image_is_named_with_what_to_do(docker_engine):
    assert not is_built("stagegate/absent:cpu")
    assert not is_current("stagegate/absent:cpu")
    with pytest.raises(EngineError, match=r"absent:cpu is not in the Docker engine\. Build it: make images\."):
        runtime_of("stagegate/absent:cpu")


def test_an_absent_base_is_named_with_what_to_do(docker_engine):
    words = [sys.executable, "-m", "tasks.orchestration.serving.images", "core", "--base-image", "stagegate/absent:x"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 4
    assert "EngineError: base image stagegate/absent:x is not in the engine. Run containers/base.sh" in done.stderr
