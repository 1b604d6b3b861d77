"""One step for many parts: one after the other in this process, beside each other in containers."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from tasks.orchestration.run import current_run
from tasks.orchestration.signals import polite

BESIDE_EACH_OTHER = 8  # calls that wait for a container; how many run at once is the queue's own limit
LOOK_EVERY_S = 0.5
Part = TypeVar("Part")


def each(call: Callable[[Part], Any], parts: Iterable[Part]) -> list[Any]:
    """`call(part)` for every part, results in the order of the parts.

    Raises what the first failing part (in their order) raised; parts that have begun by then are waited for. A signal
    asks all of them to stop, as it does for a step.
    """
    run, parts = current_run(), list(parts)
    if run.settings.executor != "pools" or len(parts) < 2:
        return [call(part) for part in parts]
    size = min(BESIDE_EACH_OTHER, len(parts))
    with polite(run.stop), ThreadPoolExecutor(size, thread_name_prefix="part") as threads:
        waiting = [threads.submit(copy_context().run, call, part) for part in parts]
        try:
            return [_result(future) for future in waiting]
        finally:
            for future in waiting:
                future.cancel()


def _result(future: Future) -> Any:
    """As `future.result()`, with pauses in which a signal is heard."""
    while not wait([future], timeout=LOOK_EVERY_S).done:
        pass
    return future.result()
