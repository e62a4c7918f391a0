"""What tests of custom models share: workers of a builder given as text, and a fold run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from search.jobs import ComposeJob, FoldJob, FoldResult, Pixels, RefitJob, SavedModel, WorkerContext
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces.custom.file import named
from tests.pictures import make_pictures
from tests.search.worker.nets import BUILD
from tests.search.worker.test_trainer import fold_job, trained


@pytest.fixture
def worker_of(context: WorkerContext, tmp_path: Path) -> Callable[[str], Worker]:
    return lambda source: worker_for(source, context, tmp_path)


@pytest.fixture
def job(prepared: Prepared) -> FoldJob:
    return job_of_own(prepared)


def job_of_own(prepared: Prepared) -> FoldJob:
    return fold_job(prepared, {"rate": 0.01}, max_epochs=4)


@pytest.fixture(scope="session")
def plain(context: WorkerContext, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> FoldResult:
    """What `job` comes to with the builder BUILD, trained once for all tests that compare with it."""
    return trained(worker_for(BUILD, context, tmp_path_factory.mktemp("plain")), job_of_own(prepared))


@pytest.fixture(scope="session")
def three_classes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prepared, WorkerContext]]:
    """Coloured pictures of three classes that a small network learns in a few epochs, and their context."""
    with coloured(tmp_path_factory.mktemp("three"), {"left": 12, "top": 12, "right": 12}, size=8, folds=3) as made:
        yield made


@contextmanager
def coloured(
    home: Path, classes: Mapping[str, int], *, size: int, folds: int
) -> Iterator[tuple[Prepared, WorkerContext]]:
    """Coloured pictures of these numbers, and a worker's context for a custom model on them."""
    root = make_pictures(home / "pictures", dict(classes), size=size, colour=True)
    prepared = prepare(Config(images=str(root), preset="cnn", folds=folds), home)
    with StudyFolder(home).pixels_on_disk(prepared.images.pixels) as pixels:
        yield prepared, WorkerContext(Pixels(pixels), prepared.images.labels, prepared.facts, "cnn", "accuracy")


def worker_for(source: str, context: WorkerContext, folder: Path, function: str = "build") -> Worker:
    """A worker of this builder of a text, written to net.py of the folder."""
    path = folder / "net.py"
    path.write_text(source)
    return Worker(replace(context, model=named(f"{path}:{function}")))


def shipped(worker: Worker, job: FoldJob, folder: Path) -> NDArray[np.float32]:
    """[validation images, classes] by the exported file of a model that was trained as in `job`."""
    refit = worker.do(RefitJob(job, folder / "part.keras"))
    assert isinstance(refit, SavedModel), refit
    whole = worker.do(ComposeJob(((folder / "part.keras", 1.0),), folder / "model.keras", {}, job.validate))
    assert isinstance(whole, SavedModel) and whole.probabilities is not None, whole
    return whole.probabilities
