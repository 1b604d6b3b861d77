"""Cache by content: equal bytes, code, runtime and parameters give an equal key, and nothing else does."""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prefect.cache_policies import CachePolicy
from pydantic import BaseModel

from tasks.contracts.refs import ArtifactRef


def canonical(value: Any, where: str) -> Any:
    """The identity of an input as plain JSON. Raises TypeError naming the field for anything without a content."""
    if isinstance(value, ArtifactRef):
        return {"digest": value.digest, "media_type": value.media_type}
    if isinstance(value, BaseModel):
        return {name: canonical(getattr(value, name), f"{where}.{name}") for name in type(value).model_fields}
    if isinstance(value, dict):
        return {_key(key, where): canonical(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(
        f"{where}: a {type(value).__name__} has no stable content; pass an ArtifactRef, a model or a number"
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where}: dictionary keys must be text, found {type(key).__name__}")
    return key


def without(document: dict[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """A copy of a plain document that lacks some dotted places; one that does not exist is no error."""
    document = dict(document)
    for place in places:
        name, _, rest = place.partition(".")
        if rest and isinstance(document.get(name), dict):
            document[name] = without(document[name], (rest,))
        elif not rest:
            document.pop(name, None)
    return document


def key_of(document: dict[str, Any]) -> str:
    """`<step>-<sha256 of the canonical JSON of the document>`."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"{document['step']}-{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class ContentPolicy(CachePolicy):
    """Prefect cache policy that hands out the key a step has computed from the content of its inputs."""

    key: str | None = None

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str | None:
        """The key, whatever Prefect knows of paths, object identities and flow parameters."""
        return self.key
