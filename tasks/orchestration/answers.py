"""How a step's container answers: one JSON document in the store, its output or its typed error.

An output lies there twice: under the run that the flow waits for, and under the cache key, where a flow that was lost
meanwhile finds it when it is run again. The second one goes when the flow has recorded the output.
"""

import json
from typing import Any

from tasks.contracts import errors
from tasks.contracts.errors import BlobMissingError, StagegateError
from tasks.store.blobs import Store
from tasks.store.gc import refs_in
from tasks.store.jsons import canonical_json, read_json
from tasks.store.paths import safe_name

_FACTS = ("what", "where", "expected", "found", "remedy")


class ForeignError(RuntimeError):
    """An error of a step's container that is not one of ours; retried like any failure of the infrastructure."""


def leave_output(store: Store, run_id: str, output: dict[str, Any]) -> None:
    """What the step returned."""
    store.place.write(_key(run_id), (canonical_json({"output": output}),))


def leave_error(store: Store, run_id: str, error: Exception) -> None:
    """What the step raised: class, and the facts of the message."""
    lineage = [cls.__name__ for cls in type(error).__mro__]
    facts = {name: _text(getattr(error, name, None)) for name in _FACTS} if isinstance(error, StagegateError) else {}
    store.place.write(_key(run_id), (canonical_json({"error": lineage, "facts": facts, "text": _text(error)}),))


def peek(store: Store, key: str) -> dict[str, Any] | None:
    """The output left under a cache key, if every byte that it names is in the store."""
    try:
        output = json.loads(b"".join(store.place.chunks(_key(key))))["output"]
    except (BlobMissingError, ValueError, KeyError, TypeError):  # absent, or not what we write
        return None
    return output if all(store.holds(ref) for ref in refs_in(output)) else None


def forget(store: Store, key: str) -> None:
    """Remove what was left under a cache key: it is recorded."""
    store.place.remove(_key(key))


def take(store: Store, run_id: str) -> dict[str, Any] | None:
    """The output, or None where no answer was left. Raises the error that was left."""
    try:
        data = b"".join(store.place.chunks(_key(run_id)))
    except BlobMissingError:
        return None
    answer = read_json(data, name=_key(run_id))
    store.place.remove(_key(run_id))
    if "output" in answer:
        return answer["output"]
    raise _error(answer)


def _error(answer: dict[str, Any]) -> Exception:
    for name in answer["error"]:
        cls = getattr(errors, name, None)
        if isinstance(cls, type) and issubclass(cls, StagegateError):
            facts = answer["facts"]
            return cls(facts.pop("what"), **facts)
    return ForeignError(f"{answer['error'][0]}: {answer['text']}")


def _text(value: object) -> str | None:
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def _key(run_id: str) -> str:
    return f"answers/{safe_name(run_id)}.json"
