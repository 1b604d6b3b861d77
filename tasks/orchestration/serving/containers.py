"""Containers that workers have started: ended politely, so that their steps leave their progress."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tasks.orchestration.serving.engine import engine

GRACE_S = 60
LABEL = "io.prefect.flow-run-id"


def end_containers(api_url: str, say: Callable[[str], None]) -> list[str]:
    """Ask every container of this server's flows and steps to end, wait, and insist; the flow runs they were of."""
    from docker.errors import DockerException

    def end(container) -> None:
        with suppress(DockerException):  # it may be gone meanwhile
            container.stop(timeout=GRACE_S)

    running = []
    with suppress(DockerException):
        running = [each for each in engine().containers.list(filters={"label": LABEL}) if _calls(each, api_url)]
        if running:
            say(f"{len(running)} containers are asked to save their progress and end")
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(end, running))
    return [each.labels[LABEL] for each in running]


def _calls(container, api_url: str) -> bool:
    return f"PREFECT_API_URL={api_url}" in (container.attrs["Config"]["Env"] or [])
