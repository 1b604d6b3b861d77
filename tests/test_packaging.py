"""The wheel holds the two import packages and the files they need, and nothing else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_holds_flows_and_tasks_and_their_data(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"flows", "tasks"}
    assert "tasks/subsidence/templates/report.html.j2" in names


def test_import_rules_hold():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_no_pickle_on_any_default_path():
    """Only the explicit converter unpickles; torch is told to take tensors only."""
    reads = re.compile(
        r"^\s*import pickle\b|\bpickle\.loads?\(|\bUnpickler\(|allow_pickle=True|joblib\.load"
        r"|torch\.load\((?!.*weights_only=True)"
    )
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / "tasks").rglob("*.py")
        if (lines := [line.strip() for line in path.read_text().splitlines() if reads.search(line)])
    }
    assert set(found) <= {"tasks/subsidence/handoff/convert_worker.py"}, found
