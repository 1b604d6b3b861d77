"""Where the parts of a served Stagegate are on a machine."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.contracts.base import Frozen


class Layout(Frozen):
    """One decision for server, pools, deployments and workers; paths are the same inside and outside containers."""

    home: Path = Field(description="The server's own files: database, logs, process ids, password")
    store: str = Field(description="Folder or URL of the store")
    results: Path = Field(description="Run folders of deployed flows are made below it")
    results_url: str | None = Field(default=None, description="Where that folder is served, for links to reports")
    data_root: Path = Field(description="The only folder that deployed flows ingest from; read-only in containers")
    engine: Literal["docker", "process"] = Field(description="Docker pools, or one pool of processes")
    host: str = Field(description="Address that the server listens on, reachable from its containers")
    port: int = Field(description="Port of the server's API and UI")
    network: str = Field(default="stagegate", description="Internal Docker network of the containers")
    subnet: str = Field(default="172.31.77.0/24", description="Its addresses; the first one is the host's")
    uid: int = Field(default=10001, description="User of the containers; owns a local store and the results")

    @property
    def api_url(self) -> str:
        """What clients, workers and containers call."""
        return f"http://{self.host}:{self.port}/api"
