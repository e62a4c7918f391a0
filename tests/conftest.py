"""What tests share: a small folder of pictures, one warm worker, and a file of weights."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from search.jobs import Pixels, WorkerContext
from search.native import ENVIRONMENT
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces.backbones import lite
from tests.pictures import make_pictures
from tests.warm import reapers_are_warm

if TYPE_CHECKING:
    from tests.refusals import Refuse

# What a worker sets comes too late where a test ran TensorFlow before in the same process.
os.environ |= {**ENVIRONMENT, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

# On a busy machine everything is slow, which is no failure.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves the slow ones out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked `first(N)` the kinds after its first N are slow.

    Files that run the whole command take longest: begun first, they do not keep one core busy at the end.
    """
    kinds: Counter[str] = Counter()
    for item in items:
        test, few = item.nodeid.partition("[")[0], item.get_closest_marker("first")
        kinds[test] += 1
        if few and kinds[test] > few.args[0]:
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_runtest_logfinish() -> None:
    """Once a test has imported TensorFlow, exclude all imports from garbage collection, as a worker does."""
    if "tensorflow" in sys.modules:
        exclude_imports_from_collection()


@cache  # once; gc.get_freeze_count() would count all of them again after each test, for a tenth of a second
def exclude_imports_from_collection() -> None:
    """The collector runs for each new architecture: over all these objects it takes a quarter as long as a trace."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def warm_reapers() -> None:
    """Workers that a test starts are forks of a process that has imported TensorFlow, see `tests.warm`."""
    reapers_are_warm()


@pytest.fixture(scope="session", autouse=True)
def keras_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder for Keras, in child processes too: what this user once downloaded changes no test."""
    home, before = tmp_path_factory.mktemp("keras"), os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = str(home)
    yield home
    del os.environ["KERAS_HOME"]
    if before is not None:
        os.environ["KERAS_HOME"] = before


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of MobileNetV3-Large, never trained: what Keras itself writes, 12 MB."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    keras.utils.set_random_seed(4)
    path = tmp_path_factory.mktemp("weights") / "mobile.weights.h5"
    keras.applications.MobileNetV3Large(include_top=False, weights=None, input_shape=(64, 64, 3)).save_weights(path)
    return path


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no package of weights were installed."""
    gone = [replace(packaged, package=f"no_{packaged.name}_anywhere") for packaged in lite.PACKAGED]
    monkeypatch.setattr(lite, "PACKAGED", tuple(gone))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that a small network learns in a few epochs, 8x8, 15 and 12 images."""
    return make_pictures(tmp_path_factory.mktemp("pictures") / "shapes", classes={"left": 15, "top": 12}, size=8)


@pytest.fixture(scope="session")
def prepared(pictures: Path) -> Prepared:
    """The pictures, ready to be searched with networks from scratch; the default one is small, so soon traced."""
    small = {"conv_depth": {"default": 1}, "dense_depth": {"default": 0}}
    return prepare(Config(images=str(pictures), preset="cnn", space=small, folds=3, trials=3), pictures.parent)


@pytest.fixture(scope="session")
def context(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerContext]:
    """What a worker needs of them."""
    with StudyFolder(tmp_path_factory.mktemp("study")).pixels_on_disk(prepared.images.pixels) as pixels:
        yield WorkerContext(
            Pixels(pixels), prepared.images.labels, prepared.facts, preset="cnn", metric="balanced_accuracy"
        )


@pytest.fixture(scope="session")
def worker(context: WorkerContext) -> Worker:
    """A worker in this process, TensorFlow imported."""
    return Worker(context)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and two studies of them, see `make_studies`; nobody changes them."""
    from tests.refusals import make_studies

    return make_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def place(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, as the current folder."""
    here = tmp_path / "place"
    shutil.copytree(studies, here)
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def refuse(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Runs the command in that folder and returns how it is refused."""
    from tests.refusals import refusing

    return refusing(place, capsys, monkeypatch)
