"""Which deployment takes a step, what comes back of it, and what is worth another container."""

import threading
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import TerminationSignal

from tasks.contracts.errors import (
    ConfigError,
    ContainerLostError,
    HandshakeError,
    InterruptedStepError,
    PoolError,
    StorageFullError,
)
from tasks.orchestration import answers, pools
from tasks.orchestration.places import Place
from tasks.orchestration.pools import StepRequest, _Deployed, place_in_pool, run_in_pool
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.runtimes import Runtime
from tasks.orchestration.settings import PlatformSettings
from tasks.orchestration.step import _worth_a_container
from tasks.store.blobs import Store
from tests.orchestration.sample_steps import upper

RUNTIME = Runtime(python="3.11", packages={})


@pytest.fixture
def deployed(monkeypatch):
    """Deployments on a server that is not there: name to (accelerator, workers online)."""

    def set_up(**found):
        known = {name.replace("_", "-"): value for name, value in found.items()}

        def look_up(name):
            if name not in known:
                return None
            accelerator, workers = known[name]
            return _Deployed(name=name, pool=name, runtime=RUNTIME, accelerator=accelerator, workers=workers)

        monkeypatch.setattr(pools, "_deployed", look_up)

    return set_up


def place(pool, wanted):
    found = place_in_pool(pool, wanted)
    return found.name, found.accelerator


def test_without_deployments_the_server_is_told_to_start(deployed):
    deployed()
    with pytest.raises(PoolError, match="expected run-step/cuda-tf or run-step/cpu-tf or run-step/local") as refused:
        place("cuda-tf", "preferred")
    assert "stagegate serve" in refused.value.remedy


@pytest.mark.parametrize("wanted", ["required", "preferred"])
def test_a_gpu_worker_that_is_online_gets_the_step(deployed, wanted):
    deployed(cuda_tf=("cuda", 1), cpu_tf=("cpu", 1))
    assert place("cuda-tf", wanted) == ("cuda-tf", "cuda")


def test_preferred_falls_back_to_the_image_without_cuda(deployed):
    deployed(cuda_tf=("cuda", 0), cpu_tf=("cpu", 1))
    assert place("cuda-tf", "preferred") == ("cpu-tf", "cpu")


def test_none_stays_off_the_gpu(deployed):
    deployed(cuda_tf=("cuda", 1), cpu_tf=("cpu", 1))
    assert place("cuda-tf", "none") == ("cpu-tf", "cpu")


def test_required_without_a_worker_is_refused_with_what_there_is(deployed):
    deployed(cuda_tf=("cuda", 0), cpu_tf=("cpu", 2))
    expected = r"found run-step/cuda-tf \(cuda, 0 workers online\), run-step/cpu-tf \(cpu, 2 workers online\)"
    with pytest.raises(ConfigError, match=expected):
        place("cuda-tf", "required")


def test_only_a_gpu_deployment_does_not_run_what_may_not_use_it(deployed):
    deployed(cuda_tf=("cuda", 1))
    with pytest.raises(PoolError, match="no deployment takes this step on a CPU: expected run-step/cpu-tf or"):
        place("cuda-tf", "none")


def test_a_process_pool_takes_every_step(deployed):
    deployed(local=("cuda", 1))
    assert place("cpu", "required") == ("local", "cpu")
    assert place("cuda-tf", "required") == ("local", "cuda")
    assert place("cuda-tf", "none") == ("local", "cpu")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_an_output_is_taken_once(store):
    answers.leave_output(store, "run-1", {"a": [1, None]})
    assert answers.take(store, "run-1") == {"a": [1, None]}
    assert answers.take(store, "run-1") is None


@pytest.mark.parametrize("cls", [HandshakeError, StorageFullError, InterruptedStepError])
def test_our_errors_come_back_as_what_they_were(store, cls):
    error = cls("is wrong", where="here", expected=3, found=4, remedy="Mend it.")
    answers.leave_error(store, "run-1", error)
    with pytest.raises(cls) as again:
        answers.take(store, "run-1")
    assert str(again.value) == str(error)
    assert again.value.exit_code == error.exit_code


def test_a_foreign_error_keeps_its_words_and_is_worth_a_retry(store):
    answers.leave_error(store, "run-1", ZeroDivisionError("by nought"))
    with pytest.raises(answers.ForeignError, match="ZeroDivisionError: by nought"):
        answers.take(store, "run-1")


def test_an_answer_cannot_name_a_class_of_its_own(store):
    class ConfigErrorLike(RuntimeError):
        pass

    answers.leave_error(store, "run-1", ConfigErrorLike("x"))
    with pytest.raises(answers.ForeignError):
        answers.take(store, "run-1")


@pytest.fixture
def dispatched(monkeypatch, store):
    """`run_in_pool` with a container that leaves what the test says: (call, requests)."""
    asked = []

    def call(leave=lambda store, run_id: None, state=StateType.COMPLETED, stopped=False):
        child, task_run = uuid4(), SimpleNamespace(id="task", run_count=2)

        def run_deployment(name, **options):
            asked.append((name, options))
            leave(store, str(child))
            return SimpleNamespace(id=child)

        monkeypatch.setattr(pools, "run_deployment", run_deployment)
        monkeypatch.setattr(pools, "_wait", lambda *_: State(type=state, name=state.value.title(), message="exit 137"))
        monkeypatch.setattr(pools.TaskRunContext, "get", classmethod(lambda _: SimpleNamespace(task_run=task_run)))
        run = SimpleNamespace(store=store, stop=threading.Event(), label=lambda: "twin")
        if stopped:
            run.stop.set()
        where = Place("cpu", "cpu", RUNTIME)
        return run_in_pool(upper, where, {"times": 2}, {"code": "c", "runtime": "r"}, "upper-key", run)

    return call, asked


