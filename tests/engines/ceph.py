"""A real S3 server for tests: Ceph with one monitor, one store in memory and one gateway; on loopback where not told.

Ready in about 15 s; what it holds is gone when it stops. Every daemon dies with the process that started it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "setpriv")
HOST = "127.0.0.1"
_PROBE_S = 5


def missing_programs() -> list[str]:
    """What is not installed of what the server needs."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Ceph:
    """Daemons, files and keys of one server below `folder`."""

    folder: Path
    host: str = HOST  # of the gateway; the other parts are on loopback
    key: str = ""
    secret: str = field(default="", repr=False)
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mon_port, self.mon_port_v1, self.port = free_ports(3)
        self.endpoint = f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start everything and make one user. Raises RuntimeError with the end of the log that matters."""
        self._lay_out()
        self._spawn("mon", "ceph-mon", "-i", "a", "-f")
        self._wait("mon", lambda: self._ask("ceph", "-s"), 60)
        osd = str(uuid.uuid4())
        self._run("ceph", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("osd", "ceph-osd", "-i", "0", "-f")
        self._wait("osd", lambda: "1 up" in self._ask("ceph", "osd", "stat"), 60)
        self.start_gateway()
        admin = ("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=stagegate", "--display-name=stagegate")
        keys = json.loads(self._run(*admin))["keys"][0]
        self.key, self.secret = keys["access_key"], keys["secret_key"]

    def start_gateway(self) -> None:
        """Start the part that speaks S3, on the same port each time."""
        self._spawn("rgw", "radosgw", "-n", "client.rgw.a", "-f")
        self._wait("rgw", self._gateway_answers, 90)

    def kill_gateway(self) -> None:
        """As a machine that loses power: no goodbye to anybody."""
        daemon = self.daemons.pop("rgw")
        daemon.kill()
        daemon.wait()

    def freeze_gateway(self) -> None:
        """The gateway still accepts connections, and never answers."""
        self.daemons["rgw"].send_signal(signal.SIGSTOP)

    def thaw_gateway(self) -> None:
        """It goes on."""
        self.daemons["rgw"].send_signal(signal.SIGCONT)

    def limit_objects(self, bucket: str, count: int) -> None:
        """Let a bucket hold no more objects than this; -1 lifts the limit."""
        quota = ("radosgw-admin", "-n", "client.rgw.a", "quota")
        where = ("--quota-scope=bucket", f"--bucket={bucket}", "--uid=stagegate")
        self._run(*quota, "set", *where, f"--max-objects={count}")
        self._run(*quota, "enable", *where)

    def stop(self) -> None:
        """End the daemons, the gateway first."""
        for name in [name for name in ("rgw", "osd", "mon") if name in self.daemons]:
            daemon = self.daemons.pop(name)
            daemon.send_signal(signal.SIGCONT)
            daemon.terminate()
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def environment(self) -> dict[str, str]:
        """What a client needs to find the server; nothing of the caller's own settings is left."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return own | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "NO_PROXY": self.host,
        }

    def _lay_out(self) -> None:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o700)
        fsid, keyring, monmap = str(uuid.uuid4()), str(self.folder / "keyring"), str(self.folder / "monmap")
        (self.folder / "ceph.conf").write_text(self._settings(fsid))
        address = f"[v2:{HOST}:{self.mon_port},v1:{HOST}:{self.mon_port_v1}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        everything = {part: "allow *" for part in ("mon", "osd", "mgr")}
        self._key("mon.", {"mon": "allow *"}, "--create-keyring")
        self._key("client.admin", everything)
        self._key("osd.0", {"mon": "allow profile osd", "osd": "allow *"})
        self._key("client.rgw.a", {"mon": "allow *", "osd": "allow *"})
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)

    def _settings(self, fsid: str) -> str:
        folder, address = self.folder, f"[v2:{HOST}:{self.mon_port},v1:{HOST}:{self.mon_port_v1}]"
        return f"""[global]
fsid = {fsid}
mon host = {address}
public addr = {HOST}
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
pid file = {folder}/$name.pid
log file = {folder}/$name.log
mon data = {folder}/mon
mon data avail crit = 0
mon allow pool size one = true
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
[client.rgw.a]
rgw data = {folder}/rgw
rgw frontends = beast endpoint={self.host}:{self.port} tcp_nodelay=1
rgw thread pool size = 16
"""

    def _key(self, name: str, may: dict[str, str], *options: str) -> None:
        caps = [word for part, what in may.items() for word in ("--cap", part, what)]
        self._run("ceph-authtool", *options, str(self.folder / "keyring"), "--gen-key", "-n", name, *caps)

    def _env(self) -> dict[str, str]:
        return os.environ | {"CEPH_CONF": str(self.folder / "ceph.conf")}

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self._env(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed ({done.returncode}): {done.stderr[-500:]}")
        return done.stdout

    def _ask(self, *command: str) -> str:
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, env=self._env(), capture_output=True, text=True, timeout=_PROBE_S)
            return done.stdout if done.returncode == 0 else ""
        return ""

    def _spawn(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            guarded = ("setpriv", "--pdeathsig", "KILL", "--", *command)
            self.daemons[name] = subprocess.Popen(
                guarded, env=self._env(), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _wait(self, name: str, ready: Callable[[], object], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if self.daemons[name].poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} does not answer: {(self.folder / f'{name}.out').read_text()[-500:]}")
            time.sleep(0.2)

    def _gateway_answers(self) -> bool:
        straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with straight.open(self.endpoint, timeout=2) as answer:
                return b"ListAllMyBuckets" in answer.read()
        except (urllib.error.URLError, OSError):
            return False
