"""`ArtifactManifest`: recipe and content of one artifact. Its canonical hash is its name."""

import hashlib
import json
import math
from typing import Any, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import StagegateError
from tasks.contracts.refs import ArtifactRef, Digest

Role = Literal[
    "forward_model", "labelled_data", "oracle", "emulator", "production", "predictor", "baseline", "auxiliary"
]
MAX_EXACT_INTEGER = 2**53


class CanonicalError(StagegateError):
    """A value has no canonical form: NaN, infinity, an integer beyond 2^53, or no JSON at all."""


class ArtifactManifest(Frozen):
    """What an artifact is. Times, hosts, paths and evaluation results are not part of it."""

    schema_: Literal["stagegate/manifest/1"] = Field("stagegate/manifest/1", alias="schema")
    kind: str
    workload: str
    domain: str
    role: Role
    cycle_step: int | None = Field(ge=1, le=5)
    l_transition: str | None
    component: dict[str, Any] = Field(description="Factory name and full nested parameters")
    code_digest: Digest
    parents: dict[str, Digest] = Field(description="Slot to the hash of what influenced the bits")
    oracle_slots: tuple[str, ...]
    data: dict[str, Digest] = Field(description="External data and catalogs")
    blobs: dict[str, ArtifactRef]
    rng: dict[str, Any]
    synthetic_oracle: bool = False

    def document(self) -> dict[str, Any]:
        """The manifest as it is stored and hashed."""
        return self.model_dump(mode="json", by_alias=True)

    def artifact_hash(self) -> str:
        """sha256 of the canonical document."""
        return hashlib.sha256(canonical_json(self.document())).hexdigest()


def canonical_json(value: Any) -> bytes:
    """RFC 8785 manner: sorted keys, UTF-8, shortest floats, -0.0 and 1.0 as integers. Raises CanonicalError."""
    text = json.dumps(
        _canonical(value, "$"), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode()


def _canonical(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {_text_key(key, where): _canonical(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _canonical_number(value, where)
    raise CanonicalError("value has no canonical form", where=where, found=type(value).__name__)


def _canonical_number(value: float, where: str) -> float:
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER):
        raise CanonicalError("number has no canonical form", where=where, found=value)
    return int(value) if float(value).is_integer() and abs(value) <= MAX_EXACT_INTEGER else value


def _text_key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise CanonicalError("key is not text", where=where, found=type(key).__name__)
    return key