def test_a_step_is_asked_for_by_name_and_key(dispatched):
    call, asked = dispatched
    assert call(lambda store, run_id: answers.leave_output(store, run_id, {"ref": 1})) == {"ref": 1}
    ((name, options),) = asked
    assert name == "run-step/cpu"
    assert options["idempotency_key"] == "task-2"  # the second attempt is another container
    request = StepRequest.model_validate(options["parameters"]["request"])
    assert (request.step, request.key, request.accelerator, request.code) == ("upper", "upper-key", "cpu", "c")


def test_a_container_without_an_answer_is_lost(dispatched):
    with pytest.raises(ContainerLostError, match=r"step upper in cpu.*found Crashed: exit 137"):
        dispatched[0](state=StateType.CRASHED)


def test_bad_data_are_refused_as_in_one_process(dispatched):
    with pytest.raises(HandshakeError, match="data are bad"):
        dispatched[0](lambda store, run_id: answers.leave_error(store, run_id, HandshakeError("data are bad")))


def interrupted(store, run_id):
    answers.leave_error(store, run_id, InterruptedStepError("stopped"))


def test_a_step_that_somebody_cancelled_is_not_started_again(dispatched):
    with pytest.raises(InterruptedStepError, match="was cancelled"):
        dispatched[0](interrupted, state=StateType.CANCELLED)


def test_a_container_that_was_stopped_is_worth_another(dispatched):
    with pytest.raises(ContainerLostError):
        dispatched[0](interrupted, state=StateType.CRASHED)


@pytest.mark.parametrize("leave", [interrupted, lambda store, run_id: None])
def test_a_stopped_flow_ends_as_stopped(dispatched, leave):
    with pytest.raises(InterruptedStepError):
        dispatched[0](leave, state=StateType.CANCELLED, stopped=True)


def test_a_stopped_flow_of_a_deployment_ends_as_prefect_asked(dispatched, monkeypatch):
    here = SimpleNamespace(flow_run=SimpleNamespace(deployment_id=uuid4()))
    monkeypatch.setattr(pools.FlowRunContext, "get", classmethod(lambda _: here))
    with pytest.raises(TerminationSignal):
        dispatched[0](interrupted, state=StateType.CANCELLED, stopped=True)


def test_what_a_lost_flow_has_not_taken_is_taken_by_the_next(dispatched, store):
    call, asked = dispatched
    ref = store.put_bytes(b"weights", name="w.bin")
    answers.leave_output(store, "upper-key", {"ref": ref.model_dump(mode="json")})
    assert call()["ref"]["digest"] == ref.digest and not asked


def test_what_was_left_counts_only_with_all_its_bytes(store):
    ref = store.put_bytes(b"weights", name="w.bin")
    answers.leave_output(store, "upper-key", {"ref": ref.model_dump(mode="json")})
    store.place.remove(f"sha256/{ref.digest[:2]}/{ref.digest[2:]}")
    assert answers.peek(store, "upper-key") is None
    store.place.write("answers/upper-key.json", (b"[1",))
    assert answers.peek(store, "upper-key") is None


@pytest.mark.parametrize(("error", "attempts"), [
    (ContainerLostError("lost"), [True, True]), (answers.ForeignError("KeyError: x"), [True, False]),
    (HandshakeError("bad"), [False, False]), (InterruptedStepError("was cancelled"), [False, False]),
])  # fmt: skip
def test_only_lost_containers_are_replaced_beyond_the_own_retries(error, attempts):
    state = SimpleNamespace(result=lambda raise_on_failure: error)
    runs = [SimpleNamespace(run_count=count) for count in (1, 2)]
    assert [_worth_a_container(1)(None, run, state) for run in runs] == attempts


def test_an_error_with_a_name_that_is_no_utf8_arrives(store):
    answers.leave_error(store, "run-1", OSError("no such file: caf\udce9.npz"))
    with pytest.raises(answers.ForeignError, match="OSError"):
        answers.take(store, "run-1")


def test_a_worker_that_is_online_is_chosen_before_a_pool_that_nobody_serves(monkeypatch):
    found = {
        name: SimpleNamespace(name=name, accelerator="cpu", runtime=RUNTIME, workers=name == "local")
        for name in ("cpu", "local")
    }
    monkeypatch.setattr(pools, "_deployed", found.get)
    assert pools.place_in_pool("cpu", "none").name == "local"


def test_a_lost_container_is_replaced_in_a_flow(prefect_server, monkeypatch, tmp_path):
    lost = [ContainerLostError("lost"), ContainerLostError("lost")]
    run = Run(PlatformSettings(store=str(tmp_path), executor="pools"), "")
    ref = run.store.put_bytes(b"AB", name="upper.txt")

    def run_in_pool(*_):
        if lost:
            raise lost.pop()
        return {"ref": ref.model_dump(mode="json")}

    monkeypatch.setattr(pools, "place_in_pool", lambda *_: Place("cpu", "cpu", RUNTIME))
    monkeypatch.setattr(pools, "run_in_pool", run_in_pool)

    @flow
    def once():
        return upper(ref, 1).ref.digest

    with prepared(run):
        assert once() == ref.digest
    assert not lost and run.steps[0].status == "ran"
