"""The race in the loop: who is given up, what becomes of it, and that a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import FoldJob, FoldResult, Job, Outcome
from search.results.progress import Progress
from search.session.plan import Start
from search.session.racer import RaceTerms
from search.stats.metrics import scores
from search.stats.racing import BEHIND, BEHIND_EARLY, Schedule, saved
from spaces import Space
from spaces.parameters import choice, real
from spaces.presets.auto import FAMILY
from storage import OUT_OF_TIME, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula, quality, result_of
from tests.search.session.sessions import (
    FOLDS,
    STUCK_THERE,
    Hands,
    Ticking,
    Watcher,
    dying_and_going_on,
    new_study,
    sit,
    stored,
)

LABELS = (np.arange(12) % 2).astype(np.int16)
EPOCHS = 10  # looked at after 1, 3 and 9
EASE = np.array(
    [0.55, 0.6, 0.62, 0.64, 0.66, 0.68, 0.7, 0.72, 0.74, 0.76, 0.8, 0.9]
)  # quality that gets an image right


def graded(job: Job) -> Outcome:
    """Points of a better quality are right about more images. A curve that begins low ends low: see `thresholds`."""
    if not isinstance(job, FoldJob):
        return by_formula(job)
    good = quality(dict(job.params))
    right = good >= EASE[job.validate]
    said = np.where(right, LABELS[job.validate], 1 - LABELS[job.validate])
    probabilities = np.eye(2, dtype=np.float32)[said] * np.float32(0.8) + np.float32(0.1)
    curve = [good * (0.5 + epoch / EPOCHS / 2) for epoch in range(1, EPOCHS + 1)]
    ends = [epoch for epoch, least in job.training.min_score_at.items() if max(curve[:epoch]) < least]
    epochs = min(ends, default=EPOCHS)
    return replace(
        result_of(job),
        scores=scores(LABELS[job.validate], probabilities),
        probabilities=probabilities,
        epochs=epochs,
        best_epoch=epochs,
        curve={"loss": tuple(curve[:epochs]), "val_accuracy": tuple(curve[:epochs])},
        behind=bool(ends),
    )


def terms(rule: str = "paired", *, epochs: bool = False) -> RaceTerms:
    return RaceTerms(rule, LABELS, lambda _: Schedule("constant", EPOCHS) if epochs else None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


@pytest.mark.parametrize("rule", ["paired", "forgiving"])
def test_a_trial_that_is_behind_is_given_up_with_its_folds_and_why(path: Path, rule: str) -> None:
    watcher = Watcher()
    sit(path, Instant(graded), watcher, trials=16, race=terms(rule))
    trials = stored(path)
    stopped = [t for t in trials if t.cause == BEHIND]
    assert len(trials) == 16
    assert len(stopped) >= 3
    for trial in stopped:
        assert trial.state == TrialState.PRUNED
        assert 0 < len(trial.folds) < FOLDS
        assert trial.detail and ("worse" if rule == "paired" else "no better than the worst fold") in trial.detail
    assert {t.state for t in trials if t.cause is None} == {TrialState.COMPLETE}
    assert [t.number for t in watcher.closed] == list(range(16))


def test_the_first_complete_trial_is_never_given_up_nor_is_the_baseline(path: Path) -> None:
    """The baseline is the worst point there is, and what it is compared with comes after it."""
    worst = SPACE.defaults(depth=0, rate=1e-4, dropout=0.0)
    sit(path, Instant(graded), starts=[Start(Origin.BASELINE, worst)], trials=10, race=terms("forgiving"))
    first = stored(path)[0]
    assert (first.state, len(first.folds)) == (TrialState.COMPLETE, FOLDS)


def test_the_choice_is_the_same_as_without_a_race(tmp_path: Path) -> None:
    """With points by chance, which do not depend on how the ones before them did."""
    best: dict[bool, int | None] = {}
    for races in (False, True):
        watcher, path = Watcher(), new_study(tmp_path / f"{races}.db")
        changes: dict[str, Any] = {"race": terms()} if races else {}
        sit(path, Instant(graded), watcher, sampler=("optuna", "random"), trials=24, **changes)
        best[races] = watcher.seen[-1].best
    assert best[True] == best[False]
    assert saved(stored(tmp_path / "True.db"), FOLDS).folds >= 5


@pytest.mark.parametrize("jobs_before", [14, 15, 29, 40])
def test_dying_in_a_race_and_going_on_equals_one_go(tmp_path: Path, jobs_before: int) -> None:
    broken, whole = dying_and_going_on(tmp_path, jobs_before, graded, trials=14, race=terms(epochs=True))
    assert broken == whole
    assert {row[4] for row in whole} == {None, BEHIND, BEHIND_EARLY}


def test_a_first_fold_that_starts_slowly_is_cut_short_once_eight_trials_are_known(path: Path) -> None:
    executor = Instant(graded)
    sit(path, executor, trials=16, race=terms(epochs=True))
    trials = stored(path)
    jobs = [job for job in executor.jobs if isinstance(job, FoldJob)]
    assert all(not job.training.min_score_at for job in jobs if job.trial < 8 or job.fold)
    assert all(set(job.training.min_score_at) <= {1, 3, 9} for job in jobs)
    cut = [t for t in trials if t.cause == BEHIND_EARLY]
    assert cut
    for trial in cut:
        assert trial.state == TrialState.PRUNED
        assert [f.epochs in (1, 3, 9) for f in trial.folds] == [True]
        assert trial.detail is not None
        assert trial.detail.startswith(f"at epoch {trial.folds[0].epochs} of its first fold it had not reached 0.")


def test_fold_runs_of_other_lengths_are_not_compared_epoch_by_epoch(path: Path) -> None:
    """Every trial has a length of its own: nobody's start says anything about anybody's."""
    lengths = iter(range(20, 10_000))
    executor = Instant(graded)
    sit(path, executor, trials=11, race=RaceTerms("paired", LABELS, lambda _: Schedule("cosine", next(lengths))))
    assert not any(job.training.min_score_at for job in executor.jobs if isinstance(job, FoldJob))


def test_what_was_given_up_is_told_to_the_sampler_with_the_mean_of_its_folds_and_ranks_last(path: Path) -> None:
    told: list[TrialRecord] = []

    class Listening(Watcher):
        def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
            told.append(trial)
            super().trial_closed(trial, progress)

    sit(path, Instant(graded), Listening(), trials=12, race=terms())
    stopped = [t for t in told if t.cause == BEHIND]
    assert stopped
    for trial in stopped:
        assert trial.score("accuracy") == pytest.approx(np.mean([f.scores["accuracy"] for f in trial.folds]))


def test_a_trial_out_of_time_goes_on_in_the_race_where_it_was(tmp_path: Path) -> None:
    class Graded(Ticking):
        def __init__(self) -> None:
            super().__init__(graded)

    whole, parts = new_study(tmp_path / "whole.db"), new_study(tmp_path / "parts.db")
    sit(whole, Graded(), trials=12, seconds=10_000, race=terms())
    for seconds in (45, 125, 10_000):
        sit(parts, Graded(), trials=12, seconds=seconds, race=terms())
    assert [(t.state, t.cause, len(t.folds)) for t in stored(parts)] == [
        (t.state, t.cause, len(t.folds)) for t in stored(whole)
    ]
    assert OUT_OF_TIME not in {t.cause for t in stored(parts)}


def test_two_workers_train_known_good_points_together_and_then_a_trial_each_until_nothing_else_is_left(
    path: Path,
) -> None:
    """The second fold of a sampler's point, which may be given up after its first, is a poor use of a worker."""
    executor = Hands()
    pairs: list[list[tuple[int, int]]] = []
    idle = 0

    def act(_: Progress) -> None:
        nonlocal idle
        idle = 0 if len(executor.futures) == 2 else idle + 1
        if len(executor.futures) == 2 or (executor.futures and idle > 3):
            jobs = [job for job, _ in executor.futures if isinstance(job, FoldJob)]
            pairs.append([(job.trial, job.fold) for job in jobs])
            outcome = graded(jobs[0])
            assert isinstance(outcome, FoldResult)
            executor.end(0, outcome)

    sit(path, executor, Watcher(act=act), trials=4, race=terms())
    assert pairs == [
        [(0, 0), (0, 1)],
        [(0, 1), (0, 2)],
        [(0, 2), (1, 0)],
        [(1, 0), (1, 1)],
        [(1, 1), (1, 2)],
        [(1, 2), (2, 0)],
        [(2, 0), (3, 0)],
        [(3, 0), (2, 1)],
        [(2, 1), (3, 1)],
        [(3, 1), (2, 2)],
        [(2, 2), (3, 2)],
        [(3, 2)],
    ]


