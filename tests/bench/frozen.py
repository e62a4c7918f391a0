"""A trial of frozen features, warm: every head at its default point, five folds of 500 pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from search.jobs import FitOptions, FoldJob, FoldResult, Pixels, WorkerContext
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.worker.worker import Worker
from spaces import Value
from tests.bench.timing import interleaved
from tests.pictures import make_pictures

IMAGES, SIDE, FOLDS, EPOCHS = 500, 64, 5, 100
HEADS = ("logistic", "svm", "dense")


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Lines of Markdown. The features are computed before, as after the first trial of a study."""
    half = IMAGES // 2
    pictures = make_pictures(folder / "frozen", classes={"a": half, "b": half}, size=SIDE, colour=True)
    prepared = prepare(Config(images=str(pictures), preset="frozen"), folder)
    rows = np.arange(IMAGES, dtype=np.int32)
    with StudyFolder(folder).pixels_on_disk(prepared.images.pixels) as path:
        worker = Worker(
            WorkerContext(Pixels(path), prepared.images.labels, prepared.facts, "frozen", "balanced_accuracy")
        )

        def trial(params: dict[str, Value]) -> None:
            for fold in range(FOLDS):
                validate = rows % FOLDS == fold
                job = FoldJob(0, 0, fold, params, rows[~validate], rows[validate], fold, FitOptions(EPOCHS, 8))
                outcome = worker.do(job)
                assert isinstance(outcome, FoldResult), outcome

        points = {head: prepared.space.defaults(head=head) for head in HEADS}
        for point in points.values():
            trial(point)  # the features, and the dense head's graph
        taken = interleaved(rounds, {head: partial(trial, point) for head, point in points.items()})
    yield f"A trial of {FOLDS} folds on {IMAGES} pictures by one worker, features at hand (Lite0 at 128 pixels,"
    yield "averaged over the mirror image):"
    yield ""
    yield "| head | seconds |"
    yield "| --- | --- |"
    for head, seconds in taken.items():
        yield f"| {head} | {seconds:.2f} (< 1: {'met' if seconds < 1 else 'missed'}) |"
