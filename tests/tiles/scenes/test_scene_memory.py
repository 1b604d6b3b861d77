"""Memory for a scene grows with its width and not with its height."""

import subprocess
import sys

import numpy as np
import rasterio

# A process of its own: the peak of this one would show whatever other tests needed.
CODE = """
import resource, sys
from pathlib import Path
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.scene import SceneOptions, refine_scene

folder = Path(sys.argv[1])
same = lambda values, valid: values[:, -1]
refine_scene(folder / "s.tif", folder / "out.tif", same, TilesConfig(), SceneOptions(16), scratch=folder)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_rows(path, height, width):
    rows = np.random.default_rng(0).integers(500, 4000, (4, 256, width), np.uint16)
    shape = {"count": 4, "height": height, "width": width, "dtype": "uint16", "crs": "EPSG:32632"}
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(path, "w", "GTiff", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **shape, **blocks) as file:
        file.descriptions = ("B02", "B03", "B04", "B08")
        for first in range(0, height, 256):
            file.write(rows, window=((first, first + 256), (0, width)))


def peak_kib(folder, height, width):
    folder.mkdir()
    write_rows(folder / "s.tif", height, width)
    done = subprocess.run([sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_scene_three_times_as_high_needs_no_more_memory(tmp_path):
    low, high = peak_kib(tmp_path / "low", 1024, 3072), peak_kib(tmp_path / "high", 3072, 3072)
    assert high <= 1.2 * low, (low, high)
