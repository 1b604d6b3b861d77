"""The deployed forecast with every step in a container of its own, against the same forecast in one process."""

import re
import shutil
from typing import Any

import httpx
import pytest

from tasks.orchestration.catalogue import find_step
from tasks.orchestration.content_policy import canonical
from tasks.orchestration.records import Records
from tasks.store.blobs import Store
from tests.pools.conftest import EPOCHS, REQUEST, in_process
from tests.pools.runs import Asked, log_of, run_folder

pytestmark = [
    pytest.mark.platform,
    pytest.mark.xdist_group("engines"),
    pytest.mark.timeout(1500),
]  # the first test waits for a whole forecast
FRAMEWORK = {f"{verb}-subsidence" for verb in ("build", "train", "calibrate", "infer", "evaluate")}
EPOCH = re.compile(rf"epoch (\d+)/{EPOCHS}:")


def output(root: str, step: str, key: str) -> Any:
    """What a store has recorded for a step under a key, as digests; None for no such record."""
    found, _ = Records(Store(root), root).output(key, find_step(step).output_model)
    return None if found is None else canonical(found, step)


def test_the_command_in_a_shell_watches_the_flow_to_its_end(forecast):
    assert forecast.exit_code == 0, forecast.printed
    assert forecast.flow.state.name == "Completed", forecast.flow.state.message
    assert {step: run.state.name for step, run in forecast.steps.items()} == dict.fromkeys(forecast.steps, "Completed")


def test_the_results_belong_to_the_containers_user_and_anybody_may_read_them(docker_platform, forecast):
    folder, layout = run_folder(docker_platform), docker_platform.status["layout"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert {path.stat().st_uid for path in (folder, *files)} == {layout["uid"]}
    assert {oct(path.stat().st_mode & 0o044) for path in files} == {"0o44"}
    page = httpx.get(f"{layout['results_url']}/{(folder / 'report.html').relative_to(layout['results'])}")
    assert page.status_code == 200
    assert "minicity" in page.text


def test_every_step_ran_in_a_container_of_its_image(docker_platform, forecast):
    lineage = forecast.lineage(docker_platform)
    assert set(lineage) == set(forecast.steps)
    for step, row in lineage.items():
        place, image = ("cpu-tf", "stagegate/tf:cpu") if step in FRAMEWORK else ("cpu", "stagegate/core:cpu")
        assert row["place"] == f"{place}, cpu"
        assert {each["image"] for each in forecast.containers_of(step)} == {image}


def test_training_that_is_asked_to_stop_goes_on_in_another_container(docker_platform, forecast, interrupted_at):
    assert interrupted_at["saved"] >= 2
    first, second = forecast.containers_of("train-subsidence")
    assert second["started"] > first["started"] + first["seconds"]
    assert forecast.steps["train-subsidence"].run_count == 2
    lines = [int(found[1]) for line in log_of(docker_platform, forecast.steps["train-subsidence"])
             if (found := EPOCH.search(line))]  # fmt: skip
    assert lines == sorted(set(lines)), "no epoch is trained twice"
    assert lines[-1] == EPOCHS
    (log,) = run_folder(docker_platform).glob("*_train_log.csv")
    assert [row.split(",")[0] for row in log.read_text().splitlines()[1:]] == [str(epoch) for epoch in range(EPOCHS)]
    assert not (docker_platform.folder / "store" / "progress" / forecast.key_of("train-subsidence")).exists()


def test_each_other_step_took_one_container_that_ended_well(forecast):
    others = {step: forecast.containers_of(step) for step in forecast.steps if step != "train-subsidence"}
    assert {step: [each["exit_code"] for each in starts] for step, starts in others.items()} == {
        step: [0] for step in others
    }


def test_a_process_of_this_machine_makes_the_same_bytes_in_every_step(docker_platform, forecast, here):
    stores = str(docker_platform.folder / "store"), here.store
    for step in forecast.steps:
        there, local = (output(store, step, forecast.key_of(step)) for store in stores)
        assert there is not None
        assert local == there, step


def test_a_copy_of_the_store_on_another_machine_answers_for_every_step(docker_platform, forecast, city, tmp_path):
    shutil.copytree(docker_platform.folder / "store", tmp_path / "store")
    elsewhere = in_process(tmp_path, "subsidence", str(tmp_path / "store"), city)
    steps = len(forecast.steps)
    assert elsewhere.answer["cache"] == {"hits": steps, "misses": 0, "steps": steps}


def test_the_second_forecast_takes_no_container_but_its_own(docker_platform, forecast):
    again = Asked(docker_platform, "forecast-subsidence/default", REQUEST).finish()
    assert again.exit_code == 0, again.printed
    assert {row["status"] for row in again.lineage(docker_platform).values()} == {"cached"}
    assert again.steps == {}
    assert [len(starts) for starts in again.containers.values()] == [1]
