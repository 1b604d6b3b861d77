"""Settings of the platform, read from the environment once, at the edge."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """Where bytes lie and where steps run. Each field is an environment variable with the prefix STAGEGATE_."""

    model_config = SettingsConfigDict(env_prefix="STAGEGATE_", frozen=True)

    store: str = Field(default_factory=lambda: str(Path.home() / ".stagegate" / "store"), description="Folder or URL")
    executor: Literal["inprocess"] = Field(default="inprocess", description="Where step bodies run")
    data_root: Path | None = Field(default=None, description="The only folder that deployed flows may ingest from")
