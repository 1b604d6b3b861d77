"""Deterministic `.npz`: equal arrays give equal bytes, whatever their order, layout or the day."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from tasks.contracts.errors import StoreError
from tasks.store.npy import PLAIN_KINDS

_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READ_ONLY_FILE = 0o100444 << 16
# Level 1 packs constant arrays about 230:1, so our own files never look like bombs to a reader.
_LEVEL = 1


def write_npz(arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> bytes:
    """Arrays under sorted names, little-endian, in C order. Raises StoreError for objects and unusable names.

    Packed bytes may differ between zlib versions: leave `compressed` off where the digest has to be reproducible.
    """
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in sorted(arrays):
            archive.writestr(_member(name, method), _npy(np.asarray(arrays[name]), name), compresslevel=_LEVEL)
    return buffer.getvalue()


def _member(name: str, method: int) -> zipfile.ZipInfo:
    if not name or any(sign in name for sign in "/\\\0"):
        raise StoreError("cannot name an array", where=repr(name), remedy="Use a name without slashes.")
    member = zipfile.ZipInfo(f"{name}.npy", date_time=_FIRST_ZIP_DATE)
    member.compress_type, member.create_system, member.external_attr = method, _UNIX, _READ_ONLY_FILE
    return member


def _npy(array: np.ndarray, name: str) -> bytes:
    if array.dtype.hasobject or array.dtype.kind not in PLAIN_KINDS:
        remedy = "Convert it to numbers or fixed-width strings first."
        raise StoreError("cannot be stored", where=f"array '{name}'", found=f"dtype {array.dtype}", remedy=remedy)
    plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, plain, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
