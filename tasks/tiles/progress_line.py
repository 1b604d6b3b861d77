"""How far a run is: one line that is renewed on a terminal, a line in the log every half minute elsewhere."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

log = logging.getLogger(__name__)
TERMINAL_S, LOG_S = 1.0, 30.0
WINDOW_S = 60.0  # of the moving average


class ProgressLine:
    """Counts tiles; the rate is a moving average that leaves out the tiles that were skipped."""

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self._total, self._clock = total, clock
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._done = self._skipped = self._failed = 0
        self._shown = clock()
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def count(self, status: str) -> None:
        """One more tile reached this status."""
        self._done += 1
        self._skipped += status == "resumed"
        self._failed += status == "failed"
        now = self._clock()
        if now - self._shown >= (TERMINAL_S if self._terminal else LOG_S):
            self._mark(now)
            self._show()
            self._shown = now

    def close(self) -> None:
        """Leave the last state on the terminal."""
        if self._terminal:
            self._mark(self._clock())
            self._show()
            self._stream.write("\n")

    @property
    def text(self) -> str:
        """For example `120/400 tiles, 1 failed, 9.3 tiles/s, 30 s left`."""
        rate = self.rate
        left = "" if rate == 0 else f", {(self._total - self._done) / rate:.0f} s left"
        return f"{self._done}/{self._total} tiles, {self._failed} failed, {rate:.1f} tiles/s{left}"

    @property
    def rate(self) -> float:
        """Tiles per second over the last minute; 0 while there is nothing to divide by."""
        (start, before), computed = self._marks[0], self._done - self._skipped
        seconds = self._clock() - start
        return (computed - before) / seconds if seconds > 0 else 0.0

    def _mark(self, now: float) -> None:
        self._marks.append((now, self._done - self._skipped))
        while len(self._marks) > 1 and now - self._marks[0][0] > WINDOW_S:
            self._marks.popleft()

    def _show(self) -> None:
        if self._terminal:
            self._stream.write(f"\r{self.text}\x1b[K")
            self._stream.flush()
        else:
            log.info(self.text)
