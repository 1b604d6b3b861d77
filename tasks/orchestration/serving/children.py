"""Child processes of a served Stagegate: started with clean signals, watched, and ended with all that they started."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.errors import DependencyError

BACK_OFF_S = (1, 2, 5, 10, 30)  # before each further start of a part that keeps dying
STEADY_S = 60.0  # a part that lived this long has not failed to start
LOG_TAIL = 1200
KILLED_WITHIN_S = 5.0
PR_SET_CHILD_SUBREAPER = 36


class PartError(DependencyError):
    """A part of the served platform did not start, or does not answer."""


@dataclass
class Child:
    """One long-lived program. `user` is for root only; `goodbye` is the signal that asks it to end well."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    log: Path
    goodbye: signal.Signals = signal.SIGTERM
    grace_s: float = 15.0
    user: str | None = None
    folder: Path = Path("/")
    process: subprocess.Popen | None = None
    failures: int = 0
    started: float = 0.0
    again_at: float = 0.0

    def start(self) -> None:
        """Start it. It is asked to end when this process dies, so call this from the main thread."""
        words = (*_guard(self.goodbye, self.user), *self.command)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words,
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started = time.monotonic()

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def mend(self) -> str | None:
        """Start it again where it has died and its pause is over; what to tell about it, if anything."""
        if self.alive():
            return None
        now = time.monotonic()
        if not self.again_at:
            self.failures = 0 if now - self.started > STEADY_S else self.failures
            pause = BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
            self.failures, self.again_at = self.failures + 1, now + pause
            return f"{self.name} ended ({self.process.returncode}); starts again in {pause} s; log: {self.log}"
        if now >= self.again_at:
            self.again_at = 0.0
            self.start()
            return f"{self.name} started again"
        return None

    def ask_to_end(self) -> None:
        """Send the signal that it ends well on."""
        if self.alive():
            self.process.send_signal(self.goodbye)

    def stop(self) -> None:
        """Ask it to end, wait, and insist; then the same for what it had started."""
        if self.process is None:
            return
        family = descendants(self.process.pid)
        self.ask_to_end()
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            family |= descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
        end_all(family, self.grace_s)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:].strip() if self.log.exists() else ""


def adopt_orphans() -> None:
    """Let children of dead children become ours, so that none of them is out of reach at the end (Linux)."""
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury(known: set[int]) -> None:
    """Take the exit status of adopted children that have ended."""
    for pid, _ in descendants(os.getpid(), deep=False):
        if pid not in known:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def descendants(pid: int, deep: bool = True) -> set[tuple[int, str]]:
    """Processes below one, as (process id, start time); empty where there is no /proc."""
    children: dict[int, list[tuple[int, str]]] = {}
    for each, parent, began in _processes():
        children.setdefault(parent, []).append((each, began))
    found, ahead = set(children.get(pid, [])), [each for each, _ in children.get(pid, [])]
    while deep and ahead:
        below = children.get(ahead.pop(), [])
        found |= set(below)
        ahead += [each for each, _ in below]
    return found


def end_all(family: set[tuple[int, str]], grace_s: float) -> None:
    """Ask processes to end, wait, and insist. A process id that somebody else has by now is left alone."""
    end = time.monotonic() + grace_s
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in _living(family):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, kind)
        while _living(family) and time.monotonic() < end:
            time.sleep(0.1)
        for pid, _ in family:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        end = time.monotonic() + KILLED_WITHIN_S


def _living(family: set[tuple[int, str]]) -> set[tuple[int, str]]:
    return family & {(pid, began) for pid, _, began in _processes(zombies=False)} if family else set()


def _processes(zombies: bool = True) -> Iterator[tuple[int, int, str]]:
    """(process id, parent, start time) of every process of this machine."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if zombies or fields[0] != "Z":
                yield int(stat.parent.name), int(fields[1]), fields[19]


def _guard(goodbye: signal.Signals, user: str | None) -> tuple[str, ...]:
    """What lets a program die with us, and puts it under another user."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user is not None:
            raise DependencyError("is not installed", where="setpriv", remedy="apt-get install util-linux")
        return ()
    as_user = () if user is None else (f"--reuid={user}", f"--regid={_group(user)}", "--clear-groups")
    return (setpriv, *as_user, "--pdeathsig", goodbye.name.removeprefix("SIG"), "--")


def _group(user: str) -> str:
    """The user's own group; a bare number, such as that of the containers, is its own group."""
    if user.isdigit():
        return user
    import pwd

    return str(pwd.getpwnam(user).pw_gid)
