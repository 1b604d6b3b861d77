"""Settings of the platform, read from the environment once, at the edge."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.contracts.errors import ConfigError


class PlatformSettings(BaseSettings):
    """Where bytes lie and where steps run. Each field is an environment variable with the prefix STAGEGATE_."""

    model_config = SettingsConfigDict(env_prefix="STAGEGATE_", env_ignore_empty=True, frozen=True)

    store: str = Field(default_factory=lambda: str(Path.home() / ".stagegate" / "store"), description="Folder or URL")
    executor: Literal["inprocess", "pools"] = Field(default="inprocess", description="Where step bodies run")
    data_root: Path | None = Field(default=None, description="The only folder that deployed flows may ingest from")
    results: Path | None = Field(default=None, description="The only folder that deployed flows write run folders to")
    results_url: str | None = Field(default=None, description="Where that folder is served, for links to reports")

    def link_to(self, file: Path) -> str:
        """Where a browser finds a file of a run folder: on the web where results are served, else on this machine."""
        if self.results_url is None or self.results is None:
            return file.resolve().as_uri()
        return f"{self.results_url.rstrip('/')}/{quote(file.resolve().relative_to(self.results.resolve()).as_posix())}"


def read_settings() -> PlatformSettings:
    """The settings of this process. Raises ConfigError for a value that is not usable."""
    try:
        return PlatformSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "STAGEGATE_" + "_".join(map(str, first["loc"])).upper()
        raise ConfigError(f"{name} is not usable", expected=first["msg"], found=repr(first["input"])) from None
