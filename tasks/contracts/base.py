"""The base of every typed model that crosses a step boundary."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, strict model: wrong types and unknown keys are errors, never coerced."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
