"""What tests share: a small folder of pictures, and one warm worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.config import Config
from search.jobs import Materials
from search.study import Prepared, pixels_on_disk, prepare
from search.worker import Worker
from tests.pictures import make_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that a small network learns in a few epochs, 8x8, 15 and 12 images."""
    return make_pictures(tmp_path_factory.mktemp("pictures") / "shapes", classes={"left": 15, "top": 12}, size=8)


@pytest.fixture(scope="session")
def prepared(pictures: Path) -> Prepared:
    """The pictures, ready to be searched with networks from scratch."""
    return prepare(Config(images=str(pictures), preset="cnn", folds=3, trials=3), pictures.parent)


@pytest.fixture(scope="session")
def materials(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materials]:
    """What a worker needs of them."""
    with pixels_on_disk(tmp_path_factory.mktemp("study"), prepared.images) as pixels:
        yield Materials(pixels, prepared.images.labels, prepared.facts, preset="cnn", metric="balanced_accuracy")


@pytest.fixture(scope="session")
def worker(materials: Materials) -> Worker:
    """A worker in this process, TensorFlow imported."""
    return Worker(materials)