def test_the_time_left_is_told_at_the_pace_of_the_race(path: Path) -> None:
    class Graded(Ticking):
        def __init__(self) -> None:
            super().__init__(graded)

    watcher = Watcher()
    sit(path, Graded(), watcher, trials=20, race=terms("forgiving"))
    late = next(p for p in watcher.seen if sum(t.state != TrialState.RUNNING for t in p.trials) == 12)
    taken = sum(len(t.folds) for t in stored(path)[12:]) * 10
    assert late.eta_seconds is not None
    assert 0.5 * taken < late.eta_seconds < 2 * taken
    assert late.eta_seconds < 8 * FOLDS * 10


def lost(job: Job) -> Outcome:
    """As `graded`; but points of depth 3 are stuck at chance and stopped after two epochs of their first fold."""
    outcome = graded(job)
    if not isinstance(outcome, FoldResult) or not isinstance(job, FoldJob) or job.params["depth"] != 3:
        return outcome
    chance = dict.fromkeys(("loss", "val_accuracy"), (0.5, 0.5))
    return replace(outcome, epochs=2, best_epoch=1, curve=chance, behind=False, diagnosis=STUCK_THERE)


def test_what_is_stuck_at_chance_is_neither_behind_nor_saved_by_the_race(path: Path) -> None:
    """Nor does it lower what others must reach at epochs that it never saw."""
    executor = Instant(lost)
    sit(path, executor, trials=24, race=terms(epochs=True))
    trials = stored(path)
    stuck = [t for t in trials if t.collapsed]
    assert len(stuck) >= 3
    assert {t.cause for t in stuck} == {STUCK_THERE.name}
    assert {len(t.folds) for t in stuck} == {1}
    given_up = [t for t in trials if t.cause in (BEHIND, BEHIND_EARLY)]
    assert given_up
    spared = saved(trials, FOLDS)
    assert (spared.trials, spared.folds) == (len(given_up), sum(FOLDS - len(t.folds) for t in given_up))
    least = [
        job.training.min_score_at for job in executor.jobs if isinstance(job, FoldJob) and job.training.min_score_at
    ]
    assert all(bar[9] > 0.5 for bar in least if 9 in bar)


