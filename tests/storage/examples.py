"""A small study, and checks that several tests make on files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage import (
    FoldRecord,
    ImageRecord,
    LayerRecord,
    ReferenceRecord,
    RunRecord,
    ServerUrl,
    Split,
    StorageError,
    Store,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from storage.records import Origin

IMAGES = 12
FOLDS = 3
CLASSES = ("Katze", "犬")
ROOT = Path(__file__).parents[2]

STUDY = StudyRecord(
    name="pets",
    created="2025-01-02T03:04:05+00:00",
    seed=2**62,
    metric="balanced_accuracy",
    classes=CLASSES,
    image_shape=(8, 8, 3),
    fingerprint="f" * 64,
    config={"preset": "small", "hours": 1.5, "sampler": None},
    space={"parameters": [{"name": "rate", "low": 1e-5, "high": 0.1}]},
)
IMAGE_RECORDS = tuple(
    ImageRecord(
        row=row,
        path=f"{CLASSES[row % 2]}/{row}.png",
        label=row % 2,
        testing=row >= IMAGES - 3,
        digest=f"{row:064x}",
    )
    for row in range(IMAGES)
)
RUN = RunRecord(
    started="2025-01-02T03:04:06+00:00",
    command="search run --hours 1.5",
    versions={"python": "3.11", "keras": "3.15"},
    host="box",
    pid=4711,
)
LAYERS = (
    LayerRecord("conv", "Conv2D", (8, 8, 16), 448, "16 @ 3x3, relu"),
    LayerRecord("pool", "GlobalAveragePooling2D", (None, 16), 0),
)


def assignment(repeat: int) -> NDArray[np.int16]:
    """[IMAGES]: three folds of three images, shifted by one for each repeat; the last three images are for testing."""
    folds = (np.arange(IMAGES) + repeat) % FOLDS
    folds[-3:] = -1
    return folds.astype(np.int16)


SPLITS = tuple(Split(repeat, assignment(repeat)) for repeat in range(2))


def probabilities(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)), 3).astype(np.float32)


def fold(trial: int = 0, fold: int = 0, repeat: int = 0, **changes: Any) -> FoldRecord:
    values: dict[str, Any] = {
        "trial": trial,
        "repeat": repeat,
        "fold": fold,
        "seed": 1000 * trial + 10 * repeat + fold,
        "scores": {"balanced_accuracy": 0.5, "accuracy": 0.5 + 0.1 * fold, "log_loss": float("inf")},
        "epochs": 3,
        "best_epoch": 2,
        "curve": {"loss": (0.7, 0.6, float("nan")), "val_loss": (0.8, 0.7, 0.9)},
        "parameters": 448,
        "seconds": 2.25,
        "probabilities": probabilities(trial + abs(fold)),
    }
    return FoldRecord(**(values | changes))


def trial(number: int = 0, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "number": number,
        "params": {"rate": 0.001, "blocks": number, "norm": "batch", "flip": True},
        "origin": Origin.BASELINE if number == 0 else Origin.SAMPLER,
        "parameters": 448,
        "layers": LAYERS,
        "redraws": 2,
        "started": "2025-01-02T03:04:07+00:00",
    }
    return TrialRecord(**(values | changes))


def reference(name: str = "majority", fold: int = 0, **changes: Any) -> ReferenceRecord:
    values: dict[str, Any] = {
        "name": name,
        "fold": fold,
        "scores": {"accuracy": 0.5, "log_loss": 0.7},
        "seconds": 0.25,
        "probabilities": probabilities(50 + abs(fold)),
    }
    return ReferenceRecord(**(values | changes))


def make(path: Path, server: ServerUrl | None = None) -> Store:
    """An empty study with one run, number 0: in a file, or on a server, to which the file is a link."""
    store = Store.create(path, STUDY, IMAGE_RECORDS, SPLITS, server)
    store.start_run(RUN)
    return store


def fill(store: Store, trials: int) -> None:
    """Adds so many complete trials of three folds each."""
    for number in range(trials):
        store.add_trial(trial(number), run=0, seconds=number)
        for index in range(FOLDS):
            last = (TrialState.COMPLETE, None, None) if index == FOLDS - 1 else None
            store.add_fold(fold(number, index), run=0, seconds=number + 0.1 * index, close=last)


def bytes_of(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """No file in the folder is changed, added or removed."""
    before = bytes_of(folder)
    yield
    assert bytes_of(folder) == before


@contextmanager
def refused(*words: str) -> Iterator[pytest.ExceptionInfo[StorageError]]:
    """A StorageError is raised whose message contains all these texts."""
    with pytest.raises(StorageError) as caught:
        yield caught
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "[SQL" not in message
    assert "sqlalche.me" not in message
