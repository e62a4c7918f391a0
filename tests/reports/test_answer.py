"""The first sentences of a report: how good the model is, beside what, and what to do next."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from reports.as_json import as_json
from reports.html.page import unbroken
from reports.html.study import render
from reports.terminal.study import show
from reports.wording import answer as words
from reports.wording.going_on import typed
from reports.wording.next_steps import advice
from reports.wording.study import caution
from reports.wording.values import number
from search.results.summary import StudySummary
from search.text import seconds_of
from storage.records import TrialState
from tests.studies import EXPECTED, a_test, example, judged, references


def test_the_answer_is_one_number_for_new_pictures_with_its_interval_beside_guessing() -> None:
    assert words.answer(judged()) == (
        "On new pictures like these, the model that was saved is right about 86 % of the time (80 to 91 "
        "%). Guessing is right 50 % of the time."
    )
    assert "the best model so far is right" in words.answer(replace(judged(), chosen=None))


def test_what_may_be_guessing_is_not_called_better() -> None:
    data = replace(judged(), estimate=replace(EXPECTED, value=0.55, low=0.46, high=0.64))
    assert words.answer(data).startswith(
        "It is not shown that the model that was saved is better than guessing. On new"
    )


def test_classes_of_unequal_size_count_alike_and_it_is_said() -> None:
    assert "each class counted alike" not in words.answer(judged())
    assert "(80 to 91 %), each class counted alike." in words.answer(replace(judged(), class_counts=(90, 20)))


def test_a_metric_that_is_no_share_is_a_number() -> None:
    data = example(metric="log_loss").data()
    told = replace(data, estimate=replace(EXPECTED, metric="log_loss", value=0.31, low=0.25, high=0.4))
    assert words.answer(told) == (
        "On new pictures like these, expect a log loss of about 0.31 (0.25 to 0.40) from the best model "
        "so far; guessing has 0.69."
    )


def test_without_an_estimate_the_best_score_is_told_with_its_caution() -> None:
    answer = words.answer(example().data())
    assert answer.startswith("Best: trial 7, 0.88 ") and "This number is optimistic" in answer


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.85, 0.75, 0.95, "85 % (75 to 95 %), as expected."),
        (0.74, 0.6, 0.86, "74 % (60 to 86 %): less than expected, but the two can differ by so much by chance."),
        (0.6, 0.5, 0.7, "60 % (50 to 70 %): clearly less than expected, so these pictures are of another kind than"),
    ],
)
def test_the_testing_pictures_are_held_against_what_was_expected(
    value: float, low: float, high: float, said: str
) -> None:
    told = words.tested(judged(a_test(value, low, high)))
    assert told.startswith(f"On the 50 pictures kept apart for testing it is right about {said}")
    assert words.tested(judged()) == ""


@pytest.mark.parametrize(
    ("value", "much", "how"), [(0.6, "less than expected", "harder"), (0.99, "more than expected", "easier")]
)
def test_pictures_that_were_drawn_from_the_same_set_are_not_called_of_another_kind(
    value: float, much: str, how: str
) -> None:
    data = judged(a_test(value, value - 0.01, value + 0.01))
    data = replace(data, study=replace(data.study, config={**data.study.config, "lock_box": 0.2}))
    assert data.drawn
    told = words.tested(data)
    assert f"clearly {much}, though they are of the same kind." in told and "of another kind" not in told
    (step,) = (step for step in advice(data) if how in step.why)
    assert "pictures of one thing are in several parts" in step.why and "camera" not in step.why
    assert step.command == "search check PICTURES"


def test_testing_pictures_that_say_more_than_the_estimate_give_the_answer() -> None:
    data = judged(a_test(0.88, 0.86, 0.9))
    assert words.answer(data) == (
        "On new pictures like these, the model that was saved is right about 88 % of the time (86 to 90 %), as on the "
        "50 testing pictures. Guessing is right 50 % of the time."
    )
    assert words.tested(data) == "From the pictures of the search alone, 86 % (80 to 91 %) was to be expected."
    for other in (a_test(0.88, 0.86, 0.9, times=2), a_test(0.6, 0.58, 0.62)):
        assert "is right about 86 %" in words.answer(judged(other))


def test_where_there_was_no_time_for_all_testing_pictures_their_number_is_said() -> None:
    some = replace(judged(a_test(0.85, 0.75, 0.95)), testing_images=2000)
    assert words.tested(some).startswith(
        "On 50 of the 2,000 pictures kept apart for testing, all that there was time for, it is right about 85 %"
    )
    some = replace(judged(a_test(0.88, 0.86, 0.9)), testing_images=2000)
    assert "as on 50 of the 2,000 testing pictures." in words.answer(some)


def test_a_test_that_was_used_before_is_no_fresh_test() -> None:
    told = words.tested(judged(a_test(0.85, 0.75, 0.95, times=3)))
    assert told.endswith("They have tested 3 choices, so this is no longer a fresh test.")


def test_plain_methods_and_the_start_are_beside_it() -> None:
    assert words.compared(judged()) == (
        "The best plain method, linear probe on a pre-trained network, gets 84 %, and no trial is clearly "
        "better; your starting point (trial 0) gets 50 %."
    )
    assert words.compared(example().data(trials=(), probabilities={})) == ""


def test_the_saved_model_is_said_in_words() -> None:
    data = judged()
    assert words.model(data) == "The model is trial 7, a small convolutional network trained from scratch."
    assert data.chosen is not None
    several = replace(data, chosen=replace(data.chosen, members=((7, 0.6), (5, 0.25), (7, 0.15)), current=False))
    told = words.model(several)
    assert told.startswith(
        "The model is the mean of 2 trials: 75 % trial 7, a small convolutional network trained from scratch; 25 % "
        "trial 5, a convolutional network trained from scratch."
    )
    assert told.endswith("`search export --to FILE.keras`, in the study's folder, makes it anew.")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"family": "fine-tune", "fine_tune_backbone": "lite0", "fine_tune_input_size": 128},
            "a pre-trained network, trained further on your pictures (EfficientNet-Lite0, 128 pixels)",
        ),
        (
            {"family": "frozen", "frozen_backbone": "dino", "frozen_head": "svm", "frozen_input_size": 192},
            "a classifier on the features of a pre-trained network (dino, svm, 192 pixels)",
        ),
    ],
)
def test_kinds_of_models_have_words(params: dict[str, object], said: str) -> None:
    data = example().data()
    assert words.kind(data, replace(data.trials[0], params=params)) == said


def advised() -> StudySummary:
    data = judged(a_test(0.6, 0.5, 0.7))
    return replace(
        data, worth_finishing=11, suspects=tuple(replace(s, accused=n < 2) for n, s in enumerate(data.suspects))
    )


def test_every_step_says_what_why_and_how() -> None:
    steps = advice(advised())
    assert [step.what for step in steps][:3] == [
        "Look at 2 labels that look wrong",
        "Compare the testing pictures with the others",
        "Let trial 11 finish",
    ]
    assert all(step.why.endswith(".") for step in steps)
    assert steps[2].words == ("resume",), "it was stopped, and no budget is used up"
    assert steps[2].why.startswith(
        "it may be the best, and the search was stopped after 3 of 5 folds: 2 folds more take about"
    )


def test_every_view_says_the_same() -> None:
    data, printed = advised(), io.StringIO()
    show(data, Console(file=printed, width=200))
    told = as_json(data)
    assert told["answer"]["sentences"][0] == words.answer(data)
    assert [row["what"] for row in told["answer"]["standings"]][:2] == ["expected", "tested"]
    page, lines = render(data), " ".join(printed.getvalue().split())
    for sentence in told["answer"]["sentences"]:
        assert sentence in lines
    for step in told["next_steps"]:
        assert step["what"] in page and step["what"] in lines
    first = page[: page.index("<nav")]
    assert unbroken(words.answer(data)) in first and unbroken("expected on new pictures: 86 % (80 to 91 %)") in first
    assert '<a href="#labels">See it</a>' in page


def test_links_of_steps_lead_to_sections_that_the_page_has() -> None:
    data = example().data(trials=example().trials[:1], probabilities={})
    page = render(replace(data, estimate=replace(EXPECTED, value=0.5, low=0.4, high=0.6)))
    for anchor in ("labels", "confusion"):
        assert (f'href="#{anchor}">See it' in page) <= (f'id="{anchor}"' in page)


def test_budgets_in_commands_are_totals_and_a_model_of_ones_own_is_named() -> None:
    data = judged()
    own = replace(data, preset="net.py:build", spent_seconds=7200.0)
    ended = tuple(replace(t, state=TrialState.PRUNED) if t.number == 11 else t for t in own.trials)
    (step,) = [step for step in advice(replace(own, worth_finishing=11, trials=ended)) if step.what.endswith("finish")]
    assert step.words[:2] == ("resume", "--time") and seconds_of(str(step.words[2])) > 7200 + 60
    assert step.words[3:] == ("--model", "PATH/net.py:build")
    assert "its time was over after 3 of 5 folds" in step.why


def test_whatever_goes_on_with_a_study_is_one_command_with_the_time_that_its_trials_take() -> None:
    """12 trials took 4 minutes, so 18 more take 6; with half as much again in reserve, 9 and no hour."""
    data = replace(judged(), spent_seconds=240.0, worth_finishing=None, references=())
    late = replace(data, best=replace(data.rows[0], number=11))
    (step,) = [step for step in advice(late) if step.what.startswith("Search on")]
    assert step.why.endswith(" 18 more take about 6 min; `--time` is the total, with something in reserve.")
    assert step.words[:4] == ("resume", "--trials", "30", "--time")
    assert 240 + 60 + 1.5 * 360 <= seconds_of(str(step.words[4])) < 240 + 60 + 1.5 * 360 + 180
    assert f"`{step.command}`" in words.missing(late)


def test_of_two_classes_there_is_one_other() -> None:
    data = judged()
    assert data.pooled is not None
    weak = replace(data, pooled=replace(data.pooled, confusion=np.array([[54, 1], [25, 30]])))
    (why,) = [step.why for step in advice(weak) if step.what.startswith("Look at the pictures of")]
    assert ", of the other class 98 %." in why


def test_instead_of_a_longer_search_that_brings_nothing_the_command_for_all_families_is_given() -> None:
    plain = replace(example(), references=references(linear_probe=0.9)).data().references
    data = replace(judged(), preset="question", references=plain)
    (step,) = [step for step in advice(data) if step.what.startswith("Do not expect")]
    assert step.words == ("run", "PICTURES", "--preset", "auto", "--dir", "NEW-STUDY")


def test_a_command_names_the_pictures_where_their_path_says_it_all() -> None:
    data = replace(judged(a_test(0.6, 0.59, 0.61)), pictures=(Path("../my pictures"), Path("-more")))
    data = replace(data, study=replace(data.study, config={**data.study.config, "lock_box": 0.2}))
    (step,) = (step for step in advice(data) if step.words[:1] == ("check",))
    assert step.command == "search check '../my pictures' ./-more"
    assert typed(step.words, Path("studies/one")) == "search check 'studies/my pictures' studies/one/-more"


def test_before_a_trial_is_complete_the_page_has_what_advice_leads_to() -> None:
    data = replace(judged(), best=None)
    page = render(data)
    assert 'id="labels"' in page and 'id="confusion"' in page
    assert "No trial is complete" in page or "No trial has all its folds" in page


def test_a_trial_that_few_pictures_tested_gives_no_answer_while_nothing_is_saved() -> None:
    few = replace(EXPECTED, value=1.0, low=0.85, high=1.0, images=22)
    early = replace(judged(), estimate=few, chosen=None)
    assert words.answer(early).startswith(
        "Too early to say: what may become the model has been tested on 22 of 110 pictures so far. Best: trial 7"
    )
    assert "expected on new pictures" not in render(early)
    saved = replace(judged(), estimate=few)
    assert "is right about 100 % of the time" in words.answer(saved)
    assert "22 of the 110 images" in caution(saved)


def test_bounds_are_rounded_as_everywhere() -> None:
    data = replace(judged(), estimate=replace(EXPECTED, high=0.975))
    assert number(0.975, 2) == "0.97" and "(80 to 97 %)" in words.answer(data)
