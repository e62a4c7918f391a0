"""Explaining over a real database, with results by formula: what is trained and taken, and going on after a death."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.commands.backup import backup, verify
from search.errors import RunError, UsageError
from search.jobs import DescribeJob, Failure, FailureCause, FitOptions, FoldJob, FoldResult, Job, Outcome
from search.results.checked import Checked
from search.results.explained import Explanation, last_explained
from search.results.progress import Ending
from search.results.read import read_stored
from search.results.summary import summarise
from search.session.explain import Budget, explain
from search.session.plan import fold_job
from search.session.records import fold_record
from search.session.session import Asked
from search.stats.metrics import scores
from search.stats.ranking import best
from search.study.database import create
from search.study.explanation import ends_of
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from storage import Store, TrialRecord, TrialState
from storage.records import ChoiceRecord, Origin
from tests.commands import table
from tests.search.session.instant import Instant, description_of
from tests.search.session.sessions import RUN, Died

CHANGES: dict[str, Any] = {
    "optimizer": "sgd",
    "kernel": 5,
    "head": "flatten",
    "weight_penalty": "l2",
    "activation": "elu",
}
NO_LIMIT = Budget()
WORTH = {"optimizer": 0.4, "kernel": 0.25, "weight_penalty": -0.3}
"""How many more of the images each change gets right; the optimizer's is worth less with the larger kernel."""


def share(params: Any) -> float:
    """Of the images, how many are right."""
    made = {name for name, value in CHANGES.items() if params.get(name) == value}
    return 0.45 + sum(WORTH.get(name, 0.0) for name in made) - (0.1 if {"optimizer", "kernel"} <= made else 0.0)


@dataclass
class Table:
    """Answers jobs by `share`, with a little luck from the job's seed."""

    labels: Any
    fails: Callable[[FoldJob], Failure | None] = lambda _: None
    trained: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, job: Job) -> Outcome:
        if isinstance(job, DescribeJob):
            return description_of(job)
        assert isinstance(job, FoldJob)
        if failure := self.fails(job):
            return failure
        self.trained.append((job.trial, job.fold))
        return self.result(job)

    def result(self, job: FoldJob) -> FoldResult:
        truth = self.labels[job.validate]
        luck = np.random.default_rng(job.seed).permutation(len(truth))
        right = luck < round(share(job.params) * len(truth))
        said = np.where(right, truth, 1 - truth)
        probabilities = np.where(np.arange(2) == said[:, None], 0.9, 0.1).astype(np.float32)
        seed = hashlib.sha256(str(job.seed).encode()).digest()[0]
        return FoldResult(scores(truth, probabilities), 3 + seed % 2, 2, {"loss": (1.0,)}, probabilities, 100, 0.01)


@pytest.fixture
def answers(prepared: Prepared) -> Table:
    return Table(prepared.images.labels)


@pytest.fixture
def folder(prepared: Prepared, answers: Table, tmp_path: Path) -> StudyFolder:
    """A study with trial 0, another, the goal as trial 2, and one point between as trial 3, cut by the race."""
    folder = StudyFolder(tmp_path / "study")
    folder.path.mkdir()
    points = [
        prepared.space.defaults(),
        prepared.space.defaults(activation="gelu"),
        prepared.space.defaults(**CHANGES),
        prepared.space.defaults(kernel=5),
    ]
    with create(folder, prepared) as store:
        run = store.start_run(RUN)
        for number, point in enumerate(points):
            trial = TrialRecord(number, point, Origin.SAMPLER if number else Origin.BASELINE)
            store.add_trial(trial, run=run, seconds=0)
            for fold in range(prepared.folds - (number == 3)):
                job = fold_job(trial, fold, store.split(), seed=7, options=FitOptions())
                last = fold == prepared.folds - 1
                close = (TrialState.COMPLETE, None, None) if last else None
                store.add_fold(fold_record(job, answers.result(job)), run=run, seconds=0, close=close)
        store.close_trial(3, TrialState.PRUNED, "behind", "made for a test")
        store.end_run(run, "finished", 1.0)
    return folder


def explain_it(
    folder: StudyFolder, prepared: Prepared, executor: Instant, budget: Budget = NO_LIMIT, **ends: Any
) -> Ending:
    with folder.read() as store:
        asked = ends_of(folder, store, ends.get("start"), ends.get("goal"))
    return explain(
        folder, prepared, asked, budget, executor=executor, asked=Asked("search explain"), goes_on="the same command"
    )


def rows_of(folder: StudyFolder, start: int = 0, goal: int = 2) -> list[Any]:
    with Store.open(folder.explanation(start, goal), read_only=True) as store:
        return table(store.trials())


