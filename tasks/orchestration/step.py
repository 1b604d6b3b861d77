"""`@step`: an ordinary typed function becomes a cached Prefect task."""

import inspect
import json
import time
import typing
from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

from prefect import Task, task
from prefect.results import ResultRecord
from prefect.serializers import JSONSerializer
from prefect.states import State
from pydantic import BaseModel, TypeAdapter

from tasks.contracts.errors import ContainerLostError, InterruptedStepError, StagegateError, StoreError
from tasks.orchestration import answers
from tasks.orchestration.code_digest import code_digest
from tasks.orchestration.content_policy import ContentPolicy, canonical, key_of, without
from tasks.orchestration.dispatch import execute, place_of
from tasks.orchestration.records import SERIALIZER, refs_of
from tasks.orchestration.run import Pending, Run, StepRecord, current_run
from tasks.orchestration.runtimes import digest_of, runtime_document
from tasks.store.workspace import Workspace

LOST_CONTAINERS = 2  # so many containers of one step may be lost before the flow gives up
_SERIALIZER = JSONSerializer(**{name: value for name, value in SERIALIZER.items() if name != "type"})


def step(
    *, pool: str = "cpu", retries: int = 0, title: str | None = None, unkeyed: tuple[str, ...] = ()
) -> Callable[[Callable], "Step"]:
    """Make a step of a function whose inputs and output are frozen models, references and plain values.

    The function takes its `Workspace` as last parameter `here`; callers leave it out. Only failures of the
    infrastructure are retried: bad data and broken contracts are the same the second time. `unkeyed` are dotted places
    in the inputs that reach the function and not its cache key, because no output may depend on them. An output whose
    attribute `passing` is true (memory ran out, say) is used and not kept for the next run.
    """
    return lambda function: Step(function, pool, retries, title, unkeyed)


