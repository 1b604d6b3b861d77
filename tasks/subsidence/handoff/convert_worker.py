"""Runs alone, as `python -I -S convert_worker.py ROOT...`: archive on stdin, one JSON object on stdout.

Guards, from the outside in: no network and a read-only file system where the kernel permits it, resource limits, an
audit hook that refuses sockets, processes and writes, and an unpickler that knows a handful of names.
"""

import ctypes
import io
import json
import pickle
import resource
import sys
import zlib

MAX_UNPACKED = 64 * 2**20
EXTRA_MEMORY = 512 * 2**20
CPU_S = 60
NEW_NETWORK, NEW_MOUNTS, NEW_USER = 0x40000000, 0x00020000, 0x10000000
ALLOWED = {
    "sklearn.preprocessing._data": ("MinMaxScaler",),
    "sklearn.preprocessing.data": ("MinMaxScaler",),
    "joblib.numpy_pickle": ("NumpyArrayWrapper",),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
}
REFUSED_EVENTS = ("socket.", "subprocess.", "ctypes.", "shutil.", "pty.", "os.", "mmap.", "ftplib.", "urllib.", "http.")
READING_EVENTS = ("os.listdir", "os.scandir", "os.add_dll_directory")


class Refused(Exception):
    """The archive holds something that is not on the list, or is not a fitted scaler."""


def leave_network_and_disk() -> dict:
    """Namespaces of its own without network and with a read-only tree; says what the kernel permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    alone = any(libc.unshare(flags | NEW_NETWORK | NEW_MOUNTS) == 0 for flags in (0, NEW_USER))
    return {"network_namespace": alone, "read_only_tree": alone and _read_only(libc)}


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def _read_only(libc) -> bool:
    """mount_setattr on the whole tree, after it has been made private to this process."""
    private = libc.mount(None, b"/", None, ctypes.c_ulong((1 << 18) | (1 << 14)), None)
    wanted = _MountAttributes(attr_set=1)
    recursive, here = 0x8000, -100
    return private == 0 and libc.syscall(442, here, b"/", recursive, ctypes.byref(wanted), ctypes.sizeof(wanted)) == 0


def limit() -> None:
    """No file may grow, few may be open, memory and CPU are bounded. Called after the imports."""
    used = 0
    if sys.platform == "linux":
        with open("/proc/self/statm") as status:
            used = int(status.read().split()[0]) * resource.getpagesize()
    for what, value in (
        (resource.RLIMIT_AS, (used or 4 * 2**30) + EXTRA_MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))


def watch(event: str, arguments: tuple) -> None:
    """Audit hook: reading files is all that a loading scaler may do."""
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & 0b11):
            raise Refused(f"opens {arguments[0]!r} for writing")
    elif event.startswith(REFUSED_EVENTS) and event not in READING_EVENTS:
        raise Refused(f"calls {event}")


def allowed_class(find, module: str, name: str):
    """The named object where the list has it."""
    if name not in ALLOWED.get(module, ()):
        raise Refused(f"names {module}.{name}")
    return find(module, name)


def load(data: bytes):
    """The object in the archive, through the restricted unpickler."""
    from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

    class Plain(pickle._Unpickler):
        """For arrays of texts, which the archive keeps as a pickle of their own."""

        def find_class(self, module, name):
            return allowed_class(super().find_class, module, name)

    class Wrapper(NumpyArrayWrapper):
        def read_array(self, unpickler, *rest):
            if self.dtype.hasobject:
                return Plain(unpickler.file_handle).load()
            return super().read_array(unpickler, *rest)

    class Restricted(NumpyUnpickler):
        def find_class(self, module, name):
            found = allowed_class(super().find_class, module, name)
            return Wrapper if found is NumpyArrayWrapper else found

    return Restricted("archive", io.BytesIO(unpacked(data)), ensure_native_byte_order=True).load()


def unpacked(data: bytes) -> bytes:
    """zlib and gzip archives are unpacked, up to a limit."""
    if data[:1] != b"\x78" and data[:2] != b"\x1f\x8b":
        return data
    stream = zlib.decompressobj(wbits=47)
    plain = stream.decompress(data, MAX_UNPACKED)
    if not stream.eof:
        raise Refused(f"unpacks to more than {MAX_UNPACKED} bytes, or is cut off")
    return plain


def numbers(scaler) -> dict:
    """Minimum and span per feature, so that stored = (value - min) / scale."""
    import numpy as np
    from sklearn.preprocessing import MinMaxScaler

    if type(scaler) is not MinMaxScaler or not hasattr(scaler, "data_min_"):
        raise Refused(f"holds {type(scaler).__name__}, or one that was never fitted")
    low, high = (float(limit) for limit in scaler.feature_range)
    least, span, factor = (np.asarray(getattr(scaler, name), float) for name in ("data_min_", "data_range_", "scale_"))
    if not least.ndim == span.ndim == factor.ndim == 1 or not least.size == span.size == factor.size > 0:
        raise Refused("has columns of different numbers")
    scale = np.where(span == 0, 1.0, span) / (high - low)
    minimum = least - low * scale
    if not (np.isfinite(minimum).all() and np.isfinite(scale).all() and np.allclose(scale * factor, 1, rtol=1e-4)):
        raise Refused("contradicts itself: its minima, spans and factors do not belong together")
    names = [str(name) for name in getattr(scaler, "feature_names_in_", ())]
    return {"kind": "minmax", "feature_names": names, "min": minimum.tolist(), "scale": scale.tolist()}


def main(roots: list[str]) -> dict:
    """The reply for the archive on stdin."""
    guards = leave_network_and_disk()
    sys.path.extend(roots)
    try:
        import joblib.numpy_pickle  # noqa: F401
        import sklearn.preprocessing  # noqa: F401
    except ImportError as error:
        return {"error": f"cannot be read here: {error}", "guards": guards}
    data = sys.stdin.buffer.read()
    limit()
    sys.addaudithook(watch)
    try:
        return {"scaler": numbers(load(data)), "guards": guards}
    except Refused as error:
        return {"error": str(error), "guards": guards}
    except (
        pickle.UnpicklingError,
        zlib.error,
        MemoryError,
        EOFError,
        ImportError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        ArithmeticError,
        RecursionError,
        OSError,
    ) as error:
        return {"error": f"{type(error).__name__}: {str(error)[:200]}", "guards": guards}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
