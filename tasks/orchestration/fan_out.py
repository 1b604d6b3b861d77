"""One step for many parts: one after the other in this process, beside each other in containers."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from tasks.orchestration.run import current_run

BESIDE_EACH_OTHER = 8  # calls that wait for a container; how many run at once is the queue's own limit
Part = TypeVar("Part")


def each(call: Callable[[Part], Any], parts: Iterable[Part]) -> list[Any]:
    """`call(part)` for every part, results in the order of the parts.

    Raises what the first failing part (in their order) raised; parts that have begun by then are waited for.
    """
    parts = list(parts)
    if current_run().settings.executor != "pools" or len(parts) < 2:
        return [call(part) for part in parts]
    with ThreadPoolExecutor(min(BESIDE_EACH_OTHER, len(parts)), thread_name_prefix="part") as threads:
        waiting = [threads.submit(copy_context().run, call, part) for part in parts]
        try:
            return [future.result() for future in waiting]
        finally:
            for future in waiting:
                future.cancel()
