"""Operating-system failures as typed errors that name the path and what to do."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.contracts.errors import BlobMissingError, StagegateError, StorageFullError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_ADVICE = {
    errno.EACCES: "Give this user access to the store, or choose another one.",
    errno.EPERM: "Give this user access to the store, or choose another one.",
    errno.EROFS: "The store is mounted read-only; mount it writable, or choose another one.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
}


def store_error(error: BaseException, doing: str, path: str) -> StoreError:
    """The typed error for a failure met while `doing` something (a verb such as "write") to `path`."""
    code = getattr(error, "errno", None)
    found = getattr(error, "strerror", None) or f"{type(error).__name__} {error}".strip()
    if code in _FULL:
        remedy = "Free some space or raise the quota, then run again; what was finished is kept."
        return StorageFullError(f"no space left to {doing} it", where=path, found=found, remedy=remedy)
    if doing == "read" and isinstance(error, FileNotFoundError):
        return BlobMissingError("is not in the store", where=path, remedy="Run the step that makes it again.")
    remedy = _ADVICE.get(code, "Check the disk or the connection, then run again.")
    return StoreError(f"could not {doing} it", where=path, found=found, remedy=remedy)


@contextmanager
def typed(
    doing: str,
    path: str,
    failures: type[Exception] = OSError,
    translate: Callable[[BaseException, str, str], StoreError] = store_error,
) -> Iterator[None]:
    """Turn `failures` of the body into StoreError, StorageFullError or BlobMissingError; let typed errors pass."""
    try:
        yield
    except StagegateError:
        raise
    except failures as error:
        raise translate(error, doing, path) from error
