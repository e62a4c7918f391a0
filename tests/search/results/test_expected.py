"""The expected score on new images: it is for the saved model, and at chance if the trials are random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reports.wording import study as words
from search.results.summary import StudySummary
from search.stats.estimate import beats
from search.stats.metrics import scores
from search.stats.selection import PROGRESSIVE, Wish
from storage import ChoiceRecord, TrialState
from storage.records import Origin
from tests.studies import FOLDS, Records, example

METRIC = "balanced_accuracy"
SEED = 2  # a study with this seed has a best trial that seems clearly above chance


def by_fold(records: Records, rows: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
    """Probabilities [images, classes] by fold, as they are stored."""
    return {fold: rows[records.split.assignment == fold] for fold in range(FOLDS)}


def with_answers(records: Records, probabilities: dict[int, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """The arguments of `data`: trials with the scores of these probabilities [images, classes], by number."""
    labels, assignment = np.array([image.label for image in records.images]), records.split.assignment
    trials = []
    for number, rows in probabilities.items():
        like = next(trial for trial in records.trials if trial.number == 7)
        folds = tuple(
            replace(fold, trial=number, scores={METRIC: scores(labels[here], rows[here], (METRIC,))[METRIC]})
            for fold in like.folds
            for here in [assignment == fold.fold]
        )
        origin = Origin.SAMPLER if number else Origin.BASELINE
        trials.append(replace(like, number=number, origin=origin, state=TrialState.COMPLETE, folds=folds))
    best = max(trials, key=lambda trial: trial.score(METRIC) or 0.0).number
    others = {number: by_fold(records, rows) for number, rows in probabilities.items()}
    return {"trials": tuple(trials), "others": others, "probabilities": others[best]}


def shuffled(trials: int) -> StudySummary:
    """Random trials: the best of so many on 110 images is far above 0.5."""
    records, rng = example(), np.random.default_rng(SEED)
    probabilities = {n: rng.dirichlet([1, 1], len(records.images)).astype(np.float32) for n in range(trials)}
    return records.data(**with_answers(records, probabilities))


def test_the_best_of_many_random_trials_is_not_called_better_than_chance() -> None:
    data = shuffled(100)
    assert data.best is not None and data.best.score is not None and data.estimate is not None
    assert data.best.score > 0.6  # two standard errors above 0.5, without the selection
    assert data.near_chance(data.best)
    assert "chance" in words.headline(data)
    assert not beats(data.estimate, data.chance)
    assert "it is not shown that the model has learned anything" in words.caution(data)


def test_a_lead_over_a_plain_method_within_the_selection_bias_is_not_clear() -> None:
    data = shuffled(100)
    assert data.best is not None
    assert data.not_clearly_better(data.best, 0.5)
    assert not replace(data, estimate=None).not_clearly_better(data.best, 0.5)


def right_for(records: Records, *shares: float) -> dict[str, Any]:
    """Trials that are right for these shares of the images, at even distances."""
    labels = np.array([image.label for image in records.images])
    probabilities = {}
    for trial, share in enumerate(shares):
        right = np.diff(np.floor(np.arange(len(labels) + 1) * share)) > 0
        probabilities[trial] = np.full((len(labels), 2), 0.2, np.float32)
        probabilities[trial][np.arange(len(labels)), np.where(right, labels, 1 - labels)] = 0.8
    return with_answers(records, probabilities)


SURE_WINS = [(0.3, share / 100) for share in range(55, 96, 2)]


@pytest.mark.parametrize("shares", SURE_WINS)
def test_the_estimate_is_at_most_the_score_and_no_optimism_of_zero_is_named(
    shares: tuple[float, float],
) -> None:
    """If one trial wins every resampling, there is no selection bias; the estimate is above or below by chance."""
    records = example()
    data = records.data(**right_for(records, *shares))
    assert data.estimate is not None
    assert data.estimate.low <= data.estimate.value <= data.estimate.naive
    sentence = words.caution(data)
    value, pooled = f"expect about {data.estimate.value:.2f} (", f"its pooled {data.estimate.naive:.3f} is optimistic"
    assert value in sentence
    assert "by 0.000" not in sentence
    assert (pooled in sentence) <= (round(data.estimate.value, 2) < round(data.estimate.naive, 3))


@pytest.mark.parametrize("optimism", [0.0004, 0.0, -0.004])
@pytest.mark.parametrize("members", [((1, 1.0),), ((0, 0.5), (1, 0.5))])
def test_an_estimate_that_is_not_below_the_score_does_not_mention_optimism(
    members: tuple[tuple[int, float], ...], optimism: float
) -> None:
    records = example()
    answers = right_for(records, 0.3, 0.8)
    estimate = records.data(**answers).estimate
    assert estimate is not None
    data = records.data(**answers, choices=(chosen(1, members),))
    sentence = words.caution(replace(data, estimate=replace(estimate, value=0.81, naive=0.81 + optimism)))
    assert "expect about 0.81" in sentence and "optimistic" not in sentence
    above = words.caution(replace(data, estimate=replace(estimate, value=0.81, naive=0.83)))
    assert "optimistic by 0.020" in above


def chosen(trial: int, members: tuple[tuple[int, float], ...]) -> ChoiceRecord:
    return ChoiceRecord("2026-01-01T00:00:00+00:00", trial, members, (0, 1), 10, 1.0, None)


def test_the_estimate_of_another_trial_than_the_best_is_at_most_its_own_score() -> None:
    """Trial 0 is right for 8 of 11 images, trial 1, the best, for 11 of 13, and trial 0 is saved."""
    records = example()
    labels = np.array([image.label for image in records.images])
    number = np.arange(len(labels))
    probabilities = {}
    for trial, wrong in ((0, number % 11 < 3), (1, number % 13 < 2)):
        rows = np.full((len(labels), 2), 0.2, np.float32)
        rows[number, np.where(wrong, 1 - labels, labels)] = 0.8
        probabilities[trial] = rows
    answers = with_answers(records, probabilities)
    best = records.data(**answers, choices=(chosen(1, ((1, 1.0),)),)).estimate
    plain = records.data(**answers, choices=(chosen(0, ((0, 1.0),)),))
    assert best is not None and plain.estimate is not None
    assert best.method == plain.estimate.method == PROGRESSIVE
    scored = {row.number: row.score for row in plain.rows}
    assert best.naive == pytest.approx(scored[1], abs=0.005)
    assert plain.estimate.naive == pytest.approx(scored[0], abs=0.005)
    assert plain.estimate.low <= plain.estimate.value <= plain.estimate.naive
    assert plain.estimate.value < best.value


def two_trials(records: Records) -> dict[str, Any]:
    """Trial 1 is right more often; a prediction with it takes 9 ms, with trial 0 one."""
    answers = right_for(records, 0.7, 0.9)
    slow = [replace(fold, latency=9.0) for fold in answers["trials"][1].folds]
    quick = [replace(fold, latency=1.0) for fold in answers["trials"][0].folds]
    first, second = answers["trials"]
    return {**answers, "trials": (replace(first, folds=tuple(quick)), replace(second, folds=tuple(slow)))}


def test_the_leader_is_that_of_all_folds_also_those_that_only_confirm() -> None:
    records = example()
    answers = two_trials(records)
    shown = records.data(**answers, choices=(chosen(0, ((0, 1.0),)),)).chosen
    assert shown is not None and shown.leader == 1 and shown.loss > 0.05
    searched = replace(records, **answers).evidence
    assert searched is not None
    turned = replace(searched, gains=searched.gains[::-1])  # on the new folds trial 0 was far better
    shown = records.data(**answers, choices=(chosen(0, ((0, 1.0),)),), confirmed=turned).chosen
    assert shown is not None and (shown.leader, shown.loss) == (0, 0.0)


def test_a_trial_that_is_too_slow_for_what_is_wished_neither_leads_nor_is_what_would_be_chosen() -> None:
    records, wish = example(), Wish(milliseconds=5.0)
    answers = two_trials(records)
    shown = records.data(**answers, choices=(chosen(0, ((0, 1.0),)),), wish=wish).chosen
    assert shown is not None and shown.leader == 0
    free, bound = (records.data(**answers, wish=wish).estimate for wish in (Wish(), wish))
    assert free is not None and bound is not None
    assert free.naive == pytest.approx(0.9, abs=0.02)
    assert bound.naive == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (((1, 1.0),), "Trial 1, which is saved"),
        (((0, 1.0),), "Trial 0, which is saved"),
        (((1, 0.5), (0, 0.5)), "Trial 1, which has the largest share in the saved ensemble of trials 0, 1"),
    ],
)
def test_the_saved_model_is_drawn_not_the_best_trial(members: tuple[tuple[int, float], ...], said: str) -> None:
    records = example()
    labels = np.array([image.label for image in records.images])
    good = np.where(np.eye(2)[labels] == 1, 0.8, 0.2).astype(np.float32)
    answers = with_answers(records, {0: np.full_like(good, 0.5), 1: good})
    data = records.data(**answers, choices=(chosen(members[0][0], members),))
    assert words.drawn(data) == said