class Step:
    """A callable for flow files: validates, looks into the cache, dispatches, records."""

    def __init__(self, function: Callable, pool: str, retries: int, title: str | None, unkeyed: tuple[str, ...] = ()):
        self.function, self.pool, self.retries, self.unkeyed = function, pool, retries, unkeyed
        self.name = function.__name__.replace("_", "-")
        self.title = title or function.__name__.replace("_", " ")
        self.__doc__, self.__name__ = function.__doc__, function.__name__
        hints = typing.get_type_hints(function)
        self.output_model: type[BaseModel] = hints.pop("return")
        self._adapters = {name: TypeAdapter(hint) for name, hint in hints.items() if hint is not Workspace}
        parameters = inspect.signature(function).parameters.values()
        self._signature = inspect.Signature([p for p in parameters if p.name in self._adapters])
        if unknown := {place.partition(".")[0] for place in unkeyed} - set(self._adapters):
            raise TypeError(f"step {self.name}: unkeyed names no input: {', '.join(sorted(unknown))}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step in the current flow run, or take its recorded output."""
        run, began = current_run(), time.monotonic()
        if run.stop.is_set():
            raise InterruptedStepError(
                "run was stopped by a signal",
                where=f"before step {self.name}",
                remedy="Run the same command again; finished steps are cached.",
            )
        try:
            return self._take_or_run(run, args, kwargs)
        finally:
            run.clock.append((began, time.monotonic()))

    def _take_or_run(self, run: Run, args: tuple, kwargs: dict[str, Any]) -> Any:
        inputs = self._bind(args, kwargs)
        if any(isinstance(value, Pending) for value in inputs.values()):
            return self._postpone(run, "waits for " + _pending_names(inputs))
        document = self.document(inputs, run)
        key = key_of(document)
        output, why = run.records.output(key, self.output_model)
        if run.dry and output is None:
            return self._postpone(run, run.records.why(document) if why == "no record" else why, key)
        if run.dry:
            return self._remember(run, key, "cached", why, 0.0, inputs, output)
        why = run.records.why(document) if why == "no record" else why
        return self._run_task(run, inputs, document, key, why, recorded=output is not None)

    def document(self, inputs: dict[str, Any], run: Run) -> dict[str, Any]:
        """What the cache key is made of. Raises TypeError for inputs without a content."""
        place = place_of(self.pool, run)
        return {
            "step": self.name,
            "code": code_digest(self.function),
            "runtime": digest_of(runtime_document(self.function, self.pool, place.accelerator, place.runtime)),
            "inputs": without({name: canonical(value, name) for name, value in inputs.items()}, self.unkeyed),
        }

    def call(self, inputs: dict[str, Any], here: Workspace) -> dict[str, Any]:
        """The body, from plain JSON to plain JSON."""
        typed = {name: self._adapters[name].validate_json(json.dumps(value)) for name, value in inputs.items()}
        output = self.function(**typed, here=here)
        if not isinstance(output, self.output_model):
            raise TypeError(f"step {self.name} returned {type(output).__name__}, not {self.output_model.__name__}")
        return output.model_dump(mode="json")

    def _bind(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: self._checked(name, value) for name, value in bound.arguments.items()}

    def _checked(self, name: str, value: Any) -> Any:
        return value if isinstance(value, Pending) else self._adapters[name].validate_python(value, strict=True)

    def _run_task(self, run: Run, inputs: dict, document: dict, key: str, why: str, *, recorded: bool) -> BaseModel:
        if not recorded:
            run.records.forget(key)
        upstream = [state for value in inputs.values() if (state := run.state_of(value)) is not None]
        started = time.monotonic()
        state = self._task(run, document, key)(self._plain(inputs), return_state=True, wait_for=upstream)
        output = self.output_model.model_validate_json(json.dumps(_result_of(state)))
        cached = state.name == "Cached"
        if not cached:
            run.records.seal(key)
            run.records.note(key, document)
            if run.settings.executor == "pools":
                answers.forget(run.store, key)
        if not cached and getattr(output, "passing", False):
            run.records.forget(key)
        run.produced.append((output, state))
        run.keys[id(output)] = key
        if not cached:
            run.made.add(id(output))
        return self._remember(run, key, "cached" if cached else "ran", why, time.monotonic() - started, inputs, output)

    def _task(self, run: Run, document: dict, key: str) -> Task:
        def body(inputs: dict[str, Any]) -> dict[str, Any]:
            return execute(self, inputs, document, key, run)

        one = copy(self._pattern)
        one.fn, one.task_run_name = body, f"{self.title} {run.label()}".strip()
        one.result_storage = run.records.result_storage
        if isinstance(one.cache_policy, ContentPolicy):  # not where Prefect's settings forbid all caching
            one.cache_policy = ContentPolicy(key=key)
        if run.settings.executor == "pools":
            one.retries = max(self.retries, LOST_CONTAINERS)
            one.retry_condition_fn = _worth_a_container(self.retries)
            one.tags = {f"pool:{self.pool}"}  # not elsewhere: for a tagged run Prefect asks the server for a slot
        return one

    @cached_property
    def _pattern(self) -> Task:
        """What all runs of the step share; made once, because Prefect reads and hashes source for each task."""

        def body(inputs: dict[str, Any]) -> dict[str, Any]:
            raise NotImplementedError("a copy gets the body of its run")

        body.__name__ = body.__qualname__ = self.function.__name__
        return task(
            body,
            name=self.title,
            description=(self.__doc__ or "").partition("\n")[0],
            cache_policy=ContentPolicy(),
            result_serializer=_SERIALIZER,
            persist_result=True,
            retries=self.retries,
            retry_condition_fn=_worth_a_retry,
        )

    def _plain(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: self._adapters[name].dump_python(value, mode="json") for name, value in inputs.items()}

    def _postpone(self, run: Run, why: str, key: str = "") -> Pending:
        run.steps.append(
            StepRecord(step=self.name, key=key, status="would run", why=why, seconds=0.0, inputs=(), outputs=())
        )
        return Pending(self.name)

    def _remember(self, run, key, status, why, seconds, inputs, output) -> BaseModel:
        run.steps.append(
            StepRecord(
                step=self.name,
                key=key,
                status=status,
                why="same content" if status == "cached" else why,
                seconds=round(seconds, 3),
                inputs=tuple(f"{ref.name} {ref.short}" for value in inputs.values() for ref in refs_of(value)),
                outputs=tuple(f"{ref.name} {ref.short}" for ref in refs_of(output)),
                place=str(place_of(self.pool, run)),
            )
        )
        return output


def _result_of(state: State) -> Any:
    """What the task returned. Raises what it raised."""
    held = state.data  # `state.result()` crosses to another thread and back, also for what is at hand
    return held.result if state.is_completed() and isinstance(held, ResultRecord) else state.result()


def _worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StoreError | ContainerLostError) or not isinstance(error, StagegateError)


def _worth_a_container(own: int) -> Callable[[Any, Any, Any], bool]:
    """A lost container is replaced; others have the step's own retries. Prefect takes only plain functions."""

    def worth(task: Any, run: Any, state: Any) -> bool:
        lost = isinstance(state.result(raise_on_failure=False), ContainerLostError)
        return lost or (run.run_count <= own and _worth_a_retry(task, run, state))

    return worth


def _pending_names(inputs: dict[str, Any]) -> str:
    return ", ".join(sorted({value.step for value in inputs.values() if isinstance(value, Pending)}))
