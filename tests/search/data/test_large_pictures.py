"""Photographs of a camera: searched in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces.backbones.lite import LITE0
from tests.pictures import make_pictures
from tests.warm import ROOT

FILES, COPIES = 6, 50


def photographs(place: Path) -> Path:
    """Links to six files: the same pixels are decoded 300 times, and making them does not take minutes."""
    rng = np.random.default_rng(0)
    for number in range(FILES):
        original = place / f"{number}.jpg"
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
        coarse.resize((4000, 3000)).save(original, quality=90)
        folder = place / "photographs" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(COPIES):
            os.link(original, folder / f"{number}-{copy:02d}.jpg")
    return place / "photographs"


def peak(pictures: Path, place: Path) -> tuple[int, str]:
    """(Bytes of a search in one process at its peak, what it printed)."""
    options = ["--preset", "frozen", "--trials", "1", "--folds", "2", "--workers", "0", "--no-lock-box"]
    line = [sys.executable, "-m", "search", "run", str(pictures), *options, "--dir", str(place / pictures.name)]
    line[-1] += "-study"
    with (place / "printed").open("w+", encoding="utf-8") as printed:
        child = subprocess.Popen(line, cwd=ROOT, stdout=printed, stderr=printed)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        said = printed.read()
    assert child.returncode == 0, said
    return used.ru_maxrss * 1024, said


@pytest.mark.slow
@pytest.mark.timeout(1800)  # 3.5 minutes on two cores that do other things too
@pytest.mark.skipif(bool(LITE0.problem()), reason="needs the package of weights")
def test_300_pictures_of_12_megapixels_take_less_than_a_gigabyte_more_than_12_small_ones(tmp_path: Path) -> None:
    """What the small ones take is that of TensorFlow and the network."""
    small, _ = peak(make_pictures(tmp_path / "small", {"a": 6, "b": 6}, size=32, colour=True), tmp_path)
    large, said = peak(photographs(tmp_path), tmp_path)
    assert "300 in 2 classes" in said
    assert "pictures are read at " in said  # they were compared at two sizes
    assert large - small < 1e9
