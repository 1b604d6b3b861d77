"""One worker process as the run sees it: started without signals, spoken to over a pipe."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import suppress

from tasks.tiles.messages import Close, Halt, Ready
from tasks.tiles.settings import WorkerSettings
from tasks.tiles.worker import serve

_ASKS = (signal.SIGINT, signal.SIGTERM)


class Hand:
    """One worker process and the line to it."""

    def __init__(self, settings: WorkerSettings, number: int):
        context = multiprocessing.get_context("spawn")
        self.number, self.leaving = number, False
        self.ready: Ready | None = None
        self.line, far = context.Pipe()
        name = f"tiles-worker-{number}"
        self._process = context.Process(target=serve, args=(far, settings, number), name=name, daemon=True)
        # A child starts with the blocked signals of its parent: Ctrl-C at a terminal reaches the run alone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        far.close()

    def say(self, message: object) -> None:
        """A worker that is gone hears nothing; that it is gone shows when it is listened to."""
        with suppress(OSError):
            self.line.send(message)

    def heard(self) -> Iterator[object]:
        """All that it has said. Raises EOFError once it is gone and everything has been heard."""
        while self.line.poll():
            yield self.line.recv()

    def leave(self) -> None:
        """Ask it to finish the running batch, hand back the others and end."""
        self.leaving = True
        self.say(Halt())
        self.say(Close())

    def end(self, grace_s: float) -> int | None:
        """Wait for its end, then force it; the exit status."""
        self._process.join(grace_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.line.close()
        return self._process.exitcode
