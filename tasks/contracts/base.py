"""The base of every typed model that crosses a step boundary."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def _numbered(schema: dict[str, Any]) -> None:
    """Give each field its place in the form; databases do not keep the order of keys."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position


class Frozen(BaseModel):
    """Immutable, strict model: wrong types and unknown keys are errors, never coerced."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", json_schema_extra=_numbered)
