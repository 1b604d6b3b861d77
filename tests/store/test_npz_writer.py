"""Equal arrays give equal bytes."""

import subprocess
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest

from tasks.contracts.errors import StoreError
from tasks.store.npz import read_npz
from tasks.store.npz_writer import write_npz


def test_order_layout_and_byte_order_do_not_matter():
    table = np.arange(6.0).reshape(2, 3)
    plain = write_npz({"a": table, "b": np.ones(2)})
    assert write_npz({"b": np.ones(2), "a": np.asfortranarray(table).astype(">f8")}) == plain


def test_another_process_on_another_day_writes_the_same(monkeypatch):
    code = (
        "import sys, time; time.time = lambda: 4e9; import numpy as np; from tasks.store.npz_writer import write_npz;"
        "sys.stdout.buffer.write(write_npz({'a': np.arange(3)}))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={"TZ": "Asia/Tokyo"})
    assert other.stdout == write_npz({"a": np.arange(3)})


def test_members_carry_the_first_date_that_zip_knows():
    with zipfile.ZipFile(BytesIO(write_npz({"a": np.zeros(2)}))) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_scalars_stay_scalars():
    assert read_npz(write_npz({"x": np.float32(2.5)}))["x"].shape == ()


def test_large_constant_arrays_do_not_look_like_bombs_when_compressed():
    nothing = np.zeros(2_000_000)
    data = write_npz({"x": nothing}, compressed=True)
    assert len(data) < nothing.nbytes / 100
    np.testing.assert_array_equal(read_npz(data)["x"], nothing)


def test_objects_are_refused():
    with pytest.raises(StoreError, match="array 'x' cannot be stored: found dtype object"):
        write_npz({"x": np.array([{}, None])})


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\0"])
def test_unusable_names_are_refused(name):
    with pytest.raises(StoreError, match="cannot name an array"):
        write_npz({name: np.zeros(1)})
