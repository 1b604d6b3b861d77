"""An own PostgreSQL cluster below the server's folder, on loopback, with a password; it outlives each serve."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.contracts.errors import ConfigError, DependencyError
from tasks.orchestration.serving import private
from tasks.orchestration.serving.children import Child, PartError

HOST = "127.0.0.1"
NAME = "stagegate"  # of its superuser
DATABASE = "prefect"
PACKAGE = "postgresql"
DEBIAN = Path("/usr/lib/postgresql")
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Cluster:
    """Folder `postgres`, password and service file below `home`."""

    home: Path

    @property
    def folder(self) -> Path:
        """The data."""
        return self.home / "postgres"

    @property
    def service_file(self) -> Path:
        """For libpq: `PGSERVICEFILE=... pg_dump service=stagegate`."""
        return self.home / "pg_service.conf"

    @property
    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        return "postgres" if os.getuid() == 0 else None

    @cached_property
    def programs(self) -> Path:
        """The folder of `initdb` and `postgres`: the release that made the data, else the newest."""
        return find_programs((self.folder / "PG_VERSION"), self.folder)

    def start(self) -> tuple[Child, str]:
        """Make the cluster where there is none, start it on a free port; the child and the URL for the server."""
        password = self._made()
        port = _free_port()
        options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", "log_timezone": "UTC"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = (str(self.programs / "postgres"), "-D", str(self.folder), *words)
        child = Child("postgres", command, _environment(), self.home / "logs" / "postgres.log", signal.SIGINT, 60.0)
        child.user = self.user
        child.start()
        self._describe(port, password)
        self._wait(child, port)
        self._database(port, password)
        return child, f"postgresql+asyncpg://{NAME}:{password}@{HOST}:{port}/{DATABASE}"

    def _made(self) -> str:
        password = private.read_or_make(self.home / "postgres.password")
        if not (self.folder / "PG_VERSION").exists():
            self._initdb()
        return password

    def _initdb(self) -> None:
        """Under another name first: a cluster that was half made is never taken for a whole one."""
        unfinished, secret = self.home / "postgres.new", self.home / "postgres.new.password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        shutil.copyfile(self.home / "postgres.password", secret)
        for path, mode in ((unfinished, 0o700), (secret, 0o600)):
            path.chmod(mode)
            if self.user:
                shutil.chown(path, self.user, self.user)
        access = ("-A", "scram-sha-256", f"--pwfile={secret}", "-U", NAME)
        command = (str(self.programs / "initdb"), "-D", str(unfinished), "-E", "UTF8", "--locale=C.UTF-8", *access)
        try:
            done = subprocess.run(
                command, user=self.user, env=_environment(), cwd="/", capture_output=True, text=True, **self._groups()
            )
        finally:
            secret.unlink()
        if done.returncode:
            raise PartError("initdb failed", where=str(self.folder), found=done.stderr.strip()[-800:])
        unfinished.rename(self.folder)

    def _groups(self) -> dict:
        """subprocess keeps root's groups unless told otherwise."""
        return {"group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}

    def _describe(self, port: int, password: str) -> None:
        lines = {"host": HOST, "port": port, "dbname": DATABASE, "user": NAME, "password": password}
        text = "\n".join(f"{name}={value}" for name, value in lines.items())
        private.write(self.service_file, f"[stagegate]\n{text}\n")

    def _wait(self, child: Child, port: int) -> None:
        end = time.monotonic() + READY_WITHIN_S
        while subprocess.run(
            [self.programs / "pg_isready", "-q", "-h", HOST, "-p", str(port)], env=_environment()
        ).returncode:
            if not child.alive() or time.monotonic() > end:
                child.stop()
                raise PartError("does not start", where="PostgreSQL", found=child.tail(), remedy=f"Log: {child.log}")
            time.sleep(0.1)

    def _database(self, port: int, password: str) -> None:
        environment = {**_environment(), "PGPASSWORD": password}
        address = ("-h", HOST, "-p", str(port), "-U", NAME)
        asked = f"select 1 from pg_database where datname = '{DATABASE}'"
        there = _run([self.programs / "psql", *address, "-d", "postgres", "-Atc", asked], environment)
        if not there:
            _run([self.programs / "createdb", *address, DATABASE], environment)


def find_programs(version_file: Path, folder: Path) -> Path:
    """Where PostgreSQL's programs are. Raises DependencyError without them, ConfigError for data of another release."""
    releases = {path.parents[1].name: path.parent for path in DEBIAN.glob("*/bin/initdb")}
    if version_file.exists():
        made_by = version_file.read_text().strip()
        if releases and made_by not in releases:
            raise ConfigError(
                "was made by another release of PostgreSQL",
                where=str(folder),
                expected=f"release {made_by}",
                found=f"release {', '.join(releases)}",
                remedy=f"apt-get install {PACKAGE}-{made_by}, or pg_dump there and restore (docs/operations.md).",
            )
        if releases:
            return releases[made_by]
    if releases:
        return releases[max(releases, key=float)]
    if (program := shutil.which("initdb")) is not None:
        return Path(program).resolve().parent
    raise DependencyError(
        "is not installed",
        where="PostgreSQL",
        remedy=f"apt-get install {PACKAGE}, or name another database: --database URL (or --database sqlite, one user).",
    )


def _run(command: list, environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise PartError("refused", where=f"PostgreSQL {Path(command[0]).name}", found=done.stderr.strip()[-400:])
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Nothing of the caller's own settings for PostgreSQL."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG") and name != "LANGUAGE"}
    return own | {"LC_ALL": "C.UTF-8"}


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]
