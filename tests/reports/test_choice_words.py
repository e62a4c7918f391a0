"""What is said of the saved model: why this one, how it was made, and what it was judged on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reports.wording import study as words
from search.results.summary import Chosen, StudySummary
from search.stats.estimate import Estimate
from search.stats.selection import PRICES, PROGRESSIVE
from storage.records import TrialState
from tests.studies import FOLDS, example

MADE = "2025-03-01T21:00:00Z"


def a_choice(trial: int = 7, members: tuple[tuple[int, float], ...] = (), **changes: Any) -> Chosen:
    standard = Chosen(trial, members or ((trial, 1.0),), True, False, MADE, None, judged=FOLDS, leader=trial)
    return replace(standard, **changes)


def said(chosen: Chosen, data: StudySummary | None = None) -> str:
    return words.choice(replace(data or example().data(), chosen=chosen))


def test_the_trial_with_the_best_expectation_is_said_to_be_that() -> None:
    text = said(a_choice())
    assert text.startswith("Chosen: trial 7 (it has the best expectation: its score, compared with the other trials ")
    assert "It was trained on all 110 images and saved." in text


def test_of_one_trial_nothing_is_explained() -> None:
    alone = example()
    data = replace(alone, trials=(alone.trials[0],)).data()
    assert said(a_choice(0), data).startswith("Chosen: trial 0. It was trained on all 110 images and saved.")


def test_a_cheaper_trial_is_said_to_be_cheaper_and_by_how_much_the_other_is_better() -> None:
    text = said(a_choice(8, leader=7, loss=0.002))
    assert "(trial 7 is expected to be better by 0.002 only, and this one costs less to use)" in text


@pytest.mark.parametrize(
    "changes", [{"loss": 2 * max(PRICES.values())}, {"loss": 0.001, "current": False}], ids=["far", "old"]
)
def test_what_is_known_now_is_no_reason_for_what_was_chosen_otherwise(changes: dict[str, Any]) -> None:
    """There was no time for the leader, it could not be trained, or it was not there yet."""
    text = said(a_choice(8, leader=7, **changes))
    assert text.startswith("Chosen: trial 8. It was trained ")


@pytest.mark.parametrize("judged", [1, 3])
def test_folds_for_which_there_was_no_time_are_counted(judged: int) -> None:
    text = said(a_choice(11, judged=judged))
    assert f" It was judged on {judged} of 5 folds: there was no time for more." in text
    assert "judged on" not in said(a_choice(7))


@pytest.mark.parametrize(
    ("members", "left_out", "what"),
    [
        (((11, 0.5), (11, 0.5)), 2, "the networks of its finished folds were saved."),
        (((11, 1.0),), 1, "the network of one fold was saved."),
        (((7, 0.5), (11, 0.25), (11, 0.25)), 2, "the networks of its finished folds were saved."),
    ],
    ids=["two folds", "one fold", "an ensemble"],
)
def test_networks_of_folds_are_said_to_be_that(
    members: tuple[tuple[int, float], ...], left_out: int, what: str
) -> None:
    text = said(a_choice(11, members, left_out=left_out))
    assert f"There was no time to train all of it on all images, so {what}" in text


def test_an_ensemble_names_each_trial_once_with_its_whole_weight() -> None:
    text = said(a_choice(7, ((7, 0.5), (11, 0.3), (11, 0.2)), left_out=2))
    assert text.startswith("Chosen: an ensemble of trials 7 (50 %), 11 (50 %). Out of fold its log loss is lower than ")


NEW_FOLDS = "It was not trained again on new folds: "


def test_why_it_was_not_confirmed_is_said_exactly() -> None:
    """Of 12 trials a quarter of the fold runs would not pay for two trials on new folds; of 36 it would."""
    base = example()
    assert f"{NEW_FOLDS}too few trials were searched for that." in said(a_choice())
    copies = tuple(replace(base.trials[7], number=number) for number in range(12, 36))
    many = replace(base, trials=(*base.trials, *copies))
    assert f"{NEW_FOLDS}too little time was left." in said(a_choice(), many.data())
    again = tuple(replace(fold, repeat=1) for fold in copies[0].folds)
    confirmed = replace(copies[0], folds=(*copies[0].folds, *again))
    others = replace(many, trials=(*base.trials, confirmed, *copies[1:])).data()
    assert "It was not among the trials that were trained again on new folds." in said(a_choice(), others)
    assert "new folds" not in said(a_choice(12), others)


def an_estimate(value: float, naive: float, trials: int = 7) -> Estimate:
    return Estimate("balanced_accuracy", value, value - 0.1, value + 0.1, naive, trials, 110, PROGRESSIVE)


def test_what_is_expected_of_new_images_says_how_it_was_found_and_how_lucky_the_best_is() -> None:
    data = replace(example().data(), estimate=an_estimate(0.8, 0.86))
    assert words.caution(data) == (
        "On new images expect about 0.80 (0.70 to 0.90 with 95 % confidence): for each fold it was chosen anew without "
        "that fold, and judged on it. On the same images what was chosen has 0.860, all its predictions taken together "
        "(the leaderboard has the mean of folds). That is optimistic by 0.060: the best of 7 trials (of 12: the others "
        "have no result, or learned nothing) is partly luck."
    )


def test_with_one_complete_trial_a_partial_one_that_was_chosen_is_not_passed_over() -> None:
    """Trial 11 has three folds; only trial 0 is complete."""
    base = example()
    cut = replace(base.trials[11], state=TrialState.PRUNED, cause="out of time")
    data = replace(replace(base, trials=(base.trials[0], cut)).data(), estimate=an_estimate(0.8, 0.86, trials=2))
    assert data.compared == 1
    alone = replace(data, chosen=a_choice(0))
    assert words.caution(alone).startswith("Only one trial is complete, so no trial was selected yet.")
    assert "best expectation" in words.choice(alone), "it was compared with a partial one"
    partial = replace(data, chosen=a_choice(11, judged=3))
    assert words.caution(partial).startswith("On new images expect about 0.80 ")
    assert words.drawn(partial) == "Trial 11, which is saved"
    both = replace(data, chosen=a_choice(0, ((0, 0.8), (11, 0.2)), judged=3))
    assert words.caution(both).startswith("On new images expect about 0.80 of the ensemble ")


def test_a_trial_that_no_other_was_compared_with_has_no_reason() -> None:
    """Trial 11 has no fold."""
    base = example()
    cut = replace(base.trials[11], state=TrialState.PRUNED, cause="out of time", folds=())
    data = replace(replace(base, trials=(base.trials[0], cut)).data(), chosen=a_choice(0))
    assert words.choice(data).startswith("Chosen: trial 0. ")


def test_only_a_training_that_may_have_ended_early_makes_a_score_too_good() -> None:
    base = example()
    first = replace(base.trials[0], params={**base.trials[0].params, "family": "frozen"})
    at_once = replace(first, folds=tuple(replace(fold, curve={"loss": (0.5,)}) for fold in first.folds))
    for trial, early in ((base.trials[0], True), (first, True), (at_once, False)):
        text = words.caution(replace(replace(base, trials=(trial,)).data(), estimate=None))
        assert text.startswith("Only one trial is complete") and ("early stopping" in text) == early
