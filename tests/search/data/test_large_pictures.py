"""Photographs of a camera: read in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.warm import ROOT

_READ = """
import json, sys
from pathlib import Path
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) * 1024
from search.data.check import check_images
from search.data.images import read_images
import imagehash, scipy.ndimage, sklearn.linear_model
before = peak()
images = read_images(Path(sys.argv[1]), grey_bits=None)
print(json.dumps({"images": len(images.labels), "shape": images.pixels.shape[1:], "bytes": peak() - before}))
"""


@pytest.mark.slow
def test_300_pictures_of_12_megapixels_are_read_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    """Links to six files: the same pixels are decoded 300 times, and making them does not take minutes."""
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = rng.integers(0, 256, (30, 40, 3), np.uint8)
        original = tmp_path / f"{number}.jpg"
        Image.fromarray(coarse).resize((4000, 3000)).save(original, quality=90)
        folder = tmp_path / "pictures" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(50):
            os.link(original, folder / f"{number}-{copy:02d}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path / "pictures")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["images"], told["shape"]) == (300, [128, 128, 3])
    assert told["bytes"] < 1e9
