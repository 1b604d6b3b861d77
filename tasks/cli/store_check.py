"""Whether the store answers, asked before any work so that a wrong one is a typed error and not a late surprise."""

import secrets
from pathlib import Path

from tasks.contracts.errors import StoreError
from tasks.store.blobs import Store
from tasks.store.local import LocalPlace
from tasks.store.places import TEMP_PREFIX

WHERE = "STAGEGATE_STORE"


def check_store(store: Store, *, writes: bool = True) -> None:
    """Look at the store, and where `writes` put an empty file into a new local one and take it away again.

    A local store that holds results already may be shared read-only: a run that finds every step there writes nothing.
    Raises StoreError with the path or URL when the folder cannot be written, or the object storage does not let us in.
    """
    key = f"{TEMP_PREFIX}check-{secrets.token_hex(8)}"
    local = isinstance(store.place, LocalPlace)
    try:
        store.place.stamp(key)
        if writes and local and not Path(store.root, "results").is_dir():
            store.place.write(key, (b"",))
            store.place.remove(key)
    except StoreError as error:
        raise StoreError(
            "cannot be used as a store",
            where=f"{WHERE} {store.root}",
            expected="a folder that can be made and written" if local else "object storage that lets this user in",
            found=error.found or error.what,
            remedy="Choose another folder, or give this user access to it."
            if local
            else "Check the address and the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).",
        ) from error
