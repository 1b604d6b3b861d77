"""What the dashboard shows of a run: summary, tables, pictures. Does nothing where no Prefect run is active."""

import base64
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

from tasks.orchestration.run import Run, StepRecord

SECONDS_BETWEEN_UPDATES = 2.0
SHOWN_NAMES = 2  # of files in a cell of the lineage table


def show_markdown(key: str, text: str, description: str) -> None:
    """One page of text."""
    if _active():
        create_markdown_artifact(text, key=_slug(key), description=description)


def show_table(key: str, rows: list[dict], description: str) -> None:
    """One table."""
    if _active():
        create_table_artifact(rows, key=_slug(key), description=description)


def show_link(key: str, link: str, description: str) -> None:
    """One link."""
    if _active():
        create_link_artifact(link, key=_slug(key), link_text=description, description=description)


def show_image(key: str, png: bytes, description: str) -> None:
    """One picture, carried inside the artifact so that no file server is needed."""
    if _active():
        address = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        create_image_artifact(image_url=address, key=_slug(key), description=description)


def say(lines: list[str]) -> None:
    """Lines that somebody asked for: on stderr, and in the log of the run where one is active."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
    if lines and _active():
        get_run_logger().info("\n".join(lines))


def log(line: str) -> None:
    """One line in the log of the run; the console has its own."""
    if _active():
        get_run_logger().info(line)


def lineage_rows(steps: list[StepRecord]) -> list[dict[str, str]]:
    """Step, inputs and outputs by short digest, for the lineage table; the longest last, as cells do not wrap."""
    return [
        {
            "step": step.step,
            "status": step.status,
            "time": duration(step.seconds),
            "inputs": _few(step.inputs),
            "outputs": _few(step.outputs),
            "why": step.why,
            "place": step.place,
            "all inputs": _few(step.inputs, len(step.inputs)),
            "all outputs": _few(step.outputs, len(step.outputs)),
        }
        for step in steps
    ]


def duration(seconds: float) -> str:
    """A time as a person says it: 0.04 s, 12.3 s, 2 min 5 s, 1 h 10 min."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same columns as a table inside a page; empty for no rows."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def progress_teller(
    run: Run, also: Callable[[str, float, str], None] | None = None
) -> Callable[[str, float, str], None]:
    """Progress for the dashboard and the log, at most every two seconds; `also` gets every call."""
    last: dict[str, float] = {}
    artifacts: dict[str, UUID] = {}

    def tell(step: str, share: float, line: str) -> None:
        if also is not None:
            also(step, share, line)
        if not _active() or (share < 1.0 and time.monotonic() - last.get(step, 0.0) < SECONDS_BETWEEN_UPDATES):
            return
        last[step] = time.monotonic()
        percent = round(100 * share, 1)
        with suppress(httpx.HTTPError):  # a server that is restarting does not end a step
            if step in artifacts:
                update_progress_artifact(artifacts[step], progress=percent, description=line)
            else:
                artifacts[step] = create_progress_artifact(percent, key=_slug(f"progress-{step}"), description=line)
        get_run_logger().info("%s %3.0f %% %s", step, percent, line)

    return tell


def _active() -> bool:
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def _few(names: Sequence[str], shown: int = SHOWN_NAMES) -> str:
    """The first names, each once: a step may get one file from several others."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "-") + more


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _slug(key: str) -> str:
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
