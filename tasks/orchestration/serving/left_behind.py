"""Runs whose process or container is gone and that no automation watches: told by whoever knows that they are gone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from tasks.orchestration.serving.layout import Layout

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ANSWER_WITHIN_S = 120.0  # four beats of a run that lives
HEARTBEAT = "prefect.flow-run.heartbeat"
PAGE = 200


def mark_ended(runs: Iterable[str], layout: Layout, auth: str) -> None:
    """Mark runs Crashed whose containers were ended before they could tell."""
    with _client(layout, auth) as client:
        for run in runs:
            _mark(client, UUID(run), "stagegate serve was stopped.")


def mark_silent(since: datetime, layout: Layout, auth: str) -> None:
    """Mark runs Crashed that began before `since` and have not told since then that they live.

    The server forgets what it waited for when it is away for longer than a run may be silent.
    """
    from prefect.client.schemas.filters import FlowRunFilter

    under_way = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    with _client(layout, auth) as client:
        for run in client.read_flow_runs(flow_run_filter=under_way, limit=PAGE):
            if run.state.timestamp < since and not _beats(client, run.id, since):
                _mark(client, run.id, "Was under way when the server ended, and has not told since that it lives.")


@contextmanager
def _client(layout: Layout, auth: str) -> Iterator["SyncPrefectClient"]:
    """The server's client. A server that does not answer is no reason for a serve to end, or to end badly."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    settings = {PREFECT_API_URL: layout.api_url, PREFECT_API_AUTH_STRING: auth}
    quiet = suppress(httpx.HTTPError, PrefectException)
    with temporary_settings(settings), quiet, get_client(sync_client=True) as client:
        yield client


def _beats(client: "SyncPrefectClient", run: UUID, since: datetime) -> bool:
    wanted = {
        "event": {"name": [HEARTBEAT]},
        "resource": {"id": [f"prefect.flow-run.{run}"]},
        "occurred": {"since": since.isoformat()},
    }
    return bool(client.request("POST", "/events/filter", json={"filter": wanted, "limit": 1}).json()["events"])


def _mark(client: "SyncPrefectClient", run: UUID, why: str) -> None:
    from prefect.states import Crashed

    state = client.read_flow_run(run).state
    if state is None or not (state.is_final() or state.is_scheduled()):  # what is scheduled again goes on by itself
        client.set_flow_run_state(run, Crashed(message=why), force=True)
