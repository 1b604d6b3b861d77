"""What users type to inspect refined tiles agrees with the quality document."""

import json

import numpy as np
import pytest
from scipy.ndimage import sobel

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.compared import finished_ids, folder_oracle, folder_pairs
from tasks.tiles.evaluate import evaluate
from tests.tiles.quality.finished_folder import finished

CONFIG = TilesConfig()


@pytest.fixture
def judged(tmp_path):
    sample, output = finished(tmp_path, count=4, sizes=(120, 41))
    ids = finished_ids(output)
    quality = evaluate(folder_pairs(ids, sample.tiles, output, CONFIG), folder_oracle(ids, sample.tiles))
    return sample.tiles, output, {tile["id"]: tile for tile in quality["per_tile"]}


def test_the_file_is_what_it_should_be(judged):
    inputs, outputs, figures = judged
    for path in sorted(outputs.glob("*.npz")):
        data = np.load(path)
        assert list(data.keys()) == ["opt_v2"]
        opt_v2 = data["opt_v2"]
        assert opt_v2.shape == np.load(inputs / path.name)["opt_v1"].shape
        assert opt_v2.dtype == np.float32
        assert (opt_v2.min(), opt_v2.max()) == (figures[path.stem]["minimum"], figures[path.stem]["maximum"])
        assert opt_v2.min() >= 0 and opt_v2.max() <= 1
        with open(path.with_suffix(".json")) as f:
            metadata = json.load(f)
        assert metadata["stage"] == "stage2_refined"
        assert metadata["month"] == figures[path.stem]["month"]


def test_ndvi_by_numpy(judged):
    inputs, outputs, figures = judged
    for path in sorted(outputs.glob("*.npz")):
        v1, v2 = np.load(inputs / path.name)["opt_v1"], np.load(path)["opt_v2"]
        ndvi_v1 = (v1[3] - v1[2]) / (v1[3] + v1[2] + 1e-8)
        ndvi_v2 = (v2[3] - v2[2]) / (v2[3] + v2[2] + 1e-8)
        rmse = np.sqrt(np.mean((ndvi_v2 - ndvi_v1) ** 2))
        assert figures[path.stem]["ndvi_rmse"] == pytest.approx(rmse, abs=1e-6)


def test_edges_by_scipy(judged):
    inputs, outputs, figures = judged
    for path in sorted(outputs.glob("*.npz")):
        nir_v1, nir_v2 = np.load(inputs / path.name)["opt_v1"][3], np.load(path)["opt_v2"][3]
        edges_v1 = np.sqrt(sobel(nir_v1, axis=0) ** 2 + sobel(nir_v1, axis=1) ** 2)
        edges_v2 = np.sqrt(sobel(nir_v2, axis=0) ** 2 + sobel(nir_v2, axis=1) ** 2)
        correlation = np.corrcoef(edges_v1.flatten(), edges_v2.flatten())[0, 1]
        assert figures[path.stem]["edge_correlation"] == pytest.approx(correlation, abs=1e-6)
