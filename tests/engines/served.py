"""A real `stagegate serve` for tests, in a folder of its own, with the client settings to call it."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.engines.ceph import free_ports

ROOT = Path(__file__).parents[2]
STAGEGATE = (sys.executable, "-c", "from tasks.cli.main import run; run()")
READY_WITHIN_S = 240


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ignore_interrupts() -> None:
    """As a script does for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Serve:
    """One `stagegate serve` below a folder; with processes instead of containers unless `engine` says otherwise."""

    folder: Path
    engine: tuple[str, ...] = ("--engine=process",)
    process: subprocess.Popen | None = None
    status: dict = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The server's own folder."""
        return self.folder / "server"

    @property
    def auth(self) -> tuple[str, str]:
        """User and password."""
        user, _, password = (self.home / "auth").read_text().partition(":")
        return user, password

    @property
    def api_url(self) -> str:
        """What clients call."""
        return f"{self.status['url']}/api"

    def environment(self) -> dict[str, str]:
        """A user of its own, who can import the flows of the tests."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STAGEGATE_"))}
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        return own | {"PREFECT_HOME": str(self.folder / "user"), "PYTHONPATH": paths, "DO_NOT_TRACK": "1"}

    def client_environment(self) -> dict[str, str]:
        """The same on another machine: address and password, no profile."""
        api = {"PREFECT_API_URL": self.api_url, "PREFECT_API_AUTH_STRING": ":".join(self.auth)}
        return self.environment() | api | {"PREFECT_HOME": str(self.folder / "elsewhere")}

    def command(self, *words: str) -> list[str]:
        """A serve of this folder on free ports."""
        port, results = free_ports(2)
        places = [f"--{name}={self.folder / name}" for name in ("store", "results", "data-root")]
        ports = [f"--port={port}", f"--results-port={results}"]
        return [*STAGEGATE, "serve", *self.engine, f"--home={self.home}", *places, *ports, "--json", *words]

    def start(self, *words: str) -> "Serve":
        """Start it and wait until it says that it is ready."""
        self.process = subprocess.Popen(
            self.command(*words),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=ignore_interrupts,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        late = threading.Timer(READY_WITHIN_S, self.process.terminate)
        late.start()
        line = self.process.stdout.readline()
        late.cancel()
        assert line, f"serve did not come up: {self.said}"
        status = json.loads(line)
        assert status["status"] == "ready", f"serve did not come up: {status['error']}"
        self.status = status
        return self

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(120)

    @contextmanager
    def client(self):
        """Prefect's client for this server, in this process."""
        from prefect.client.orchestration import get_client

        settings = {PREFECT_API_URL: self.api_url, PREFECT_API_AUTH_STRING: ":".join(self.auth)}
        with temporary_settings(settings), get_client(sync_client=True) as client:
            yield client

    def _listen(self) -> None:
        for line in self.process.stderr:
            self.said.append(line)
