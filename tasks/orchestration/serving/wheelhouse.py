"""Folders of wheels for the images: resolved on the host under constraints.txt, kept between builds."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import DependencyError
from tasks.orchestration.serving.sources import project, project_root

# A base image may hold Python 3.11.0 to 3.11.2, where redis needs this; the resolver looks at the host's release.
OLDER_PYTHON = ("async-timeout",)
BESIDE = {"torch": ("geo",)}  # extras that go with a framework: its steps work on scenes
LOG_TAIL = 1500


def default_folder() -> Path:
    """`stagegate/wheelhouse` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stagegate" / "wheelhouse"


def requirements(name: str, accelerator: str) -> tuple[str, ...]:
    """What an image asks for: the core dependencies, or the extra of its framework and those that go with it."""
    about = project()
    if name == "core":
        return (*about["dependencies"], *OLDER_PYTHON)
    extras = (name if accelerator == "cpu" else f"{name}-{accelerator}", *BESIDE.get(name, ()))
    return tuple(wanted for extra in extras for wanted in about["optional-dependencies"][extra])


def wheelhouse(name: str, accelerator: str, cache: Path) -> Path:
    """The folder with the wheels of an image. Core wheels are the same for every accelerator."""
    wanted = requirements(name, accelerator)
    kind = "" if name == "core" else f"-{accelerator}"
    folder = cache / f"{name}{kind}-{_key(wanted)}"
    if not folder.is_dir():
        print(f"wheels for {folder.name}: pip download", flush=True)
        _download(wanted, folder, accelerator)
    return folder


def absent_from(core: Path, folder: Path) -> list[Path]:
    """Wheels of a folder that the folder of core wheels does not hold already."""
    held = {path.name for path in core.iterdir()}
    return sorted(path for path in folder.iterdir() if path.name not in held)


def check_accelerator(wheels: list[str], accelerator: str) -> None:
    """One pin serves both: only the index decides. Raises DependencyError for wheels of the other kind."""
    wrong = {
        "cpu": [name for name in wheels if name.startswith("nvidia_")],
        "cuda": [name for name in wheels if "+cpu-" in name],
    }[accelerator]
    if wrong:
        raise DependencyError(
            f"wheels are not for {accelerator}",
            where="pip's index",
            found=", ".join(sorted(wrong)[:3]),
            remedy="Name the index of the right wheels in PIP_INDEX_URL or PIP_EXTRA_INDEX_URL.",
        )


def project_wheel(folder: Path) -> Path:
    """This project as a wheel in a folder."""
    _run(["hatchling", "build", "-t", "wheel", "-d", str(folder)], "the project's wheel")
    return next(folder.glob("*.whl"))


def _key(wanted: tuple[str, ...]) -> str:
    constraints = (project_root() / "constraints.txt").read_text(encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    indexes = "\n".join(os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
    return hashlib.sha256("\n".join([python, indexes, constraints, *wanted]).encode()).hexdigest()[:16]


def _download(wanted: tuple[str, ...], folder: Path, accelerator: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        unfinished = Path(scratch) / "wheels"
        options = ["--only-binary=:all:", "-c", str(project_root() / "constraints.txt"), "-d", str(unfinished)]
        _run(["pip", "download", "-q", "--disable-pip-version-check", *options, *wanted], folder.name)
        check_accelerator([path.name for path in unfinished.iterdir()], accelerator)
        if not folder.is_dir():  # another build may have been quicker
            unfinished.rename(folder)


def _run(words: list[str], what: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=project_root(), capture_output=True, text=True)
    if done.returncode:
        log = re.sub(r"//[^/@\s]+@", "//", done.stderr)[-LOG_TAIL:].strip()  # an index may carry a password
        raise DependencyError(f"{words[0]} could not prepare {what}", found=f"exit {done.returncode}: {log}")


@contextmanager
def build_context(cache: Path, dockerfile: Path, wheels: list[Path], project: Path) -> Iterator[Path]:
    """A folder with Dockerfile, `wheels` and `app`; beside the wheelhouse, so that wheels are links."""
    with tempfile.TemporaryDirectory(dir=cache, prefix="context-") as scratch:
        folder = Path(scratch)
        for part, paths in (("wheels", wheels), ("app", [project])):
            (folder / part).mkdir()
            for path in paths:
                _link(path, folder / part / path.name)
        shutil.copyfile(dockerfile, folder / "Dockerfile")
        yield folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # two file systems
        shutil.copyfile(source, target)
