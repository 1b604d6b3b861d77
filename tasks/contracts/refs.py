"""References to bytes in the store: the only form in which bytes travel between steps."""

from typing import Annotated

from pydantic import Field

from tasks.contracts.base import Frozen

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ArtifactRef(Frozen):
    """Bytes named by their sha256. `name` is for people and never part of an identity."""

    digest: Digest
    size: Annotated[int, Field(ge=0)]
    media_type: str
    name: str

    @property
    def short(self) -> str:
        """First eight hex digits, for tables and file names."""
        return self.digest[:8]
