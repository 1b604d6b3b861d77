"""Folders of a served platform: who owns them, and who can reach them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.orchestration.serving.layout import Layout

SYSTEM = Path("/var/lib/stagegate")  # for root, whose own folder nobody else can enter
MARKS = ("sha256", "refs", "progress", "records", "quarantine")  # what tells a store from any other folder


def default_base() -> Path:
    """`~/.stagegate`; for root, where containers and the database could not enter that, /var/lib/stagegate."""
    own = Path.home() / ".stagegate"
    return own if os.getuid() != 0 or _closed_parent(own) is None else SYSTEM


def default_uid() -> int:
    """Containers run as the user who serves, or as an unprivileged one where that is root."""
    return os.getuid() or Layout.model_fields["uid"].default


def prepare(layout: Layout) -> list[str]:
    """Make all folders, for the users who need them; what a person should know about it.

    Raises ConfigError for a folder that containers or the database could not reach, or that is not a store.
    """
    for folder in (layout.home, layout.results, layout.data_root):
        _refuse_closed(folder)
    layout.home.mkdir(parents=True, exist_ok=True)
    layout.home.chmod(0o711 if os.getuid() == 0 else 0o700)
    for name in ("logs", "prefect", "tmp", "ui", "work"):
        (layout.home / name).mkdir(mode=0o700, exist_ok=True)
    for log in (layout.home / "logs").glob("*.log"):
        log.replace(log.with_suffix(".log.1"))  # of the serve before
    layout.data_root.mkdir(parents=True, exist_ok=True)
    layout.results.mkdir(parents=True, exist_ok=True)
    for folder in (layout.results, *_below(layout.results / "runs")):  # of a serve before, with processes
        _give(folder, layout)
    return [] if "://" in layout.store else _prepare_store(Path(layout.store), layout)


def _prepare_store(store: Path, layout: Layout) -> list[str]:
    _refuse_closed(store)
    if store.is_dir() and any(store.iterdir()) and not any((store / mark).is_dir() for mark in MARKS):
        raise ConfigError(
            "is not a store", where=str(store), expected="an empty folder, or one with sha256/", found="other files"
        )
    store.mkdir(parents=True, exist_ok=True)
    given = sum(_give(path, layout) for path in (store, *_below(store)))
    return [f"store {store}: {given} files and folders now belong to user {layout.uid}"] if given > 1 else []


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def _give(path: Path, layout: Layout) -> bool:
    """Whether it had another owner. Processes of the caller write as the caller, so nothing is given away for them."""
    if os.getuid() != 0 or layout.engine == "process" or path.lstat().st_uid == layout.uid:
        return False
    os.chown(path, layout.uid, layout.uid, follow_symlinks=False)
    return True


def _refuse_closed(folder: Path) -> None:
    if os.getuid() == 0 and (parent := _closed_parent(folder)) is not None:
        raise ConfigError(
            "cannot be reached by the users of containers and database",
            where=str(folder),
            expected="folders that others may enter (chmod o+x)",
            found=f"{stat.filemode(parent.stat().st_mode)} {parent}",
            remedy=f"Choose a folder elsewhere, such as {SYSTEM}.",
        )


def _closed_parent(folder: Path) -> Path | None:
    """The first folder above that only its owner may enter."""
    return next((each for each in reversed(folder.parents) if each.exists() and not each.stat().st_mode & 1), None)
