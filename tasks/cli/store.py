"""`stagegate store`: look after the content-addressed store."""

from collections.abc import Iterator
from typing import Annotated

import typer

from tasks.cli.answers import answer, print_answer
from tasks.cli.store_check import check_store
from tasks.contracts.refs import ArtifactRef

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="Last line on stdout is one JSON object.")]


@app.callback()
def store() -> None:
    """Look after the content-addressed store."""


@app.command()
def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--yes", help="Only list (default), or delete what is listed.")
    ] = True,
    as_json: Json = False,
) -> None:
    """List blobs that no cache record and no registry entry reaches; delete them only with --yes."""
    from tasks.orchestration.settings import read_settings
    from tasks.store.blobs import Store
    from tasks.store.gc import delete, garbage

    settings = read_settings()
    where = Store(settings.store)
    check_store(where, writes=not dry_run)
    plan = garbage(where, _roots(where, settings.store))
    if not dry_run:
        delete(where, plan)
    if as_json:
        print_answer(
            answer(
                "complete",
                deleted=not dry_run,
                count=plan.count,
                bytes=plan.bytes,
                young=plan.young,
                keys=[item.key for item in plan.garbage],
            )
        )
        return
    for item in plan.garbage:
        print(item.key, item.size)
    print(f"{plan.count} blobs, {plan.bytes} bytes {'listed; --yes deletes them' if dry_run else 'deleted'}")


def _roots(where: object, root: str) -> Iterator[ArtifactRef]:
    from tasks.orchestration.records import Records, refs_of
    from tasks.registry.entries import all_entries

    yield from Records(where, root).all_refs()
    for entry in all_entries(where):
        yield from refs_of(entry)
