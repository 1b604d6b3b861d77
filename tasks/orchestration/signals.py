"""The first SIGTERM or SIGINT asks a running step to save its progress and end; the second one ends it at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
ASKS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def polite(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first signal; Prefect's own handlers are back in place afterwards. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        log.warning("%s: saving progress, then stopping", signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in ASKS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
