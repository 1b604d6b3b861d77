"""The command line as a user of a shell has it: processes of their own, a store and a Prefect home of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = f"#!/bin/sh\nexec '{sys.executable}' -c 'from tasks.cli.main import run; run()' \"$@\"\n"
OFFLINE = Path(__file__).parent / "offline"
ONE_WORKER = ("--device", "cpu", "--workers", "1")


@dataclass(frozen=True)
class Shell:
    """`api_url`: of a Prefect server that is there; without one each command starts its own."""

    folder: Path
    api_url: str = ""
    offline: bool = False

    def environment(self) -> dict[str, str]:
        """As of a user who has nothing but the program."""
        program = self.folder / "bin" / "stagegate"
        if not program.exists():
            program.parent.mkdir(parents=True)
            program.write_text(PROGRAM)
            program.chmod(0o755)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STAGEGATE_"))}
        paths = [str(OFFLINE)] * self.offline + [str(ROOT)]
        own |= {"PATH": f"{program.parent}:{own['PATH']}", "PYTHONPATH": os.pathsep.join(paths)}
        own |= {"PREFECT_HOME": str(self.folder / "prefect"), "STAGEGATE_STORE": str(self.folder / "store")}
        own |= {"PREFECT_API_URL": self.api_url} if self.api_url else {}
        return own | {"NETWORK_ATTEMPTS": str(self.folder / "attempts"), "OMP_NUM_THREADS": "1"}

    def start(self, *words: str) -> subprocess.Popen:
        """A process of its own, to be signalled."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, cwd=self.folder, env=self.environment(), text=True, **pipes)

    def run(self, *words: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err


def last_json(out: str) -> dict:
    """The answer of a command with `--json`."""
    return json.loads(out.splitlines()[-1])
