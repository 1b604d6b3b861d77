"""The console script in this process, for runs that several tests look at."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from tasks.cli.main import run

ONE_WORKER = ("--device", "cpu", "--workers", "1")


class Answer(NamedTuple):
    """What a command returned, its JSON, and all that people could read."""

    code: int
    told: dict
    text: str


def stagegate(folder: Path, *words: str) -> Answer:
    """`stagegate WORDS --json` over the store below `folder`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["stagegate", *words, "--json"])
        patch.setenv("STAGEGATE_STORE", str(folder / "store"))
        try:
            run()
        except SystemExit as stop:
            code = stop.code or 0
    lines = out.getvalue().splitlines()
    return Answer(code, json.loads(lines[-1]) if lines else {}, out.getvalue() + err.getvalue())


def refine(folder: Path, checkpoint: Path, tiles: Path, output: Path, *words: str) -> Answer:
    """`stagegate tiles refine` with one worker on the CPU."""
    where = ("--checkpoint", str(checkpoint), "--input_dir", str(tiles), "--output_dir", str(output))
    return stagegate(folder, "tiles", "refine", *where, *ONE_WORKER, *words)


def books(output: Path, name: str) -> dict:
    """One of the documents that a run leaves."""
    return json.loads((output / ".stagegate" / name).read_text())
