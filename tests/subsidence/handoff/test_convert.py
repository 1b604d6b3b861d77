"""The one place that opens a joblib archive: only a digest that the caller named, only a scaler, never code."""

import hashlib
import io
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError, MissingInputError, UnsafeCheckpointError
from tasks.subsidence.handoff import convert
from tasks.subsidence.handoff.convert import convert_scaler, run_worker

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "subsidence" / "zhongshan" / "artifacts"


def archive(thing, compress=0) -> bytes:
    import joblib

    stream = io.BytesIO()
    joblib.dump(thing, stream, compress=compress)
    return stream.getvalue()


def scaler(**options):
    import pandas as pd
    from sklearn.preprocessing import MinMaxScaler

    table = pd.DataFrame({"t": [2015.0, 2022.0], "x": [721473.1875, 769715.6875], "c": [3, 3]})
    return MinMaxScaler(**options).fit(table)


def allowed(folder: Path, data: bytes) -> dict:
    file = folder / "scaler.joblib"
    file.write_bytes(data)
    return convert_scaler(file, allow_sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_a_scaler_becomes_minima_and_spans(tmp_path, compress):
    data = archive(scaler(), compress)
    assert allowed(tmp_path, data) == {
        "kind": "minmax",
        "feature_names": ["t", "x", "c"],
        "min": [2015.0, 721473.1875, 3.0],
        "scale": [7.0, 48242.5, 1.0],
        "sha256_source": hashlib.sha256(data).hexdigest(),
    }


def test_the_numbers_undo_the_scaler_for_any_feature_range(tmp_path):
    fitted = scaler(feature_range=(-1, 3))
    table = allowed(tmp_path, archive(fitted))
    values = np.array([[2018.0, 750_000.0, 3.0]])
    stored = (values - table["min"]) / table["scale"]
    assert np.allclose(stored, values * fitted.scale_ + fitted.min_, atol=1e-9)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the archives in {REAL} are not on this machine")
def test_the_coordinate_scaler_of_a_real_handoff(tmp_path):
    table = allowed(tmp_path, (REAL / "zhongshan_coord_scaler.joblib").read_bytes())
    assert table["min"] == [2015.0, 721473.1875, 2457339.0] and table["scale"] == [7.0, 48242.5, 62406.75]


def test_another_digest_is_refused_and_the_archive_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "run_worker", lambda *_, **__: pytest.fail("the archive was opened"))
    file = tmp_path / "scaler.joblib"
    file.write_bytes(archive(scaler()))
    with pytest.raises(UnsafeCheckpointError, match="is not the archive that was allowed, and was not opened"):
        convert_scaler(file, allow_sha256="0" * 64)


def test_what_is_no_digest_or_no_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="64 hex digits"):
        convert_scaler(tmp_path / "scaler.joblib", allow_sha256="abc")
    with pytest.raises(MissingInputError, match="does not exist"):
        convert_scaler(tmp_path / "scaler.joblib", allow_sha256="0" * 64)


def test_this_process_never_imports_the_archive_reader():
    source = Path(convert.__file__).read_text()
    assert "import joblib" not in source and "import pickle" not in source


class Touch:
    """Runs a command when it is unpickled by an unguarded reader."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Connect:
    def __init__(self, port: int):
        self.port = port

    def __reduce__(self):
        return socket.create_connection, (("127.0.0.1", self.port), 2)


def hidden_in_a_scaler(canary: Path):
    fitted = scaler()
    fitted.feature_range = Touch(canary)
    return fitted


@pytest.mark.parametrize(
    "payload",
    [
        lambda canary: pickle.dumps(Touch(canary)),
        lambda canary: archive(Touch(canary)),
        lambda canary: archive(np.array([Touch(canary)], dtype=object)),
        lambda canary: archive(hidden_in_a_scaler(canary)),
        lambda canary: archive(hidden_in_a_scaler(canary), 3),
    ],
    ids=["pickle", "joblib", "object array", "scaler attribute", "compressed"],
)
def test_code_in_an_allowed_archive_is_refused_and_does_not_run(tmp_path, payload):
    canary = tmp_path / "canary"
    with pytest.raises(UnsafeCheckpointError, match=r"names posix\.system"):
        allowed(tmp_path, payload(canary))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "EOFError"),
        (b"\x80\x04", "expected a fitted MinMaxScaler"),
        (archive([1, 2]), "holds list"),
        (b"\x78\x9c" + b"\x00" * 8, "expected a fitted MinMaxScaler"),
    ],
)
def test_what_is_no_scaler_is_refused(tmp_path, data, message):
    with pytest.raises(UnsafeCheckpointError, match=message):
        allowed(tmp_path, data)


def test_a_scaler_that_was_never_fitted_or_was_tampered_with_is_refused(tmp_path):
    from sklearn.preprocessing import MinMaxScaler

    with pytest.raises(UnsafeCheckpointError, match="never fitted"):
        allowed(tmp_path, archive(MinMaxScaler()))
    bent = scaler()
    bent.scale_ = bent.scale_ * 1000
    with pytest.raises(UnsafeCheckpointError, match="contradicts itself"):
        allowed(tmp_path, archive(bent))


def claims_a_terabyte() -> bytes:
    from joblib.numpy_pickle import NumpyArrayWrapper

    return pickle.dumps(NumpyArrayWrapper(np.ndarray, (2**37,), "C", np.dtype("f8")))


def test_archives_that_claim_or_unpack_to_too_much_are_refused(tmp_path):
    import zlib

    with pytest.raises(UnsafeCheckpointError, match="unpacks to more than"):
        allowed(tmp_path, zlib.compress(bytes(100 * 2**20), 9))
    with pytest.raises(UnsafeCheckpointError, match=r"MemoryError|Unable to allocate"):
        allowed(tmp_path, claims_a_terabyte())


WORKER_GUARDS = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec); spec.loader.exec_module(worker)
guards = worker.leave_network_and_disk()
worker.limit()
import socket
def attempt(action):
    try:
        action()
    except (worker.Refused, OSError) as error:
        return type(error).__name__
    return "done"
def write():
    with open(sys.argv[2], "w") as stream:
        stream.write("x")
def connect():
    socket.create_connection(("127.0.0.1", int(sys.argv[3])), 2).close()
before = [attempt(write), attempt(connect)]
sys.addaudithook(worker.watch)
print(json.dumps([guards, before, [attempt(write), attempt(connect)]]))
"""


def test_the_reading_process_can_neither_write_nor_connect(tmp_path):
    """By the kernel where it permits namespaces, by the audit hook in any case."""
    import json
    import subprocess
    import sys

    listener = socket.create_server(("127.0.0.1", 0))
    target = tmp_path / "written"
    done = subprocess.run(
        [sys.executable, "-I", "-c", WORKER_GUARDS, str(convert.WORKER), str(target), str(listener.getsockname()[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    listener.close()
    guards, by_kernel, by_hook = json.loads(done.stdout)
    assert by_hook == ["Refused", "Refused"]
    assert by_kernel[0] == "OSError" and (not target.exists() or target.stat().st_size == 0)
    if guards["network_namespace"]:
        assert by_kernel[1] == "OSError"
    if guards["read_only_tree"]:
        assert not target.exists()


def test_the_worker_tells_which_guards_hold():
    guards = run_worker(archive(scaler()), name="scaler.joblib")["guards"]
    assert set(guards) == {"network_namespace", "read_only_tree"}
