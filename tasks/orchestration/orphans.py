"""A step in a container whose flow has ended asks to be cancelled: nobody would take its answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectException
from prefect.states import Cancelling

LOOK_EVERY_S = 30.0


@contextmanager
def ended_with_its_flow(run: str, look_every_s: float = LOOK_EVERY_S) -> Iterator[None]:
    """Look now and then, beside the step, whether the flow that waits for it is still there."""
    done, settings = threading.Event(), copy_context()  # Prefect's settings of this moment are in it
    threading.Thread(target=settings.run, args=(_watch, run, done, look_every_s), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(run: str, done: threading.Event, look_every_s: float) -> None:
    asked = False
    while not asked and not done.wait(look_every_s):
        with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
            flow = _flow_of(client, UUID(run))
            if flow is None:  # started by hand
                return
            # The same way as for a flow that was stopped: Prefect sends the signal, the step saves its progress.
            if client.read_flow_run(flow).state.is_final() and not done.is_set():
                client.set_flow_run_state(UUID(run), Cancelling(message="The flow that waited for it has ended."))
                asked = True


def _flow_of(client: SyncPrefectClient, run: UUID) -> UUID | None:
    task = client.read_flow_run(run).parent_task_run_id
    return None if task is None else client.read_task_run(task).flow_run_id
