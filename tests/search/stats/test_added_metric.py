"""A metric is defined in one place: two new ones are added to the dict, and all decisions use them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.html.study import render
from reports.wording.study import caution, headline
from reports.wording.values import metric_words
from search.stats import racing
from search.stats.contributions import Contributions, class_weights
from search.stats.estimate import trained_on_all
from search.stats.metrics import METRICS, Labels, Metric, Probabilities, Scores, better, confusion, scores
from search.stats.racing import RaceEntry
from search.stats.ranking import best, pareto_front, ranked
from search.stats.selection import best_together, better_together, decide, expected_score, interval, ties
from storage.records import TrialState
from tests.search.stats.simulated import Simulated, evidence, studies
from tests.studies import FOLDS, Records, example


def brier_of_each(labels: Labels, probabilities: Probabilities) -> Scores:
    """[..., images] squared distances to the truth (Brier 1950)."""
    truth = np.eye(probabilities.shape[-1])[labels]
    return np.asarray(np.square(probabilities - truth).sum(axis=-1), np.float64)


def f1(labels: Labels, probabilities: Probabilities) -> float:
    """Macro F1."""
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return float(np.mean(2 * counts.diagonal() / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)))


def share_of_f1(labels: Labels, probabilities: Probabilities) -> Contributions:
    """[images] the contribution of each right image to the F1 of its class."""
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    counts = confusion(labels, predicted, classes)
    size = np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
    return np.where(predicted == labels, 2 / size[labels] / classes, 0.0)


BRIER = Metric(
    name="brier",
    words="Brier score",
    direction="minimize",
    bound=2.0,
    of=lambda labels, probabilities: float(np.mean(brier_of_each(labels, probabilities))),
    guess=lambda shares: 1 - np.square(shares).sum(),
    each=brier_of_each,
    error=lambda level, images: 0.005 * level,  # noqa: ARG005
    floor=lambda difference, images: 0.002,  # noqa: ARG005
)
F1 = Metric(
    name="macro_f1",
    words="macro F1",
    direction="maximize",
    bound=1.0,
    of=f1,
    guess=lambda shares: 2 * shares.max() / (1 + shares.max()) / len(shares),
    share=share_of_f1,
    rounds=100,
)


@pytest.fixture(autouse=True, params=[BRIER, F1], ids=lambda metric: metric.name)
def metric(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Metric:
    added: Metric = request.param
    monkeypatch.setitem(METRICS, added.name, added)
    return added


def study_of(metric: Metric) -> Records:
    """The example study with this metric: trial 0 is at chance, trial 7 is the best."""
    base = example(per_class=30)
    trials = tuple(
        replace(
            trial,
            folds=tuple(
                replace(
                    fold,
                    scores={
                        **fold.scores,
                        metric.name: fold.scores["accuracy"] if metric.maximized else 1 - fold.scores["accuracy"],
                    },
                )
                for fold in trial.folds
            ),
        )
        for trial in base.trials
    )
    return replace(base, study=replace(base.study, metric=metric.name), trials=trials)


def simulated() -> Simulated:
    """Two trials of 120 images, the second far better."""
    (study,) = studies(1, images=120, trials=2, spread=0.0)
    right = study.probabilities.argmax(axis=2) == study.labels
    rows = study.probabilities.copy()
    rows[0, ~right[0]], rows[1] = 0.5, np.eye(2, dtype=np.float32)[study.labels] * 0.6 + 0.2
    rows[1, :8] = 1 - rows[1, :8]
    rows[0, ::3] = 1 - np.eye(2, dtype=np.float32)[study.labels[::3]] * 0.6 - 0.2
    return replace(study, probabilities=rows)


def test_it_is_measured_with_the_others() -> None:
    study = simulated()
    assert list(scores(study.labels, study.probabilities[0])) == list(METRICS)


def test_trials_are_ranked_in_its_direction(metric: Metric) -> None:
    trials = study_of(metric).trials
    order = [trial for trial in ranked(trials, metric.name) if trial.state == TrialState.COMPLETE]
    values = [value for trial in order if np.isfinite(value := trial.score(metric.name) or np.nan)]
    assert values == sorted(values, reverse=metric.maximized)
    leader = best(trials, metric.name)
    assert leader is not None and leader.number == 7
    assert {1, 7} <= pareto_front(trials, metric.name, "parameters")
    assert better(metric.name, values[0], values[-1])


def test_the_race_stops_the_worse_trial_and_names_the_metric(metric: Metric) -> None:
    study, weights = simulated(), np.ones(2)
    poor, good = (
        RaceEntry(
            number,
            {f: metric.contributions(study.labels[f::3], rows[f::3], weights) for f in range(3)},
            {f: metric.of(study.labels[f::3], rows[f::3]) for f in range(3)},
        )
        for number, rows in enumerate(study.probabilities)
    )
    gap = abs(np.mean([poor.scores[f] - good.scores[f] for f in range(3)]))
    reason = racing.behind("paired", metric.name, poor, good, weights)
    way = "lower" if metric.maximized else "higher"
    assert reason == f"its {metric.words} is {gap:.3f} {way} than that of trial 1 on the same 120 images"
    assert racing.behind("paired", metric.name, good, poor, weights) is None
    assert racing.behind("forgiving", metric.name, poor, good, weights) is not None
    assert racing.best_at_rungs(metric.name, (0.2, 0.4), racing.Schedule("constant", 2), cut=False) == {1: 0.2}


def test_contributions_add_up_to_it(metric: Metric) -> None:
    study = simulated()
    rows, weights = study.probabilities[0], class_weights(study.labels)
    total = metric.contributions(study.labels, rows, weights).sum()
    value = metric.of(study.labels, rows)
    assert total == pytest.approx(value if metric.share else -value * len(rows), rel=1e-5)


def test_it_is_estimated(metric: Metric) -> None:
    study = simulated()
    made = evidence(study.probabilities, study.labels, np.arange(len(study.labels)) % FOLDS, metric.name)
    honest = expected_score(made, np.ones(2, bool), [(1, 1.0)])
    assert honest is not None
    assert honest.low <= honest.value <= honest.high
    assert honest.naive == pytest.approx(metric.of(study.labels, study.probabilities[1]), rel=1e-5)
    chance = metric.chance(np.bincount(study.labels))
    assert better(metric.name, honest.value, chance)
    wider = trained_on_all(honest, 5, chance)
    assert (wider.high > honest.high) if metric.maximized else (wider.low < honest.low)


def test_it_decides_what_is_chosen_and_saved(metric: Metric) -> None:
    trials, study = study_of(metric).trials, simulated()
    assert ties(trials, metric.name, 50)[0] == 7
    poor, good = study.probabilities
    assert better_together(good, poor, study.labels, metric.name)
    assert not better_together(poor, good, study.labels, metric.name)
    folds: NDArray[np.int64] = np.arange(len(study.labels)) % FOLDS
    (member,) = best_together(1, (0, 1), study.probabilities, study.labels, folds, metric.name)
    assert (member.trial, member.weight) == (1, 1.0)
    assert decide(evidence(study.probabilities, study.labels, folds, metric.name), np.ones(2, bool)) == (member,)
    value, low, high = interval(poor, study.labels, metric.name)
    assert low <= value <= high


def test_a_report_names_it(metric: Metric) -> None:
    data = study_of(metric).data()
    assert metric_words(metric.name) == metric.words
    assert data.best is not None and data.best.number == 7
    assert f" {metric.words} (" in headline(data)
    assert f"chance is {metric.chance(np.array(data.class_counts)):.2f}" in headline(data)
    assert not data.near_chance(data.best)
    assert ("lower" if metric.maximized else "higher") in caution(replace(data, estimate=None))
    assert metric.words in render(data)


def test_a_metric_has_either_each_or_share(metric: Metric) -> None:
    with pytest.raises(ValueError, match="needs either each or share"):
        replace(metric, each=None, share=None)
