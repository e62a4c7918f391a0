"""The summary that all views show, and the JSON that scripts use."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from reports.as_json import as_json
from reports.wording.study import caution, headline, images_words
from search.results.stored import StoredStudy
from search.results.summary import StudySummary, summarise
from search.stats.metrics import METRICS
from spaces import Space
from storage.records import Origin, TrialState
from tests.studies import FOLDS, example, trial, with_two_objectives


def test_rows_are_ranked_best_first_and_unfinished_trials_have_no_rank() -> None:
    rows = example().data().rows
    assert [row.number for row in rows][:3] == [7, 8, 5]
    assert [row.rank for row in rows][:3] == [1, 2, 3]
    assert all(row.rank is None for row in rows if row.state != TrialState.COMPLETE)


def test_a_trial_with_a_nan_fold_is_complete_but_has_neither_score_nor_rank() -> None:
    row = next(row for row in example().data().rows if row.number == 10)
    assert (row.state, row.score, row.rank) == (TrialState.COMPLETE, None, None)
    assert math.isnan(row.fold_scores[4])
    assert row.low is not None and math.isfinite(row.low)


def test_the_spread_is_the_sample_standard_deviation_over_folds() -> None:
    best = example().data().best
    assert best is not None and best.spread is not None
    assert best.spread == pytest.approx(np.std(best.fold_scores, ddof=1))
    assert (best.low, best.high) == (min(best.fold_scores), max(best.fold_scores))


def test_changes_are_the_active_parameters_that_differ_from_trial_0_or_else_from_their_defaults() -> None:
    data = example().data()
    space = Space.from_json(data.study.space)
    assert data.baseline is not None and data.baseline.changed == {}
    for row in data.rows:
        for name, value in row.params.items():
            same = data.baseline.params.get(name, space.by_name[name].default) == value
            assert (name in row.changed) == (not same), (row.number, name)


def test_the_front_is_marked_only_with_two_objectives() -> None:
    one = as_json(example().data())
    assert "second_objective" not in one["study"]
    assert all("pareto" not in t and "latency" not in t for t in one["trials"])
    data = with_two_objectives().data()
    assert data.second_objective == "parameters"
    assert {row.number for row in data.rows if row.pareto} == {1, 2, 5, 7}
    two = as_json(data)
    assert two["study"]["second_objective"] == "parameters"
    assert {t["number"] for t in two["trials"] if t["pareto"]} == {1, 2, 5, 7}
    assert two["best"] == one["best"]


def test_a_second_objective_that_is_not_known_is_none() -> None:
    records = example()
    study = replace(records.study, config={**records.study.config, "second_objective": "beauty"})
    assert records.data(study=study).second_objective is None


def test_a_note_says_that_rungs_of_hyperband_are_trained_from_the_start() -> None:
    records = example()
    study = replace(records.study, config={**records.study.config, "sampler": "hyperband"})
    assert any("trained anew, not continued" in note for note in records.data(study=study).notes)
    assert records.data().notes == ()


def test_trials_that_ended_early_are_counted_by_cause_failures_first() -> None:
    causes = example().data().causes
    assert [(c.state, c.cause, c.count, c.trials) for c in causes] == [
        (TrialState.FAILED, "out of memory", 2, (4, 9)),
        (TrialState.PRUNED, "not ahead of trial 2", 1, (3,)),
        (TrialState.PRUNED, "stuck at chance", 1, (6,)),
    ]


def test_out_of_fold_predictions_are_pooled_over_all_images_in_folds() -> None:
    pooled = example().data().pooled
    assert pooled is not None
    assert pooled.images == pooled.confusion.sum() == 110
    assert set(pooled.metrics) == {"balanced_accuracy", "accuracy", "auroc", "log_loss"}
    assert pooled.metrics["accuracy"] == pytest.approx(pooled.confusion.trace() / 110)


def test_predictions_that_do_not_fit_their_fold_are_refused() -> None:
    records = example()
    wrong = {0: records.probabilities[0][:-1]}
    with pytest.raises(ValueError, match=r"fold 1: probabilities must be 22 images x 2 classes, got 21 x 2"):
        records.data(probabilities=wrong)


@pytest.mark.parametrize(
    ("metric", "chance"),
    [("balanced_accuracy", 0.5), ("accuracy", 0.75), ("auroc", 0.5), ("log_loss", 0.5623)],
)
def test_chance_is_the_score_of_a_guess_that_knows_the_class_sizes(metric: str, chance: float) -> None:
    assert METRICS[metric].chance(np.array([30, 10])) == pytest.approx(chance, abs=1e-4)


def test_testing_images_are_counted_but_belong_to_no_fold() -> None:
    data = example().data()
    assert (data.images, data.testing_images, data.class_counts) == (120, 10, (55, 55))
    assert images_words(data) == "110 images in 2 classes (+ 10 for testing)"


def test_the_headline_has_the_best_trial_its_spread_and_trial_0() -> None:
    assert headline(example().data()) == (
        "Best: trial 7, 0.88 balanced accuracy (± 0.04 over 5 folds; chance is 0.50); trial 0, your starting "
        "point, 0.50: no better than chance (the best is ahead on 5 of 5 folds)."
    )


def test_the_headline_without_a_complete_trial() -> None:
    records = example()
    failed = [replace(t, state=TrialState.FAILED, folds=(), cause="out of memory") for t in records.trials]
    assert headline(records.data(trials=())) == "No trial has been run yet."
    assert headline(records.data(trials=failed)) == "All 12 trials failed; most often: out of memory (12)."
    assert headline(records.data(trials=(records.trials[11],))) == "No trial is complete yet: 1 unfinished."


def test_an_open_trial_is_running_only_while_a_process_holds_the_study() -> None:
    opened = replace(example(), trials=(trial(7), replace(trial(0), state=TrialState.RUNNING)))
    assert "trial 0, your starting point, is unfinished." in headline(opened.data())
    assert "trial 0, your starting point, is still running." in headline(opened.data(searching=True))
    assert (as_json(opened.data())["searching"], as_json(opened.data(searching=True))["searching"]) == (False, True)


def against_trial_0(
    start: tuple[float, ...], best: tuple[float, ...], metric: str = "balanced_accuracy"
) -> StudySummary:
    """A study of trial 0 and a better trial 1, with these scores on the same folds of 110 images."""
    trials = []
    for number, scores in enumerate((start, best)):
        folds = [replace(f, scores={metric: s}) for f, s in zip(trial(7).folds, scores, strict=True)]
        trials.append(replace(trial(7), number=number, origin=Origin.BASELINE, folds=tuple(folds)))
    return example(metric=metric).data(trials=trials, probabilities={})


@pytest.mark.parametrize(
    ("start", "best", "tied"),
    [
        ((0.8, 0.9, 0.7, 0.8, 0.8), (0.9, 0.8, 0.9, 0.7, 0.8), True),  # ahead on 2 of 5
        ((0.8, 0.8, 0.8, 0.8, 0.8), (0.82, 0.82, 0.82, 0.82, 0.82), True),  # the same 2 images of 110
        ((0.8, 0.8, 0.8, 0.8, 0.8), (0.81, 0.95, 0.8, 0.8, 0.82), True),  # one lucky fold
        ((0.8, 0.7, 0.6, 0.7, 0.8), (0.9, 0.8, 0.7, 0.8, 0.9), False),  # folds differ, the gap does not
        ((0.5, 0.5, 0.5, 0.5, 0.5), (0.8, 0.9, 0.85, 0.9, 0.8), False),
    ],
)
def test_a_lead_within_its_error_over_the_folds_is_called_no_real_difference(
    start: tuple[float, ...], best: tuple[float, ...], tied: bool
) -> None:
    data = against_trial_0(start, best)
    assert data.best is not None and data.best.number == 1
    assert headline(data).endswith("folds: no real difference).") == tied


def test_a_tie_in_log_loss_is_found_too() -> None:
    assert "no real difference" in headline(against_trial_0((0.6,) * 5, (0.599,) * 5, "log_loss"))
    assert "no real difference" not in headline(against_trial_0((0.6,) * 5, (0.5,) * 5, "log_loss"))


def test_if_trial_0_is_the_best_the_headline_says_so() -> None:
    records = example()
    text = headline(records.data(trials=(records.trials[0],), probabilities={}))
    assert text.endswith("chance is 0.50), your starting point: no better than chance.")
    two = (replace(records.trials[7], number=0), replace(records.trials[1], number=1))
    assert headline(records.data(trials=two)).endswith("your starting point: no other trial beats it.")


def test_the_caution_names_the_number_of_trials_compared() -> None:
    assert "the best of 6 trials compared on the same images" in caution(example().data())
    assert caution(example().data(trials=())) == ""


def test_with_the_predictions_of_all_trials_there_is_an_estimate() -> None:
    records = example()
    folds = records.probabilities
    shuffled = {fold: rows[::-1].copy() for fold, rows in folds.items()}
    data = records.data(others={2: folds, 5: shuffled})
    assert data.estimate is not None
    assert data.estimate.trials == 2
    assert data.estimate.low < data.estimate.value < data.estimate.high
    assert f"On new images expect about {data.estimate.value:.2f} (" in caution(data)
    estimate = as_json(data)["estimate"]
    assert estimate["method"] == "progressive validation"
    assert estimate["optimism"] == pytest.approx(estimate["naive"] - estimate["value"])
    assert as_json(records.data())["estimate"] is None


def test_if_guessing_may_reach_as_much_the_estimate_says_so() -> None:
    records = example()
    folds, dice = records.probabilities, np.random.default_rng(0)
    guesses = {fold: dice.dirichlet([1, 1], len(rows)).astype(np.float32) for fold, rows in folds.items()}
    sentence = "guessing has 0.50, so it is not shown that the model has learned anything): "
    assert sentence in caution(records.data(others={2: guesses, 5: guesses}))
    assert sentence not in caution(records.data(others={2: folds, 5: folds}))


def test_log_loss_counts_downwards() -> None:
    data = example(metric="log_loss").data()
    ranked = [row.score for row in data.rows if row.rank is not None]
    assert ranked == sorted(score for score in ranked if score is not None)
    assert "Expect new images to score higher" in caution(data)


def test_json_has_the_promised_keys() -> None:
    data = as_json(example().data())
    study = {"name", "preset", "engine", "sampler", "metric", "folds", "seed", "images", "classes", "fingerprint"}
    each = {"number", "state", "cause", "detail", "params", "origin", "score", "fold_scores", "epochs", "parameters"}
    assert study <= data["study"].keys()
    assert (data["study"]["images"], data["study"]["classes"]) == (120, ["cats", "dogs"])
    assert [t["number"] for t in data["trials"]] == list(range(12))
    assert all(each | {"seconds"} <= t.keys() for t in data["trials"])
    assert data["best"].keys() == {"number", "params", "score"}
    assert data["counts"] == {"running": 1, "complete": 7, "pruned": 2, "failed": 2}
    assert data["trials"][7]["epochs"] == [24] * FOLDS


def test_json_is_strict_and_writes_null_for_what_is_not_a_number() -> None:
    text = json.dumps(as_json(example().data()), allow_nan=False)
    assert json.loads(text)["trials"][10]["fold_scores"][4] is None


def test_json_of_an_empty_study() -> None:
    data = as_json(example().data(trials=(), probabilities={}, runs=()))
    assert (data["best"], data["trials"]) == (None, [])
    json.dumps(data, allow_nan=False)


def test_a_study_without_images_or_settings_still_makes_a_report() -> None:
    records = example()
    bare = replace(records.study, config={})
    split = replace(records.split, assignment=np.array([], np.int16))
    data = summarise(StoredStudy(bare, (), split, (trial(0),)))
    json.dumps(as_json(data), allow_nan=False)
    assert math.isnan(data.chance)
    assert headline(data)
