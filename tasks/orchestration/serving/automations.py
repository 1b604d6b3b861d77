"""Automations on a Prefect server, made from infra/automations.yaml; making them again changes nothing."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tasks
from tasks.contracts.errors import ConfigError, MissingInputError

FILE = Path(tasks.__file__).parents[1] / "infra" / "automations.yaml"
WEBHOOK = "stagegate-failures"  # name of the block that holds the address
PLACEHOLDER = "{{ webhook }}"


def make_automations(notify: str | None = None, *, keep: bool = False, file: Path = FILE) -> tuple[str, ...]:
    """Make or renew the automations; the names of those made.

    Those of the webhook need an address; without one they are removed, or kept as they are.
    """
    check_address(notify)
    block = None if notify is None else _webhook(notify)
    made = []
    for entry in _entries(file):
        if _wants_webhook(entry) and block is None:
            if not keep:
                _remove(entry["name"])
        else:
            _make(_filled(entry, block))
            made.append(entry["name"])
    return tuple(made)


def check_address(notify: str | None) -> None:
    """Raises ConfigError for what is no http address."""
    if notify is not None and (urlsplit(notify).scheme not in ("http", "https") or not urlsplit(notify).hostname):
        raise ConfigError("--notify is no address of a webhook", expected="http://... or https://...")


def _entries(file: Path) -> list[dict[str, Any]]:
    from ruamel.yaml import YAML

    if not file.is_file():
        raise MissingInputError(
            "automations are not there", where=str(file), remedy="Serve from a checkout of the repository."
        )
    return YAML(typ="safe").load(file)


def _wants_webhook(entry: dict[str, Any]) -> bool:
    return any(action.get("block_document_id") == PLACEHOLDER for action in entry["actions"])


def _filled(entry: dict[str, Any], block: str | None) -> dict[str, Any]:
    actions = [
        action | {"block_document_id": block} if action.get("block_document_id") == PLACEHOLDER else action
        for action in entry["actions"]
    ]
    return entry | {"actions": actions}


def _make(entry: dict[str, Any]) -> None:
    from prefect.automations import AutomationCore
    from prefect.client.orchestration import get_client

    wanted = AutomationCore.model_validate(entry)
    with get_client(sync_client=True) as client:
        known, *twins = client.read_automations_by_name(entry["name"]) or [None]
        for twin in twins:
            client.delete_automation(twin.id)
        if known is None:
            client.create_automation(wanted)
        elif not _same(known, wanted):
            client.update_automation(known.id, wanted)


def _same(known: Any, wanted: Any) -> bool:
    """Renewing one forgets the runs that it watches, so one that is right already is left alone."""
    fields = ("description", "enabled", "trigger", "actions")
    return all(_plain(getattr(known, name)) == _plain(getattr(wanted, name)) for name in fields)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "model_dump"):
        plain = value.model_dump(mode="json", exclude={"id"})
        return {name: sorted(each) if isinstance(each, list) else each for name, each in plain.items()}
    return value


def _remove(name: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for known in client.read_automations_by_name(name):
            client.delete_automation(known.id)


def _webhook(address: str) -> str:
    """Prefect keeps blocks encrypted."""
    from prefect.blocks.webhook import Webhook

    return str(Webhook(url=address, headers={"Content-Type": "application/json"}).save(WEBHOOK, overwrite=True))
