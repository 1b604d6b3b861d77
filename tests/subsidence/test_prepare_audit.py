"""What the compact first stage makes passes the audit, and is what the public one makes of the same panel."""

from pathlib import Path

import numpy as np
import pytest

from tasks.store.blobs import Store
from tasks.subsidence.handshake import audit
from tasks.subsidence.manifest import ingest_handoff, load_handoff
from tasks.subsidence.prepare import PrepareOptions, prepare
from tasks.subsidence.types import LiveConfig
from tests.subsidence.panel_cases import prepare_rows, read_arrays, read_record
from tests.subsidence.small_twin import small_twin_handoff

PANEL = Path(__file__).resolve().parents[2].parent / "shared/data/subsidence/zhongshan/zhongshan_panel.csv.gz"


def _audit(manifest: Path, folder: Path):
    store = Store(folder)
    return audit(load_handoff(ingest_handoff(manifest, store), store), LiveConfig(), None, store)


@pytest.mark.parametrize(
    "changes",
    [{}, {"holdout": "spatial_block"}, {"holdout": "temporal", "train_end_year": 2023}],
    ids=["random", "spatial_block", "temporal"],
)
def test_twin_passes_the_audit(tmp_path, changes):
    verdict, results, report = _audit(small_twin_handoff(tmp_path / "twin", **changes), tmp_path / "store")
    assert report["counts"]["fail"] == 0, [result.message for result in results if result.status == "fail"]
    assert verdict == "pass_with_warnings"


@pytest.mark.parametrize(
    "changes",
    [{"train_end_year": 2022}, {"train_end_year": 2022, "holdout": "spatial_block"}, {"holdout": "temporal"}],
    ids=["random", "spatial_block", "temporal"],
)
def test_real_panel_passes_the_audit(tmp_path, changes):
    if not PANEL.exists():
        pytest.skip("the real data are not beside this checkout")
    made = prepare(PANEL, tmp_path / "out", PrepareOptions(city="zhongshan", **changes))
    _, results, report = _audit(made.manifest, tmp_path / "store")
    assert report["counts"]["fail"] == 0, [result.message for result in results if result.status == "fail"]
    assert made.split_sizes["future"] == 2006


def test_real_panel_gives_the_facts_of_the_public_handoff(tmp_path):
    if not PANEL.exists():
        pytest.skip("the real data are not beside this checkout")
    made = prepare(PANEL, tmp_path / "out", PrepareOptions(city="zhongshan", train_end_year=2022))
    config = read_record(made)["config"]
    assert made.split_sizes == {"train": 1404, "val": 401, "test": 201, "future": 2006}
    assert config["scaling_kwargs"]["coord_epsg_used"] == 32649
    assert config["features"]["dynamic"] == [
        "GWL_depth_bgs_m__si",
        "subsidence_cum__si",
        "rainfall_mm",
        "urban_load_global",
        "soil_thickness_censored",
    ]
    assert config["censoring"]["report"]["soil_thickness"]["censored_rate"] == pytest.approx(0.25, abs=0.01)
    targets = np.concatenate([read_arrays(made, f"{s}_targets")["subs_pred"] for s in ("train", "val", "test")])
    assert targets.min() == pytest.approx(0.04300516) and targets.max() == pytest.approx(0.3263089)


def test_flipped_byte_fails_the_digest_check(tmp_path):
    made = prepare_rows(tmp_path)
    path = made.manifest.parent / "artifacts/train_targets.npz"
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(bytes(data))
    _, results, _ = _audit(made.manifest, tmp_path / "store")
    assert "F-02" in {result.id for result in results if result.status == "fail"}
