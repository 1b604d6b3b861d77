"""One served platform: database, server, pools, workers, results; brought up in order, watched, taken down."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError, StagegateError
from tasks.orchestration.serving import folders, private
from tasks.orchestration.serving.automations import check_address, make_automations
from tasks.orchestration.serving.children import Child, adopt_orphans, bury, descendants, end_all
from tasks.orchestration.serving.containers import end_containers
from tasks.orchestration.serving.images import is_built, is_current
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.left_behind import ANSWER_WITHIN_S, mark_ended, mark_silent
from tasks.orchestration.serving.names import ImageKind, image_name
from tasks.orchestration.serving.network import LOOPBACK, ensure_network, refuse_taken
from tasks.orchestration.serving.postgres import Cluster
from tasks.orchestration.serving.profile import leave_profile, write_profile
from tasks.orchestration.serving.server import quiet_environment, server_child, wait_until_ready
from tasks.orchestration.serving.worker import pools_here, worker_child

Say = Callable[[str], None]
USER = "stagegate"
NEEDED = (ImageKind.CORE, ImageKind.TF)
LOOK_EVERY_S = 0.5
CHILD_GRACE_S = 20.0


class Status(Frozen):
    """What other commands need to know of a serve that runs; the file is gone when it has ended."""

    pid: int
    url: str
    layout: Layout
    deployments: tuple[str, ...]
    workers: tuple[str, ...]
    profile_in_use: bool


@dataclass
class Served:
    """One serve. `database`: a URL, `sqlite`, or None for a PostgreSQL of its own."""

    layout: Layout
    say: Say
    database: str | None = None
    notify: str | None = None
    children: list[Child] = field(default_factory=list)
    auth: str = field(default="", repr=False)
    ending: bool = False

    def run(self, ready: Callable[[Status], None]) -> None:
        """Bring everything up, call `ready`, watch until a signal. Raises what keeps a part from starting."""
        check_address(self.notify)
        if self.layout.engine == "docker":
            self._check_images()
            ensure_network(self.layout.network, self.layout.subnet)
        with locked(self.layout.home), self._signals():
            refuse_taken(self.layout.host, self.layout.port)
            for line in folders.prepare(self.layout):
                self.say(line)
            try:
                status = self._up()
                ready(status)
                self._watch()
            except KeyboardInterrupt:
                self.say("stopping")
            finally:
                self._down()

    def _up(self) -> Status:
        adopt_orphans()
        self.auth = auth = private.read_or_make(self.layout.home / "auth", prefix=f"{USER}:")
        server = server_child(self.layout, auth, self._database())
        self._start(server)
        wait_until_ready(server, self.layout, auth)
        self.say(f"server: {self.layout.api_url}")
        in_use = write_profile(self.layout.api_url, auth)
        deployments = set_up(self.layout, auth, self.notify)
        self.say(f"deployments: {len(deployments)}")
        self._start_results()
        pools = pools_here(self.layout)
        for pool in pools:
            self._start(worker_child(pool, self.layout, auth))
        url = self.layout.api_url.removesuffix("/api")
        status = Status(
            pid=os.getpid(),
            url=url,
            layout=self.layout,
            deployments=deployments,
            workers=pools,
            profile_in_use=in_use,
        )
        private.write(status_file(self.layout.home), status.model_dump_json(indent=2))
        return status

    def _database(self) -> str:
        if self.database == "sqlite":
            self.say("database: SQLite, good for one worker; two of them lock each other out")
            return f"sqlite+aiosqlite:///{self.layout.home / 'prefect' / 'prefect.db'}"
        if self.database:
            self.say("database: the one that was named")
            return self.database
        child, url = Cluster(self.layout.home).start()
        self.children.append(child)
        self.say(f"database: PostgreSQL in {self.layout.home / 'postgres'}")
        return url

    def _start_results(self) -> None:
        if self.layout.results_url is None:
            return
        port = self.layout.results_url.rpartition(":")[2].strip("/")
        refuse_taken(LOOPBACK, int(port))
        module = "tasks.orchestration.serving.results_site"
        command = (sys.executable, "-m", module, str(self.layout.results), port)
        log = self.layout.home / "logs" / "results.log"
        self._start(Child("results", command, quiet_environment(self.layout), log))

    def _start(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def _watch(self) -> None:
        began, counted = datetime.now(UTC), False
        while True:
            time.sleep(LOOK_EVERY_S)
            if not counted and datetime.now(UTC) - began > timedelta(seconds=ANSWER_WITHIN_S):
                mark_silent(began, self.layout, self.auth)
                counted = True
            for child in self.children:
                if line := child.mend():
                    self.say(line)
            bury({child.process.pid for child in self.children})

    def _down(self) -> None:
        """Workers first: they end what they run while the server still listens."""
        self.ending = True
        workers = [child for child in self.children if child.name.startswith("worker")]
        for child in workers:
            child.ask_to_end()
        if self.layout.engine == "docker" and workers:
            with suppress(StagegateError):
                mark_ended(end_containers(self.layout.api_url, self.say), self.layout, self.auth)
        for child in reversed(self.children):
            child.stop()
        end_all(descendants(os.getpid()), CHILD_GRACE_S)
        with suppress(FileNotFoundError):
            status_file(self.layout.home).unlink()
        leave_profile(self.layout.api_url)
        self.say("stopped")

    def _check_images(self) -> None:
        missing = [image_name(kind) for kind in NEEDED if not is_built(image_name(kind))]
        if missing:
            raise ConfigError(
                "are not built",
                where="container images",
                expected=", ".join(missing),
                remedy="Build them: make images. Or serve without containers: --engine process.",
            )
        stale = [image_name(kind) for kind in NEEDED if not is_current(image_name(kind))]
        if stale:
            self.say(f"images hold other code than this tree: {', '.join(stale)}; make images renews them")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """A handler of our own, also where a script started us with signals ignored: children begin with none."""

        def end(*_: object) -> None:
            if not self.ending:
                self.ending = True
                raise KeyboardInterrupt

        hang_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)  # nohup
        before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM, *hang_up)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def set_up(layout: Layout, auth: str, notify: str | None = None, *, keep_notify: bool = False) -> tuple[str, ...]:
    """Pools, deployments and automations on the server of a layout; the names of the deployments."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from tasks.orchestration.serving.deployments import deploy_all

    with temporary_settings({PREFECT_API_URL: layout.api_url, PREFECT_API_AUTH_STRING: auth}):
        deployments = deploy_all(layout)
        make_automations(notify, keep=keep_notify)
    return deployments


def status_file(home: Path) -> Path:
    """Where a serve says what it is."""
    return home / "serve.json"


def read_status(home: Path) -> Status:
    """The serve that runs in a folder. Raises ConfigError where none does."""
    try:
        return Status.model_validate_json(status_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("no serve runs here", where=str(home), remedy="Run `stagegate serve` first.") from error


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """One serve for each folder. Raises ConfigError while another one has it; a dead one has nothing."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise ConfigError(
                "is served already",
                where=str(home),
                found=f"process {lock.read().strip() or '?'}",
                remedy="Stop that one, or choose another --home and --port.",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