def shown(folder: StudyFolder) -> Explanation:
    with folder.read() as store:
        explanation, unread = last_explained(store)
    assert not unread
    assert explanation is not None
    return explanation


def test_the_path_is_that_of_the_formula_and_agrees_with_the_store(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    before = folder.database.read_bytes()
    assert explain_it(folder, prepared, Instant(answers)) is Ending.FINISHED
    e = shown(folder)
    assert (e.start, e.goal, e.rest, e.saved, e.ensemble) == (0, 2, None, None, False)
    with folder.read() as store:
        leader = best(store.trials(), e.metric)
    assert leader is not None and e.best == leader.number
    assert [step.names[0] for step in e.steps][:2] == ["optimizer", "kernel"]
    assert [step.names[0] for step in e.steps][-1] == "weight_penalty"
    assert {name for step in e.steps for name in step.names} == CHANGES.keys()
    assert sum(step.gain.mean for step in e.steps) == pytest.approx(e.goal_score - e.start_score)
    assert e.steps[-1].score == e.goal_score
    (optimizer,) = (part for part in e.alone if part.names == ("optimizer",))
    assert {change.name for change in optimizer.along} >= {"learning_rate", "sgd_learning_rate"}
    assert optimizer.gain == e.steps[0].gain and optimizer.gain.clear
    with Store.open(folder.explanation(0, 2), read_only=True) as store:
        trials = store.trials()
    assert {trial.origin for trial in trials} == {Origin.EXPLAIN}
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    metric = prepared.config.metric
    first = prepared.space.defaults(optimizer="sgd")
    (stored,) = (trial for trial in trials if trial.params == first)
    assert stored.score(metric) == e.steps[0].score
    assert (e.points, e.trained) == (len(trials), len(answers.trained))
    assert folder.database.read_bytes() == before, "the study was changed"


def test_points_of_the_search_are_taken_and_not_trained_again(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    explain_it(folder, prepared, Instant(answers))
    with Store.open(folder.explanation(0, 2), read_only=True) as store:
        points = [trial.params for trial in store.trials()]
        between = [t for t in store.trials() if t.params == prepared.space.defaults(kernel=5)]
    assert prepared.space.defaults() not in points
    assert prepared.space.defaults(**CHANGES) not in points
    assert prepared.space.defaults(activation="gelu") not in points
    assert all({fold.fold for fold in trial.folds} <= {2} for trial in between), "trial 3 has folds 0 and 1"


@pytest.mark.parametrize("workers", [1, 3])
def test_killed_at_any_job_and_asked_again_it_ends_the_same(
    folder: StudyFolder, prepared: Prepared, answers: Table, workers: int
) -> None:
    explain_it(folder, prepared, Instant(answers, slots=workers))
    whole, explanation, jobs = rows_of(folder), shown(folder), len(answers.trained)
    folder.explanation(0, 2).unlink()
    left = 0

    def dies(job: Job) -> Outcome:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return answers(job)

    answers.trained.clear()
    deaths = 0
    while True:
        left = 3 + 2 * deaths
        try:
            explain_it(folder, prepared, Instant(dies, slots=workers))
            break
        except Died:
            deaths += 1
    assert deaths > 3
    assert rows_of(folder) == whole
    again = shown(folder)
    assert (again.steps, again.alone) == (explanation.steps, explanation.alone)
    assert len(answers.trained) - jobs <= deaths * workers, "more than what was running was trained again"


def test_budgets_are_totals_and_a_larger_one_goes_on(folder: StudyFolder, prepared: Prepared, answers: Table) -> None:
    explain_it(folder, prepared, Instant(answers), Budget(trials=6))
    e = shown(folder)
    assert e.points == 6
    assert e.rest is not None and [step.names[0] for step in e.steps] == ["optimizer"]
    assert len(e.rest.changes) == 4 and e.rest.score == e.goal_score
    assert explain_it(folder, prepared, Instant(answers)) is Ending.FINISHED
    part = rows_of(folder)
    assert shown(folder).rest is None
    folder.explanation(0, 2).unlink()
    explain_it(folder, prepared, Instant(answers))
    assert rows_of(folder) == part


def test_a_point_that_cannot_be_trained_is_left_out(folder: StudyFolder, prepared: Prepared, answers: Table) -> None:
    alone = prepared.space.defaults(optimizer="sgd")

    def fails(job: FoldJob) -> Failure | None:
        return Failure(FailureCause.OUT_OF_MEMORY, "it needed more") if job.params == alone else None

    answers.fails = fails
    explain_it(folder, prepared, Instant(answers))
    e = shown(folder)
    assert e.failed == 1
    assert [step.names[0] for step in e.steps][:2] == ["kernel", "optimizer"]
    assert not any(part.names == ("optimizer",) for part in e.alone)


def test_where_nothing_can_be_trained_the_set_up_is_blamed(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    answers.fails = lambda _: Failure(FailureCause.ERROR, "no such device")
    with pytest.raises(RunError, match=r"5 points in a row .* no such device.*remove .*0-2\.db"):
        explain_it(folder, prepared, Instant(answers))


def test_other_ends_are_explained_apart_and_the_last_one_is_shown(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    explain_it(folder, prepared, Instant(answers))
    explain_it(folder, prepared, Instant(answers), start=1)
    assert sorted(path.name for path in folder.explained.glob("*.db")) == ["0-2.db", "1-2.db"]
    assert shown(folder).start in {0, 1}, "both began within a second"


def test_of_an_ensemble_the_member_with_the_largest_weight_is_explained(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    made = "2026-01-01T00:00:00+00:00"
    with Store.open(folder.database) as store:
        choice = ChoiceRecord(made, 2, ((1, 0.3), (2, 0.7)), (1, 2), 8, 1.0, None)
        store.add_choice(choice, run=store.start_run(RUN), seconds=1.0)
    explain_it(folder, prepared, Instant(answers))
    e = shown(folder)
    assert (e.goal, e.saved, e.ensemble) == (2, 2, True)


def test_a_backup_has_it_and_a_search_that_began_anew_does_not(
    folder: StudyFolder, prepared: Prepared, answers: Table, tmp_path: Path
) -> None:
    explain_it(folder, prepared, Instant(answers))
    copy = backup(folder.path, tmp_path / "copy")
    assert rows_of(copy) == rows_of(folder)
    with sqlite3.connect(folder.database) as connection:
        connection.execute("UPDATE study SET created = '2001-01-01T00:00:00+00:00'")
    with folder.read() as store:
        assert last_explained(store) == (None, ())
    with pytest.raises(UsageError, match=r"0-2\.db explains another search than that of .*; move it away"):
        explain_it(folder, prepared, Instant(answers))


@pytest.mark.parametrize("damage", ["header", "trials"])
def test_a_damaged_explanation_is_left_out_of_the_report_with_a_note(
    folder: StudyFolder, prepared: Prepared, answers: Table, damage: str
) -> None:
    explain_it(folder, prepared, Instant(answers), Budget(trials=2), start=1)
    explain_it(folder, prepared, Instant(answers), Budget(trials=2))
    file = folder.explanation(0, 2)
    if damage == "header":
        file.write_bytes(b"torn")
    else:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE trial SET params = '{'")
            connection.execute("UPDATE run SET started = '2999-01-01T00:00:00+00:00'")
    with folder.read() as store:
        data = summarise(read_stored(store, searching=False))
    assert data.explanation is not None and data.explanation.start == 1
    (note,) = data.notes
    assert note.startswith("explained/0-2.db cannot be read, so that explanation is left out; search verify ")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE fold_run SET seed = seed + 1 WHERE fold = 0", "0-2.db: trial 0, repeat 0, fold 1: its seed"),
        ("UPDATE trial SET params = '{'", "0-2.db"),
        ("UPDATE fold_run SET run = 77 WHERE trial = 0", "0-2.db: a row of fold_run refers to none of run"),
    ],
)
def test_search_verify_checks_explanations(
    folder: StudyFolder, prepared: Prepared, answers: Table, statement: str, said: str
) -> None:
    def line() -> Checked:
        return next(check for check in verify(folder.path)[1] if check.what == "explanations")

    assert "explanations" not in {check.what for check in verify(folder.path)[1]}
    explain_it(folder, prepared, Instant(answers), Budget(trials=2))
    assert line() == Checked("explanations", 1)
    with closing(sqlite3.connect(folder.explanation(0, 2))) as connection, connection:
        connection.execute(statement)
    assert said in line().problems[0]


def test_an_end_that_lacks_folds_and_cannot_be_trained_is_told(
    folder: StudyFolder, prepared: Prepared, answers: Table
) -> None:
    answers.fails = lambda job: Failure(FailureCause.OUT_OF_MEMORY, "9 GB") if job.params["kernel"] == 5 else None
    with pytest.raises(RunError, match="--to: this trial lacks folds, and cannot be trained again"):
        explain_it(folder, prepared, Instant(answers), goal=3)


def test_an_explanation_is_not_written_through_a_link(
    folder: StudyFolder, prepared: Prepared, answers: Table, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.explained.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link, or in one"):
        explain_it(folder, prepared, Instant(answers))
    assert not [*(tmp_path / "elsewhere").iterdir()]
