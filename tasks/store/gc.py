"""Which blobs nothing refers to any more. Listing never deletes; `delete` does, and only what a plan lists."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tasks.contracts.errors import HandshakeError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import BLOB_FOLDER, Store, blob_key
from tasks.store.places import Stamp, is_temporary

MIN_AGE_S = 24 * 3600
_ANSWERS = "answers/"  # of containers whose flow was lost
_BLOB_KEY = re.compile(f"{BLOB_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{62}}")
_REF_KEYS = ("digest", "size", "media_type", "name")


@dataclass(frozen=True)
class Garbage:
    """Bytes that could go: a blob that nothing reaches, or what an interrupted write or a lost flow left behind."""

    key: str
    size: int

    @property
    def digest(self) -> str | None:
        """The digest of a blob; None for anything else."""
        return (
            None
            if not self.key.startswith(f"{BLOB_FOLDER}/") or is_temporary(self.key)
            else self.key.removeprefix(f"{BLOB_FOLDER}/").replace("/", "")
        )


@dataclass(frozen=True)
class GcPlan:
    """What a deletion would take, and what it would leave."""

    garbage: tuple[Garbage, ...]
    reachable: int
    young: int  # unreachable, but a running step may be about to record them
    unread: tuple[str, ...]  # JSON blobs that are missing or damaged: what they refer to is unknown
    min_age_s: float

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.garbage)

    @property
    def bytes(self) -> int:
        """Their size together."""
        return sum(item.size for item in self.garbage)


def garbage(store: Store, roots: Iterable[ArtifactRef], *, min_age_s: float = MIN_AGE_S) -> GcPlan:
    """Plan which blobs, and leavings of interrupted writes, nothing reaches from the roots; deletes nothing."""
    reachable, unread = _reach(store, roots)
    keys = {blob_key(digest) for digest in reachable}
    lost = [(key, stamp) for key, stamp in _candidates(store) if key not in keys]
    old = [(key, stamp) for key, stamp in lost if _is_old(stamp, min_age_s)]
    items = tuple(Garbage(key, stamp.size) for key, stamp in old)
    return GcPlan(items, len(reachable), len(lost) - len(old), tuple(sorted(unread)), min_age_s)


def delete(store: Store, plan: GcPlan) -> int:
    """Remove what a plan lists and was not written again since; how many files went.

    Raises StoreError where the plan could not see everything that is in use.
    """
    if plan.unread:
        found = ", ".join(plan.unread[:3])
        remedy = "Restore these blobs, or drop the records that name them, and plan again."
        raise StoreError("cannot delete safely: unreadable blobs may refer to others", found=found, remedy=remedy)
    deleted = 0
    for item in plan.garbage:
        stamp = store.place.stamp(item.key)
        if stamp is not None and _is_old(stamp, plan.min_age_s):
            store.place.remove(item.key)
            deleted += 1
    return deleted


def refs_in(obj: Any) -> Iterator[ArtifactRef]:
    """Every reference inside plain JSON values: objects that have the keys digest, size, media_type and name."""
    stack = [obj]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield from _as_ref(value)
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)


def _as_ref(value: dict) -> Iterator[ArtifactRef]:
    if all(key in value for key in _REF_KEYS):
        try:
            yield ArtifactRef(**{key: value[key] for key in _REF_KEYS})
        except ValidationError:  # an object of somebody else's that happens to have these keys
            return


def _reach(store: Store, roots: Iterable[ArtifactRef]) -> tuple[set[str], set[str]]:
    reachable: set[str] = set()
    unread: set[str] = set()
    opened: set[str] = set()
    waiting = list(roots)
    while waiting:
        ref = waiting.pop()
        reachable.add(ref.digest)
        if ref.media_type != "application/json" or ref.digest in opened:
            continue
        opened.add(ref.digest)
        try:
            waiting.extend(refs_in(store.get_json(ref)))
        except (
            HandshakeError
        ):  # intact, but not JSON as the store writes it: somebody else's, which holds no references
            continue
        except StoreError:
            unread.add(f"{ref.name} ({ref.digest})")
    return reachable, unread


def _candidates(store: Store) -> Iterator[tuple[str, Stamp]]:
    for key, stamp in store.place.listing(""):
        if _BLOB_KEY.fullmatch(key) or is_temporary(key) or key.startswith(_ANSWERS):
            yield key, stamp


def _is_old(stamp: Stamp, min_age_s: float) -> bool:
    return stamp.modified_s is not None and time.time() - stamp.modified_s >= min_age_s
