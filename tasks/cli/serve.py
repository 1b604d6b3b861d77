"""`stagegate serve`, `stagegate deploy` and `stagegate worker`: the platform as a service."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli.answers import answer, print_answer
from tasks.contracts.errors import ConfigError, StagegateError

PORT = 4200
ENGINES = ("docker", "process")
EXAMPLE = "prefect deployment run 'forecast-subsidence/default' --watch"

Home = Annotated[Path | None, typer.Option(help="The server's own folder. [default: ~/.stagegate/server]")]
Json = Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")]


def serve(
    home: Home = None,
    store: Annotated[str | None, typer.Option(help="Folder or URL. [default: STAGEGATE_STORE]")] = None,
    results: Annotated[Path | None, typer.Option(help="Where deployed flows make their run folders.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="The only folder that deployed flows read.")] = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Of API and dashboard.")] = PORT,
    results_port: Annotated[int | None, typer.Option(help="Of the reports. [default: port + 1]")] = None,
    engine: Annotated[str | None, typer.Option(help="docker or process. [default: docker where it answers]")] = None,
    subnet: Annotated[str, typer.Option(help="Of the containers' own network.")] = "172.31.77.0/24",
    network: Annotated[str, typer.Option(help="Its name.")] = "stagegate",
    database: Annotated[str | None, typer.Option(envvar="STAGEGATE_DATABASE", help="URL, or sqlite.")] = None,
    notify: Annotated[
        str | None, typer.Option(envvar="STAGEGATE_NOTIFY_URL", help="Webhook for flows that failed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Database, server, pools, workers and reports on this machine, until Ctrl-C."""
    from tasks.orchestration.serving.serve import Served

    layout = _layout(
        home=home,
        store=store,
        results=results,
        data_root=data_root,
        port=port,
        results_port=results_port or port + 1,
        engine=engine,
        subnet=subnet,
        network=network,
    )
    served = Served(layout, _say, database=database, notify=notify)
    served.run(ready=lambda status: _ready(status, as_json))


def deploy(home: Home = None, as_json: Json = False) -> None:
    """Make pools, deployments and automations of the running serve again: after `make images`, or a new version."""
    from tasks.orchestration.serving.folders import default_base
    from tasks.orchestration.serving.private import read_or_make
    from tasks.orchestration.serving.serve import read_status, set_up

    folder = (home or default_base() / "server").absolute()
    status = read_status(folder)
    names = set_up(status.layout, read_or_make(folder / "auth"), keep_notify=True)
    if as_json:
        print_answer(answer("complete", deployments=list(names)))
    else:
        print("\n".join(names))


def worker(
    pool: Annotated[str, typer.Argument(help="Such as cpu, cuda-tf, cuda-torch or local.")],
    force: Annotated[bool, typer.Option("--force", help="Also for a GPU pool where no GPU is seen.")] = False,
) -> None:
    """Work for a pool of a server on this or another machine, named by PREFECT_API_URL and PREFECT_API_AUTH_STRING."""
    from tasks.orchestration.serving.worker import work_for

    work_for(pool, force=force)


def _layout(
    *,
    home: Path | None,
    store: str | None,
    results: Path | None,
    data_root: Path | None,
    engine: str | None,
    **rest: Any,
) -> Any:
    from tasks.orchestration.serving.folders import default_base, default_uid
    from tasks.orchestration.serving.layout import Layout
    from tasks.orchestration.serving.network import LOOPBACK, gateway

    base, engine = default_base(), _engine(engine)
    store = store or os.environ.get("STAGEGATE_STORE") or str(base / "store")
    try:
        host = gateway(rest["subnet"]) if engine == "docker" else LOOPBACK
    except (ValueError, StopIteration) as error:
        raise ConfigError("--subnet is no network", expected="such as 172.31.77.0/24", found=rest["subnet"]) from error
    return Layout(
        home=(home or base / "server").absolute(),
        store=_store(store),
        results=(results or _path("STAGEGATE_RESULTS") or base / "results").absolute(),
        results_url=f"http://{LOOPBACK}:{rest['results_port']}",
        data_root=(data_root or _path("STAGEGATE_DATA_ROOT") or base / "data").absolute(),
        engine=engine,
        host=host,
        port=rest["port"],
        network=rest["network"],
        subnet=rest["subnet"],
        uid=default_uid(),
    )


def _store(root: str) -> str:
    from tasks.store.places import absolute_root
    from tasks.store.remote_failures import without_user_info

    if without_user_info(root) != root:
        raise ConfigError(
            "--store holds a user or a password",
            found=without_user_info(root),
            remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
        )
    return absolute_root(root)


def _engine(asked: str | None) -> str:
    if asked is not None and asked not in ENGINES:
        raise ConfigError("--engine is unknown", expected=" or ".join(ENGINES), found=asked)
    if asked is not None:
        return asked
    from tasks.orchestration.serving.engine import engine

    try:
        engine()
    except StagegateError as error:
        _say(f"steps run as processes of this machine: {error}")
        return "process"
    return "docker"


def _path(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _ready(status: Any, as_json: bool) -> None:
    layout, prefect = status.layout, Path(sys.executable).with_name("prefect")
    words = f"{_short(prefect)} {EXAMPLE.removeprefix('prefect ')}"
    example = words if status.profile_in_use else f"PREFECT_PROFILE=stagegate {words}"
    if as_json:
        fields = status.model_dump(mode="json")
        print_answer(answer("ready", **fields, auth_file=str(layout.home / "auth")))
        return
    print(
        f"""
Stagegate is up. Ctrl-C ends it.
  dashboard  {status.url}
  log in     with the line that `cat {layout.home / "auth"}` prints
  reports    {layout.results_url}, from {layout.results}
  data       deployed flows read below {layout.data_root}
  workers    {", ".join(status.workers)}
  try        {example}""",
        flush=True,
    )


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
