"""Two small steps whose bodies count how often they run."""

from tasks.contracts.base import Frozen
from tasks.contracts.errors import HandshakeError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace

RAN: list[str] = []


class Text(Frozen):
    """A text in the store."""

    ref: ArtifactRef


@step(title="upper")
def upper(source: ArtifactRef, times: int, here: Workspace) -> Text:
    """Upper-case a text, several times over."""
    RAN.append("upper")
    here.tell(1.0, "done")
    return Text(ref=here.store.put_bytes(here.store.get_bytes(source).upper() * times, name="upper.txt"))


@step(title="count")
def count(text: Text, here: Workspace) -> Text:
    """Write down the length of a text."""
    RAN.append("count")
    return Text(ref=here.store.put_bytes(str(len(here.store.get_bytes(text.ref))).encode(), name="count.txt"))


@step(title="shout", unkeyed=("style.loud", "note"))
def shout(source: ArtifactRef, style: dict[str, bool], note: str, here: Workspace) -> Text:
    """Copy a text, telling about it in a style."""
    RAN.append(f"shout {style['loud']} {note}")
    return Text(ref=source)


@step(title="refuse", retries=2)
def refuse(source: ArtifactRef, here: Workspace) -> Text:
    """Always refuse the data."""
    RAN.append("refuse")
    raise HandshakeError("data are bad", where=source.name)


@step(title="flaky", retries=1)
def flaky(source: ArtifactRef, here: Workspace) -> Text:
    """Fail once for a reason that may pass, leaving progress behind."""
    RAN.append("flaky")
    if here.progress.load() is None:
        here.progress.save({"half.txt": b"half"})
        raise StoreError("store did not answer")
    return Text(ref=here.store.put_bytes(here.progress.load()["half.txt"] + b" done", name="flaky.txt"))
