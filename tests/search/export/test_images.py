"""The study's images are read again for exports, however they lie."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data.depth import Scale
from search.errors import UsageError
from search.export.images import study_images
from search.manifest import About
from search.session.prepare import prepare
from search.study import config_file
from search.study.config import parse
from search.study.database import create
from search.study.folder import StudyFolder
from tests.pictures import write


def test_of_an_archive_with_deep_grey_they_are_those_of_the_search(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number in range(12):
            words = generator.integers(1000, 1200, (8, 8)).astype(np.uint16)
            path = write(tmp_path / "set" / f"{number}.png", Image.fromarray(words))
            archive.write(path, f"{'ab'[number % 2]}/{path.name}")
    folder = StudyFolder(tmp_path / "study")
    folder.make()
    config = parse({"images": "../set.zip", "preset": "cnn"}, "test")
    config_file.write(folder.path, config)
    prepared = prepare(config, folder.path)
    create(folder, prepared).close()
    scale = prepared.images.scale
    assert scale.bits is None
    about = About(("a", "b"), (8, 8, 1), grey_window=(scale.low, scale.high))
    found = study_images(folder, about, lambda _done, _all: None)
    assert (found.pixels == prepared.images.pixels).all() and found.missing == 0
    assert Scale.of_model(about.grey_bits, about.grey_window) == scale
    (tmp_path / "set.zip").unlink()
    with pytest.raises(UsageError, match=r"its images are not in .*set\.zip any more"):
        study_images(folder, about, lambda _done, _all: None)
