"""Progress for people: a bar with ETA on a terminal, plain lines elsewhere. Always on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHARE_BETWEEN_LINES = 0.1


@contextmanager
def progress() -> Iterator[Callable[[str, float, str], None]]:
    """A function that is told (step, share done, one line) as often as one likes."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as bar:
            yield _bar_teller(bar)
    else:
        yield _line_teller()


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:>18}"),
        BarColumn(24),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[line]}"),
    )
    return Progress(*columns, console=console)


def _bar_teller(bar: Progress) -> Callable[[str, float, str], None]:
    tasks: dict[str, int] = {}

    def tell(step: str, share: float, line: str) -> None:
        if step not in tasks:
            tasks[step] = bar.add_task(step, total=1.0, line="")
        bar.update(tasks[step], completed=share, line=line)

    return tell


def _line_teller() -> Callable[[str, float, str], None]:
    last: dict[str, float] = {}

    def tell(step: str, share: float, line: str) -> None:
        if share < 1.0 and share - last.get(step, -1.0) < SHARE_BETWEEN_LINES:
            return
        last[step] = share
        print(f"{step} {100 * share:.0f} % {line}", file=sys.stderr, flush=True)

    return tell
