"""The source tree behind an image: where it is, its revision, and a digest of the code of `flows` and `tasks`."""

import hashlib
import subprocess
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import tasks
from tasks.contracts.errors import MissingInputError

INSTALLED = Path(tasks.__file__).parents[1]
PACKAGES = ("flows", "tasks")


def project_root() -> Path:
    """The checkout. Raises MissingInputError where only the installed packages are."""
    needed = ("pyproject.toml", "constraints.txt", "containers/core/Dockerfile")
    missing = [name for name in needed if not (INSTALLED / name).is_file()]
    if missing:
        raise MissingInputError(
            "images are built from a checkout",
            where=str(INSTALLED),
            expected=", ".join(needed),
            found=f"no {', '.join(missing)}",
            remedy="Clone the repository and run `make images` there.",
        )
    return INSTALLED


def project() -> dict:
    """The `project` table of pyproject.toml."""
    return tomllib.loads((project_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tree_code(root: Path = INSTALLED) -> str:
    """sha256 over names and bytes of all files of both packages below a folder, compiled ones left out."""
    paths = (path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file())
    return _code((path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)


def wheel_code(wheel: Path) -> str:
    """The same, over what a wheel of this project installs."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.partition("/")[0] in PACKAGES]
        return _code((name, archive.read(name)) for name in names)


def _code(files: Iterable[tuple[str, bytes]]) -> str:
    kept = ((name, content) for name, content in files if "__pycache__" not in PurePosixPath(name).parts)
    rows = sorted(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in kept)
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def revision_labels() -> dict[str, str]:
    """Open container labels: title, version, revision (`-dirty` where files differ from it) and, if known, source."""
    about = project()
    revision = _git("rev-parse", "HEAD") or "unknown"
    dirty = "-dirty" if _git("status", "--porcelain") else ""
    labels = {"title": about["name"], "version": about["version"], "revision": f"{revision}{dirty}"}
    labels.update(("source", address) for address in _addresses(_git("config", "--get", "remote.origin.url")))
    return {f"org.opencontainers.image.{name}": value for name, value in labels.items()}


def _addresses(remote: str) -> Iterator[str]:
    """The remote without a password; nothing where it is a folder of this machine."""
    parts = urlsplit(remote)
    if parts.scheme in ("http", "https", "ssh") and parts.hostname:
        yield urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *words], cwd=INSTALLED, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
