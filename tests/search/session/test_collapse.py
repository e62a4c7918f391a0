"""Trials that are stuck at chance: how they end, what the sampler is told, and that going on equals one go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState as OptunaState

from search.jobs import FoldJob, Job, Outcome
from search.results.progress import Progress
from search.samplers import optuna_study
from search.samplers.keras_tuner_sampler import score_of
from search.session.plan import Start
from search.stats.metrics import METRICS
from search.stats.ranking import score_for_sampler
from storage import OUT_OF_TIME, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula, result_of
from tests.search.session.sessions import (
    FOLDS,
    STUCK_THERE,
    Ticking,
    Watcher,
    dying_and_going_on,
    new_study,
    sit,
    stored,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def at_chance(job: Job) -> Outcome:
    """Points with batch normalisation of a depth above 1 collapse, in their second fold; others go by formula."""
    if not isinstance(job, FoldJob):
        return by_formula(job)
    planted = job.params["norm"] == "batch" and int(str(job.params["depth"])) > 1 and job.fold == 1
    scores = dict.fromkeys(METRICS, 0.5)
    return replace(result_of(job), diagnosis=STUCK_THERE, scores=scores) if planted else result_of(job)


PLANTED = SPACE.defaults(norm="batch", depth=2)


def test_a_trial_that_is_stuck_at_chance_is_closed_as_pruned_with_its_cause(path: Path) -> None:
    watcher = Watcher()
    sit(
        path,
        Instant(at_chance),
        watcher,
        starts=[Start(Origin.BASELINE, SPACE.defaults()), Start(Origin.START, PLANTED)],
        trials=3,
    )
    stuck = stored(path)[1]
    assert stuck.collapsed
    assert (stuck.state, stuck.cause) == (TrialState.PRUNED, "stuck at chance: dead ReLU")
    assert stuck.detail is not None
    assert stuck.detail.startswith("fold 2: one class is predicted for all images. 100% of the units are 0. Try: ")
    assert [f.fold for f in stuck.folds] == [0, 1]
    assert [f.diagnosis is not None for f in stuck.folds] == [False, True]
    found = stuck.folds[1].diagnosis
    assert found is not None
    assert (found.symptom, found.cause, found.collapsed) == ("stuck at chance", "dead ReLU", True)
    assert found.evidence == ("one class is predicted for all images", "dead ReLU: 100% of the units are 0")
    assert [t.number for t in watcher.closed] == [0, 1, 2]


@pytest.mark.parametrize("sampler", [("optuna", "tpe"), ("keras-tuner", "bayesian")])
def test_it_is_told_to_the_sampler_with_its_worst_fold(path: Path, sampler: tuple[str, str]) -> None:
    told: list[TrialRecord] = []

    class Listening(Watcher):
        def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
            told.append(trial)
            super().trial_closed(trial, progress)

    starts = [Start(Origin.BASELINE, SPACE.defaults()), Start(Origin.START, PLANTED)]
    sit(path, Instant(at_chance), Listening(), sampler=sampler, starts=starts, trials=3)
    stuck = told[1]
    assert score_for_sampler(stuck, "accuracy") == 0.5 < (stuck.score("accuracy") or 0)
    frozen = optuna_study.to_frozen_trial(optuna_study.distributions(SPACE), stuck, "accuracy")
    assert (frozen.state, frozen.value) == (OptunaState.COMPLETE, 0.5)
    assert score_of(stuck, "accuracy") == 0.5


def test_the_baseline_is_diagnosed_and_trained_in_full(path: Path) -> None:
    executor = Instant(at_chance)
    sit(path, executor, starts=[Start(Origin.BASELINE, PLANTED)], trials=2)
    first = stored(path)[0]
    assert (first.state, first.cause, len(first.folds)) == (TrialState.COMPLETE, None, FOLDS)
    assert not first.collapsed
    assert first.folds[1].diagnosis is not None
    stops = {job.trial: job.training.stop_collapsed for job in executor.jobs if isinstance(job, FoldJob)}
    assert stops == {0: False, 1: True}


def test_a_baseline_that_is_stuck_and_out_of_time_has_not_collapsed(path: Path) -> None:
    executor = Ticking(at_chance)
    sit(path, executor, starts=[Start(Origin.BASELINE, PLANTED)], trials=2, seconds=20)
    first = stored(path)[0]
    assert first.cause == OUT_OF_TIME
    assert any(f.diagnosis for f in first.folds)
    assert not first.collapsed


@pytest.mark.first(3)
@pytest.mark.parametrize("sampler", [("optuna", "tpe"), ("optuna", "cmaes"), ("keras-tuner", "bayesian")])
@pytest.mark.parametrize("jobs_before", [7, 17, 26])
def test_dying_among_trials_that_collapse_and_going_on_equals_one_go(
    tmp_path: Path, sampler: tuple[str, str], jobs_before: int
) -> None:
    broken, whole = dying_and_going_on(tmp_path, jobs_before, at_chance, sampler=sampler, trials=12)
    assert broken == whole
    assert "stuck at chance: dead ReLU" in {row[4] for row in whole}