@pytest.mark.parametrize("jobs_before", [20, 33])
def test_dying_in_a_race_with_trials_stuck_at_chance_and_going_on_equals_one_go(
    tmp_path: Path, jobs_before: int
) -> None:
    broken, whole = dying_and_going_on(tmp_path, jobs_before, lost, trials=18, race=terms(epochs=True))
    assert broken == whole
    assert STUCK_THERE.name in {row[4] for row in whole}


FAMILIES = Space((choice(FAMILY, "frozen", "cnn"), real("rate", 1e-4, 1e-1, 1e-3, log=True)))


def by_family(job: Job) -> Outcome:
    """Networks from scratch are wrong about all images."""
    if not isinstance(job, FoldJob):
        return by_formula(job)
    labels = LABELS[job.validate]
    said = labels if job.params[FAMILY] == "frozen" else 1 - labels
    probabilities = np.eye(2, dtype=np.float32)[said] * np.float32(0.8) + np.float32(0.1)
    return replace(result_of(job), scores=scores(labels, probabilities), probabilities=probabilities)


@pytest.mark.parametrize(
    ("seconds", "of_families", "goes_on"),
    [(900, True, False), (1200, True, True), (None, True, True), (900, False, True)],  # the last: of a user's model
)
def test_a_family_that_lost_is_drawn_no_more_where_a_fold_takes_much_of_the_time(
    path: Path, seconds: float | None, of_families: bool, goes_on: bool
) -> None:
    """Each takes ten seconds."""
    baseline = [Start(Origin.BASELINE, FAMILIES.defaults())]
    budget: dict[str, Any] = {"trials": 12, "seconds": seconds}
    sit(path, Ticking(by_family), space=FAMILIES, of_families=of_families, starts=baseline, race=terms(), **budget)
    lost = [trial for trial in stored(path) if trial.params[FAMILY] == "cnn"]
    assert {trial.cause for trial in lost} == {BEHIND}
    assert (len(lost) > 1) is goes_on
