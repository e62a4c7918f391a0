"""What workers do, in words, and what becomes of those words in a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.executors.base import Doing, Replaced
from search.jobs import ComposeJob, DescribeJob, FitOptions, FoldJob, Job, LookJob, ReferenceJob, RefitJob, Step
from search.results.progress import Activity, Progress
from search.session.activity import Activities, replaced
from tests.search.session.instant import Instant
from tests.search.session.sessions import Watcher, a_plan, new_study, sit

ROWS = np.arange(2, dtype=np.int32)
FOLD = FoldJob(3, 0, 1, {"depth": 1}, ROWS, ROWS, 1, FitOptions())
PLAN = a_plan(model="cnn")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (FOLD, "trial 3 (cnn), fold 2 of 3"),
        (replace(FOLD, params={"family": "frozen"}), "trial 3 (frozen), fold 2 of 3"),
        (replace(FOLD, repeat=1), "trial 3 (cnn) on new folds, fold 2 of 3"),
        (DescribeJob({}, 7), "describing trial 7"),
        (ReferenceJob("linear_probe", 0, ROWS, ROWS, 1), "reference linear probe, fold 1 of 3"),
        (RefitJob(FOLD, Path("x.keras")), "trial 3 (cnn) on all images"),
        (ComposeJob((), Path("x.keras"), {}, ROWS), "saving the model"),
        (LookJob(Path("x.keras"), ROWS, ROWS), "finding where the model looks"),
    ],
)
def test_each_job_has_words_and_folds_are_counted_from_1(job: Job, words: str) -> None:
    assert [*Activities(lambda: [Doing(job)], PLAN)] == [Activity(words)]


def test_how_far_it_is_and_what_it_waits_for() -> None:
    doing = [Doing(FOLD, Step("epoch", 12, 40)), Doing(FOLD, importing=True)]
    fold, waiting = Activities(lambda: doing, PLAN)
    assert fold.how_far == "epoch 12 of 40" and not fold.importing
    assert waiting.how_far == "" and waiting.importing


def test_an_observer_sees_what_is_done_and_is_told_once_of_each_worker_that_was_replaced(tmp_path: Path) -> None:
    executor = Instant(doing=(Doing(FOLD),))
    executor.ended.append(Replaced(FOLD, "made no progress for 30m"))
    watcher = Watcher()
    sit(new_study(tmp_path / "study.db"), executor, watcher, trials=1)
    seen: list[Progress] = watcher.seen
    assert [*seen[0].doing] == [Activity("trial 3, fold 2 of 3")]
    said = "a worker made no progress for 30m; a new one does its job once more: trial 3, fold 2 of 3"
    assert [note for note in watcher.notes if note.startswith("a worker")] == [said]
    assert replaced(Replaced(FOLD, "was killed by SIGKILL"), PLAN).startswith("a worker was killed by SIGKILL; ")
