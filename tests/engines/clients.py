"""What other processes do to a store in tests: `python -m tests.engines.clients VERB ROOT [ARGUMENT ...]`.

Each prints `ready` once it is connected, waits for a line on its standard input, works, and prints one JSON value.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from tasks.contracts.errors import StoreError
from tasks.store.blobs import Store, blob_key
from tasks.store.refs import NamedRefs

ROUND_S = 0.06
PART = 8 << 20


def start(env: dict[str, str], *calls: tuple) -> list[subprocess.Popen]:
    """Clients that are connected and wait for `go`."""
    commands = [[sys.executable, "-m", "tests.engines.clients", *map(str, call)] for call in calls]
    clients = [
        subprocess.Popen(each, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for each in commands
    ]
    assert [client.stdout.readline() for client in clients] == ["ready\n"] * len(clients)
    return clients


def go(*clients: subprocess.Popen, line: str = "") -> None:
    """Let clients begin, all at the same moment."""
    for client in clients:
        client.stdin.write(f"{line}\n")
        client.stdin.flush()


def answers(*clients: subprocess.Popen) -> list:
    """What they print, once they have ended well."""
    found = [client.communicate(timeout=120)[0] for client in clients]
    assert [client.returncode for client in clients] == [0] * len(clients)
    return [json.loads(text) for text in found]


def put_same(store: Store, size: str) -> str:
    """Put bytes that every client has."""
    return store.put_bytes(b"s" * int(size), name="same.bin").digest


def put_own(store: Store, name: str, count: str) -> list[str]:
    """Put blobs that no other client has."""
    return [store.put_bytes(f"{name} {i}".encode(), name="own.txt").digest for i in range(int(count))]


def heal(store: Store, text: str) -> bool:
    """Read bytes that may be damaged or gone, putting them again until they are right."""
    ref = Store("memory://heal").put_bytes(text.encode(), name="x")
    for _ in range(20):
        with contextlib.suppress(StoreError):
            return store.get_bytes(ref) == text.encode()
        store.put_bytes(text.encode(), name="x")
    return False


def bind(store: Store, name: str, rounds: str) -> list[bool]:
    """Try to bind one name after the other, at moments that the clock sets."""
    began, refs, outcomes = float(sys.stdin.readline()), NamedRefs(store.root), []
    for i in range(int(rounds)):
        time.sleep(max(0.0, began + i * ROUND_S - time.time()))
        try:
            outcomes.append(refs.create(f"slot/{i}", name.encode()))
        except StoreError:
            outcomes.append(False)
    return outcomes


def upload(store: Store, digest: str, parts: str) -> None:
    """Write a large blob, telling before each part."""

    def chunks() -> Iterator[bytes]:
        for i in range(int(parts)):
            print(i, flush=True)
            yield bytes([i]) * PART

    store.place.write(blob_key(digest), chunks())


def main() -> None:
    """Connect, wait, work, tell."""
    verb, root, *arguments = sys.argv[1:]
    store = Store(root)
    store.place.stamp("nothing")
    print("ready", flush=True)
    if verb != "bind":
        sys.stdin.readline()
    print(json.dumps(globals()[verb](store, *arguments)), flush=True)


if __name__ == "__main__":
    main()
