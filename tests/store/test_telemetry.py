"""Telemetry lies beside the results and can be replaced."""

from tasks.store.blobs import Store
from tasks.store.telemetry import load_telemetry, save_telemetry


def test_missing_is_empty(tmp_path):
    assert load_telemetry(Store(tmp_path), "train-1") == {}


def test_last_write_wins_and_nothing_becomes_a_blob(tmp_path):
    store = Store(tmp_path)
    save_telemetry(store, "train-1", {"wall_s": 1.0})
    save_telemetry(store, "train-1", {"wall_s": 2.0, "peak_mb": 300})
    assert load_telemetry(store, "train-1") == {"wall_s": 2.0, "peak_mb": 300}
    assert [path.name for path in tmp_path.iterdir()] == ["telemetry"]
    assert (tmp_path / "telemetry" / "train-1.json").read_text() == '{\n  "peak_mb": 300,\n  "wall_s": 2.0\n}\n'
