"""Call the console script in this process, as a shell would."""

import json
import sys

from tasks.cli.main import run


def stagegate(monkeypatch, capsys, *words: str) -> tuple[int, dict | None, str]:
    """(exit code, JSON of the last line or None, everything on stderr)."""
    monkeypatch.setattr(sys, "argv", ["stagegate", *words])
    code = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code or 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.strip()]
    return code, json.loads(lines[-1]) if "--json" in words and lines else None, out + err
