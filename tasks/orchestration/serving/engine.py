"""The Docker engine: one connection, one typed error, and the settings every container runs with."""

from functools import cache
from typing import TYPE_CHECKING

from tasks.contracts.errors import DependencyError

if TYPE_CHECKING:
    from docker import DockerClient

USER = "10001:10001"
SECONDS_TO_BUILD = 3600  # a quiet line of a build may last this long
START = "Start dockerd, or set DOCKER_HOST."
# Arguments of `containers.run`: nothing to gain, nothing to write but /tmp, nobody to call.
HARDENED = {
    "user": USER,
    "read_only": True,
    "tmpfs": {"/tmp": "size=256m"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 256,
    "mem_limit": "1g",
    "network_mode": "none",
}


class EngineError(DependencyError):
    """The Docker engine does not answer, or refused what it was asked to do."""


@cache
def engine() -> "DockerClient":
    """The engine that DOCKER_HOST names. Raises DependencyError without the client, EngineError without an answer."""
    try:
        import docker
    except ImportError as error:
        remedy = "Install the extra: pip install 'stagegate[serve]'."
        raise DependencyError("is not installed", where="package docker", remedy=remedy) from error
    try:
        client = docker.from_env(timeout=SECONDS_TO_BUILD)
        client.ping()
    except docker.errors.DockerException as error:
        raise EngineError("does not answer", where="Docker engine", found=error, remedy=START) from error
    return client


def run_once(image: str, command: list[str], **options: object) -> str:
    """What a command prints in a new hardened container. Raises EngineError where it fails."""
    import docker

    try:
        output = engine().containers.run(image, command, remove=True, stderr=False, **{**HARDENED, **options})
    except docker.errors.DockerException as error:
        detail = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip() or error
        raise EngineError("container failed", where=f"{image} {' '.join(command)}", found=detail) from error
    return output.decode()
