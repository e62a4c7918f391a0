"""What made the difference, on the page and in words, from explanations made by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reports import markdown
from reports.as_json import as_json
from reports.html.page import unbroken
from reports.html.study import render
from reports.wording import explain as words
from search.results.explained import Change, Explanation, Part
from search.stats.ablation import Gain
from tests.studies import example

FOLDS = 5


def part(name: str, score: float, gain: float, half: float | None, folds: int = FOLDS, **along: object) -> Part:
    brought = tuple(Change(other, None, value) for other, value in along.items())  # type: ignore[arg-type]
    return Part((Change(name, "old", "new"),), brought, score, Gain(gain, half), folds)


LENET = Explanation(
    start=0,
    goal=7,
    saved=7,
    ensemble=False,
    metric="balanced_accuracy",
    folds=FOLDS,
    compared=10,
    best=7,
    start_score=0.5,
    goal_score=0.85,
    whole=Gain(0.35, 0.08),
    steps=(
        part("initializer", 0.77, 0.27, 0.03),
        part("l2", 0.86, 0.09, 0.05, dropout=0.1),
        part("head", 0.85, -0.01, 0.04),
    ),
    rest=None,
    alone=(
        part("initializer", 0.77, 0.27, 0.03),
        part("l2", 0.5, 0.0, 0.02),
        part("head", 0.49, -0.01, None, folds=1),
    ),
    points=4,
    failed=0,
    trained=14,
    seconds=60.0,
    command="search explain study --from 0 --to 7",
)


def test_the_answer_is_in_words() -> None:
    assert words.headline(LENET) == (
        "From trial 0, your starting point, to trial 7, the saved model: balanced accuracy 50 % to 85 ± 8 %, and 3 "
        "settings changed."
    )
    assert words.sentences(LENET) == [
        "initializer alone: 50 % to 77 ± 3 % (old → new).",
        "On the path initializer and l2 clearly helped. head made no clear difference.",
        "l2 helps only with what was changed before it: +9 ± 5 points there, 0 ± 2 points alone.",
    ]
    assert "trial 7 is the best of 10: part of the gains is luck" in words.caution(LENET)


def test_a_change_that_takes_others_along_is_not_called_alone() -> None:
    depth = Part(
        changes=(Change("dense_depth", 4, 0),),
        along=tuple(Change(name, 0.1, None) for name in ("initializer", "dropout", "l2")),
        score=0.77,
        gain=Gain(0.27, 0.03),
        folds=FOLDS,
    )
    assert words.best_alone(replace(LENET, alone=(depth,))) == (
        "dense_depth, with initializer, dropout and l2, which depend on it: 50 % to 77 ± 3 % (4 → 0)."
    )
    both = replace(LENET, alone=(LENET.alone[0], depth))
    assert words.instead(both) == "Alone dense_depth with initializer, dropout and l2 (50 % to 77 ± 3 %) helps too."


def test_changes_that_would_have_been_enough_too_are_told() -> None:
    l2 = part("l2", 0.8, 0.3, 0.1)
    known = replace(LENET, alone=(LENET.alone[0], l2), steps=(LENET.steps[0], part("l2", 0.78, 0.01, 0.05)))
    assert (
        words.instead(known) == "Alone l2 (50 % to 80 ± 10 %) helps too, but after initializer it adds nothing clear."
    )
    assert words.instead(replace(known, steps=LENET.steps)) == "Alone l2 (50 % to 80 ± 10 %) helps too."
    assert words.instead(LENET) == ""


def test_what_is_not_known_yet_has_the_command_that_goes_on() -> None:
    begun = replace(LENET, steps=LENET.steps[:1], rest=part("l2", 0.85, 0.08, 0.05))
    assert words.sentences(begun)[-1] == (
        "Not finished: the place of 1 of 2 changes is not known yet. Go on with: search explain study --from 0 --to 7"
    )
    assert [bar.label for bar in words.bars(begun)] == [
        "trial 0, your starting point",
        "initializer old → new",
        "not known yet: l2",
        "trial 7, the saved model",
    ]
    data = replace(example().data(), explanation=begun)
    assert words.sentences(begun, words.anywhere(data))[-1].endswith(
        "Go on with: `search explain --from 0 --to 7`, in the study's folder"
    )
    assert "<code>search explain --from 0 --to 7</code>" in render(data)


def test_of_many_changes_that_are_not_known_yet_the_waterfall_has_the_number() -> None:
    rest = replace(part("l2", 0.85, 0.08, 0.05), changes=tuple(Change(name, 0, 1) for name in "abc"))
    assert words.bars(replace(LENET, steps=(), rest=rest))[1].label == "not known yet: 3 changes"


def test_a_goal_that_is_not_better_and_another_saved_model_are_told() -> None:
    assert "is not clearly better, so what follows may be luck" in words.headline(
        replace(LENET, whole=Gain(0.01, 0.08))
    )
    assert words.headline(replace(LENET, whole=Gain(-0.2, 0.08))).endswith(
        "Trial 7 is clearly worse: what follows shows which changes do harm."
    )
    assert "The saved model is trial 9;" in words.sentences(replace(LENET, saved=9))[-1]


def test_of_an_ensemble_the_trial_is_called_its_largest_part() -> None:
    together = replace(LENET, ensemble=True)
    assert "to trial 7, the largest part of the saved ensemble: balanced accuracy" in words.headline(together)
    assert words.bars(together)[-1].label == "trial 7, the largest part of the saved ensemble"
    other = words.sentences(replace(together, saved=9))[-1]
    assert other.startswith("The largest part of the saved ensemble is trial 9;")


def test_only_the_best_trial_is_called_the_best() -> None:
    for best in (3, None):
        caution = words.caution(replace(LENET, best=best))
        assert "is the best of 10" not in caution and caution.endswith("left: part of the gains is luck.")


def test_a_change_that_helps_alone_too_helps_more_after_others() -> None:
    l2 = part("l2", 0.6, 0.1, 0.02)
    known = replace(LENET, alone=(LENET.alone[0], l2), steps=(LENET.steps[0], part("l2", 0.97, 0.2, 0.05)))
    assert words.together(known) == (
        "l2 helps more after what was changed before it: +20 ± 5 points there, +10 ± 2 points alone."
    )


def test_losses_and_missing_values_have_words() -> None:
    assert words.gain_words("log_loss", Gain(0.1234, 0.05)) == "+0.123 ± 0.050 (less loss)"
    assert words.gain_words("log_loss", Gain(-0.1, None)) == "-0.100 (more loss)"
    assert words.gain_words("log_loss", Gain(0.0, 0.05)) == "0 ± 0.050"
    assert words.score("log_loss", 0.4, 0.1) == "0.400 ± 0.100"
    assert words.score("accuracy", float("nan")) == "–"  # noqa: RUF001
    assert words.gain_words("accuracy", Gain(float("nan"), None)) == "–"  # noqa: RUF001
    assert words.gain_words("accuracy", Gain(0.004, 0.002)) == "+0.4 ± 0.2 points"


def test_the_page_draws_a_row_for_each_step_and_says_it_to_a_screen_reader() -> None:
    page = render(replace(example().data(), explanation=LENET))
    section = re.findall(r'<section id="explain">.*?</section>', page, re.DOTALL)[0]
    assert section.count("<rect") == 3 and section.count('class="loss unclear"') == 1
    label = re.findall(r'role="img" aria-label="([^"]*)"', section)[0]
    said = unbroken("Waterfall of balanced accuracy. trial 0, your starting point: 50 %; initializer old")
    assert label.startswith(said)
    assert "stopped after 1 of 5 folds" in section
    assert '<a href="#explain">' in page
    assert "explain" not in render(example().data()).replace(words.ALONE, "").split("<main>")[1]


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\x1b[31m\u202eb"])
def test_names_and_values_run_nothing(hostile: str) -> None:
    change = Change(hostile, hostile, hostile)
    mean = Part((change,), (change,), 0.6, Gain(0.1, 0.01), FOLDS)
    page = render(replace(example().data(), explanation=replace(LENET, steps=(mean,) * 2, alone=(mean,) * 2)))
    assert hostile not in page


def test_markdown_says_the_same() -> None:
    text = markdown.render(replace(example().data(), explanation=LENET))
    section = text.split("## What made the difference")[1].split("\n## ")[0]
    assert "initializer alone: 50 % to 77 ± 3 % (old → new)." in section
    assert "| initializer old → new | 77 % | +27 ± 3 points |" in section
    assert "| head old → new | 49 % | -1 points (stopped after 1 of 5 folds) |" in section


def test_json_has_every_number() -> None:
    told = as_json(replace(example().data(), explanation=LENET))["explanation"]
    assert told["path"][0] == {
        "changes": [{"name": "initializer", "old": "old", "new": "new"}],
        "along": [],
        "score": 0.77,
        "gain": {"mean": 0.27, "half": 0.03},
        "folds": 5,
    }
    assert (told["start"], told["goal"], told["not_known_yet"], told["fold_runs"]) == (0, 7, None, 14)
    assert "explanation" not in as_json(example().data())
