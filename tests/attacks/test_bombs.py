"""Files that claim or unpack to far more than they are: refused at once, before anything is allocated."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[2]
LIMIT_S, LIMIT_MB = 0.05, 50

# The fastest of five reads, so that a busy machine does not decide; memory as the kernel saw it at its highest.
PROBE = r"""
import json, re, sys, time
from pathlib import Path
from tasks.contracts.errors import HandshakeError
from tasks.store.jsons import read_json
from tasks.store.npz import read_npz
from tasks.store.tensors import read_safetensors

path = Path(sys.argv[1])
data = path.read_bytes()
read = {
    "npz": lambda: read_npz(path),
    "npz bytes": lambda: read_npz(data, name=path.name),
    "json": lambda: read_json(data, name=path.name),
    "safetensors": lambda: read_safetensors(data, name=path.name),
}[sys.argv[2]]
status = Path("/proc/self/status")
Path("/proc/self/clear_refs").write_text("5")  # forget the highest use of memory so far
seconds, before = [], int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])
for _ in range(5):
    start = time.perf_counter()
    try:
        read()
        error = ""
    except HandshakeError as refused:
        error = f"{type(refused).__name__}: {refused}"
    seconds.append(time.perf_counter() - start)
growth = (int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) - before) / 1024
print(json.dumps({"error": error, "seconds": min(seconds), "growth_mb": growth}))
"""


def refusal(path: Path, reader: str) -> str:
    """What the reader says about a file; fails when saying it takes long or much memory."""
    command = [sys.executable, "-c", PROBE, str(path), reader]
    outcome = json.loads(subprocess.run(command, cwd=HERE, capture_output=True, check=True, timeout=60).stdout)
    assert outcome["seconds"] < LIMIT_S
    assert outcome["growth_mb"] < LIMIT_MB
    return outcome["error"]


def npy(shape: str, data: bytes = b"", descr: str = "<f8") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def two_to_the_forty_elements() -> bytes:
    return zipped({"x.npy": npy("(1099511627776,)", bytes(64))})


def two_to_the_forty_bytes_in_the_directory() -> bytes:
    data = bytearray(zipped({"x.npy": npy("(8,)", bytes(64))}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (0xFFFFFFFE).to_bytes(4, "little")
    return bytes(data)


def thousandfold_ratio() -> bytes:
    return zipped({"x.npy": npy("(16777216,)", bytes(128 << 20))})


def thousandfold_ratio_in_small_portions() -> bytes:
    return zipped({f"x{i}.npy": npy("(393216,)", bytes(3 << 20)) for i in range(60)})


def packed_size_that_lies_to_look_harmless() -> bytes:
    data = bytearray(zipped({"x.npy": npy("(16777216,)", bytes(128 << 20))}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 24] = (100 << 20).to_bytes(4, "little")
    return bytes(data)


def hundred_thousand_members() -> bytes:
    return zipped({f"{i}.npy": b"" for i in range(100_000)})


def just_more_members_than_allowed() -> bytes:
    return zipped({f"{i}.npy": npy("(1,)", bytes(8)) for i in range(65)})


def overlapping_members() -> bytes:
    """Many directory entries that all unpack the same bytes."""
    data = zipped({"a.npy": npy("(65536,)", np.random.default_rng(0).bytes(512 << 10))})
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = data[start:end]
    entries = b"".join(entry.replace(b"a.npy", b"%c.npy" % letter) for letter in range(ord("a"), ord("z")))
    closing = bytearray(data[end:])
    closing[8:12] = (25).to_bytes(2, "little") * 2
    closing[12:16] = len(entries).to_bytes(4, "little")
    return data[:start] + entries + bytes(closing)


def header_of_a_hundred_megabytes() -> bytes:
    return zipped({"x.npy": b"\x93NUMPY\x02\x00" + (100 << 20).to_bytes(4, "little") + b" " * (2 << 20)})


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        (two_to_the_forty_elements, "'x' claims too much: expected at most 2147483648 bytes, found 8796093022208"),
        (two_to_the_forty_bytes_in_the_directory, "claims too much: expected at most 2147483648 bytes"),
        (thousandfold_ratio, "'x' unpacks to suspiciously much: expected less than 1000:1"),
        (thousandfold_ratio_in_small_portions, "unpacks to suspiciously much"),
        (packed_size_that_lies_to_look_harmless, "claims more packed bytes than it has"),
        (hundred_thousand_members, "too large a zip directory (too many members)"),
        (just_more_members_than_allowed, "has too many members: expected at most 64, found 65"),
        (overlapping_members, "claims more packed bytes than it has"),
        (header_of_a_hundred_megabytes, "has too long a header"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("reader", ["npz", "npz bytes"])
def test_npz_bomb_is_refused_at_once(tmp_path, bomb, message, reader):
    path = tmp_path / "train_inputs.npz"
    path.write_bytes(bomb())
    error = refusal(path, reader)
    assert error.startswith("UnsafeArchiveError: train_inputs.npz") and message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (65 << 20), "is too large: expected at most 67108864 bytes"),
        (b'[" \\" ' + b'\\"' * 300_000, "is not valid JSON"),
        (b'"' * 300_001, "is not valid JSON"),
        (b"1" * 1_000_000, "is not valid JSON"),
    ],
    ids=["lists", "objects", "never closed", "large", "string without end", "quotes", "number without end"],
)
def test_json_bomb_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "manifest.json"
    path.write_bytes(text)
    error = refusal(path, "json")
    assert "manifest.json" in error and message in error


def test_safetensors_header_without_end_is_refused_at_once(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    assert refusal(path, "safetensors").startswith("UnsafeArchiveError: w.safetensors is truncated")


def test_large_honest_json_is_read_in_linear_time(tmp_path):
    """Twice the text may take about twice the time: no pattern of quotes makes the depth check quadratic."""
    from time import perf_counter

    from tasks.store.jsons import read_json

    def seconds(count: int) -> float:
        data = json.dumps([{'a\\"[': '"]}\\' * 3}] * count).encode()
        start = perf_counter()
        assert len(read_json(data, name="x.json")) == count
        return perf_counter() - start

    assert min(seconds(80_000) for _ in range(3)) < 8 * min(seconds(20_000) for _ in range(3))
