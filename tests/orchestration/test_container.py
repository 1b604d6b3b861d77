"""What `run-step` does in a container: the step itself, or a refusal that names the other revision."""

import pytest

from flows.run_step import run_step
from tasks.contracts.errors import ConfigError
from tasks.orchestration import answers, container
from tasks.orchestration.catalogue import find_step
from tasks.orchestration.code_digest import code_digest
from tasks.orchestration.pools import StepRequest
from tasks.orchestration.runtimes import runtime_digest
from tasks.store.blobs import Store
from tests.subsidence.small_twin import small_twin_request

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """Run `run-step` here; the state, and the answer in the store."""
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("STAGEGATE_EXECUTOR", "pools")  # a container that inherits it must not dispatch again

    def call(**changes):
        step = find_step(changes.get("step", "simulate-subsidence"))
        values = {
            "step": step.name,
            "inputs": {"request": small_twin_request().model_dump(mode="json")},
            "key": f"{step.name}-{'0' * 64}",
            "accelerator": "cpu",
            "code": code_digest(step.function),
            "runtime": runtime_digest(step.function, step.pool, "cpu"),
        }
        state = run_step(StepRequest(**values | changes), return_state=True)
        return state, lambda: answers.take(Store(tmp_path / "store"), str(state.state_details.flow_run_id))

    return call


def test_the_output_is_left_in_the_store(ask):
    state, answer = ask()
    assert state.is_completed()
    output = answer()
    assert output["handoff"]["manifest"]["digest"]
    assert output == state.result()


@pytest.mark.parametrize(("field", "what"), [("code", "code"), ("runtime", "packages")])
def test_an_image_of_another_revision_is_refused_by_name(ask, field, what):
    state, answer = ask(**{field: "f" * 64})
    assert state.is_failed()
    with pytest.raises(ConfigError, match=f"image has other {what} than the flow: expected digest ffffffffffff"):
        answer()


def test_an_unknown_step_is_refused_with_those_that_exist(ask, monkeypatch):
    request = StepRequest(step="rm-rf", inputs={}, key="k", accelerator="cpu", code="", runtime="")
    state = run_step(request, return_state=True)
    with pytest.raises(ConfigError, match="simulate-subsidence"):
        state.result()


def test_a_stop_is_left_as_an_answer_and_told_to_prefect(monkeypatch, tmp_path):
    from prefect.exceptions import TerminationSignal

    from tasks.contracts.errors import InterruptedStepError

    def stopped(request, run):
        raise InterruptedStepError("stopped in epoch 3")

    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(container, "_output", stopped)
    monkeypatch.setattr(container.flow_run, "id", "run-1", raising=False)
    with pytest.raises(TerminationSignal):
        container.answer(StepRequest(step="s", inputs={}, key="k", accelerator="cpu", code="", runtime=""))
    with pytest.raises(InterruptedStepError, match="epoch 3"):
        answers.take(Store(tmp_path / "store"), "run-1")
