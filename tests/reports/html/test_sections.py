"""The sections below the leaderboard: curves, recall, costs, parameters, ends, time."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.html.charts import detail_limits, score_limits
from reports.html.page import unbroken
from reports.html.recall import recall_rows
from reports.html.scatter import Box, log_ticks, scatter
from reports.html.slices import MIN_PAIR, MIN_TRIALS, value_scale
from reports.html.study import render
from reports.wording import board as board_words
from reports.wording import recall as recall_words
from search.results.costs import sizes, speeds
from search.results.importance import figures
from search.results.recall import recalls
from search.results.summary import StudySummary
from storage.records import ChoiceRecord, TrialRecord
from tests.studies import SPACE, Records, example, many, with_backbones, with_parts, with_two_objectives


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}">')
    return page[start : page.index("</section>", start)]


def at_once(trial: TrialRecord) -> TrialRecord:
    """As a head on frozen features: one epoch, whose curves are single numbers."""
    folds = tuple(
        replace(f, epochs=1, best_epoch=1, curve={name: values[:1] for name, values in f.curve.items()})
        for f in trial.folds
    )
    return replace(trial, params={"family": "frozen", "frozen_c": 1.0}, folds=folds)


# How it learned


def test_a_trial_that_is_computed_at_once_has_a_sentence_and_its_folds_instead_of_empty_axes() -> None:
    records = example()
    trials = tuple(at_once(t) if t.number == 7 else t for t in records.trials)
    shown = section(render(replace(records, trials=trials).data()), "curves")
    assert board_words.AT_ONCE in shown
    assert "Trial 7, the best" in shown and "Trial 0, your starting point" in shown
    assert shown.count('class="curves"') == 2, "trial 0 has both charts"
    score = trials[7].folds[4].scores["balanced_accuracy"]
    assert f"fold 5: <b>{score:.3f}</b>" in shown


def test_if_no_trial_has_curves_there_are_no_axes_and_no_key() -> None:
    trials = tuple(map(at_once, example().trials))
    shown = section(render(replace(example(), trials=trials).data()), "curves")
    assert 'class="curves"' not in shown and 'class="key' not in shown
    assert shown.count(board_words.AT_ONCE) == 2


def test_other_reasons_for_no_curve() -> None:
    data = example().data()
    one = at_once(example().trials[7])
    assert board_words.no_curves(data, replace(one, params={})) == board_words.ONE_EPOCH
    bare = replace(one, folds=tuple(replace(f, curve={}) for f in one.folds))
    assert board_words.no_curves(data, bare) == board_words.NO_CURVES


def test_the_curves_are_those_of_the_saved_trial() -> None:
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 8, ((8, 1.0),), (), 0, 1.0, None)
    shown = section(render(replace(example(), choices=(choice,)).data()), "curves")
    assert "Trial 8, which is saved" in shown and "Trial 7" not in shown


# How well each class is recognized


@pytest.mark.parametrize("classes", [2, 40])
def test_each_class_has_a_row_with_its_pictures_and_interval(classes: int) -> None:
    data = example([f"class {n}" for n in range(classes)], per_class=12).data()
    rows = recall_rows(data)
    assert data.pooled is not None and len(rows) == classes
    shown = section(render(data), "confusion")
    for row in rows:
        assert row.recall.images == data.pooled.confusion[row.recall.label].sum()
        assert unbroken(row.interval) in shown
    assert [r.recall.share for r in rows] == sorted(r.recall.share for r in rows)


def test_classes_with_few_pictures_are_named() -> None:
    data = example(["a", "b", "c"], per_class=11).data()
    about = recall_words.about(data, [row.recall for row in recall_rows(data)])
    assert "have fewer than 10 pictures here: too few to tell." in about


def worst_is_dogs() -> StudySummary:
    """Of the dogs 0 of 9 are recognized, of the cats 98 of 100."""
    data = with_parts(0.6, 0.7, 0.75, 0.78).data()
    assert data.pooled is not None
    return replace(data, pooled=replace(data.pooled, confusion=np.array([[98, 2], [9, 0]])))


def test_a_class_that_is_clearly_worst_is_not_called_too_small_to_tell() -> None:
    about = recall_words.about(worst_is_dogs(), recalls(np.array([[98, 2], [9, 0]])))
    assert about.startswith("dogs is recognized less often than the other, 0 of 9, and that is hardly luck.")
    assert "too few to tell" not in about


def test_more_pictures_of_the_worst_class_are_not_called_for_where_more_are_not_expected_to_help() -> None:
    data, rows = worst_is_dogs(), recalls(np.array([[98, 2], [9, 0]]))
    assert "More pictures of it may help." in recall_words.about(data, rows)
    assert "may help" not in recall_words.about(with_parts(0.8, 0.8, 0.8, 0.8).data(), rows)


def test_a_study_without_predictions_has_no_such_table() -> None:
    assert recall_rows(example().data(probabilities={})) == ()
    assert '<table class="recall-table">' not in render(example().data(probabilities={}))


# Good and quick


def test_the_saved_and_the_best_are_named_in_the_drawing() -> None:
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 8, ((8, 1.0),), (), 0, 1.0, None)
    data = replace(with_two_objectives("latency"), choices=(choice,)).data()
    found = speeds(data)
    assert found is not None
    drawing = scatter(data, found).drawing
    assert ">8: saved<" in drawing and ">7: best score<" in drawing
    shown = section(render(data), "costs")
    assert "milliseconds a picture" in shown and "megabytes of weights" in shown


def test_a_model_of_several_networks_of_one_trial_takes_so_many_times_as_much_as_its_dot() -> None:
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 8, ((8, 0.2),) * 5, (), 0, 1.0, None)
    data = replace(with_two_objectives("latency"), choices=(choice,)).data()
    shown = section(render(data), "costs")
    assert ">8: saved, 5 networks<" in shown
    assert "The saved model is the mean of 5 networks of trial 8, and a dot is one network." in shown
    assert "So the model takes up to 5 times the time, and as many times the size, of that dot." in shown
    assert "One after the other its networks take 45 ms." in shown, "latency is trial + 1 ms"
    assert "all its networks together" in render(data)


def test_networks_of_several_trials_count_each() -> None:
    members = ((7, 0.3), (7, 0.3), (8, 0.4))
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 7, members, (), 0, 1.0, None)
    shown = section(render(replace(with_two_objectives("latency"), choices=(choice,)).data()), "costs")
    assert "the mean of 3 networks of 2 trials" in shown and "its networks take 25 ms" in shown


def test_where_no_time_is_known_the_page_says_that_multiplications_stand_for_it() -> None:
    assert "multiplications stand for it" in section(render(example().data()), "costs")


def test_names_in_the_drawing_never_overlap() -> None:
    """Trials that are alike in score and size."""
    records = with_two_objectives("latency")
    close = tuple(
        replace(
            t,
            parameters=1000 + t.number,
            folds=tuple(replace(f, scores={"balanced_accuracy": 0.8 + t.number / 1e4}) for f in t.folds),
        )
        for t in records.trials
    )
    data = replace(records, trials=close).data()
    found = sizes(data)
    assert found is not None
    drawing = scatter(data, found).drawing
    names = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)"( text-anchor="(\w+)")? class="name[^>]*>([^<]+)<',
        drawing,
    )
    boxes = []
    for x, y, _, anchor, name in names:
        wide = 9 * len(name)
        left = float(x) - {"start": 0, "middle": wide / 2, "end": wide}[anchor or "start"]
        boxes.append(Box(left, left + wide, float(y) - 13, float(y) + 3))
    assert boxes and not any(a.meets(b) for a, b in combinations(boxes, 2))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.3), (0.02, 9000.0), (2.9, 3.1), (1e6, 1.1e9)])
def test_a_logarithmic_axis_has_a_few_round_numbers(low: float, high: float) -> None:
    found = log_ticks(low, high)
    assert 1 <= len(found) <= 5 and found == sorted(found)
    assert all(low <= value <= high for value in found)


# Which parameters mattered


def scored_by_dropout(count: int) -> Records:
    records = many(count)
    trials = [
        replace(
            t, folds=tuple(replace(f, scores={"balanced_accuracy": 1 - float(t.params["dropout"])}) for f in t.folds)
        )
        for t in records.trials
    ]
    return replace(records, trials=tuple(trials))


def test_each_share_of_importance_has_a_range_that_contains_it() -> None:
    result = figures(scored_by_dropout(120).data())
    assert result.ranges.keys() == result.importance.keys()
    for name, share in result.importance.items():
        low, high = result.ranges[name]
        assert 0 <= low <= share <= high <= 1
    low, high = result.ranges["dropout"]
    assert low > max(result.ranges[name][1] for name in result.importance if name != "dropout")


def test_with_more_trials_the_ranges_are_narrower() -> None:
    def width(count: int) -> float:
        low, high = figures(scored_by_dropout(count).data()).ranges["dropout"]
        return high - low

    assert width(300) < width(40)


def test_the_most_important_parameters_are_drawn_first_one_by_one_and_two_together() -> None:
    shown = section(render(scored_by_dropout(120).data()), "parameters")
    names = re.findall(r'<figcaption title="([^"]+)"', shown)
    assert names[0] == "dropout" and 2 <= len(names) <= 6
    assert re.search("The two (most important parameters|parameters with the largest shares) together", shown)


def test_with_few_trials_the_order_is_not_called_importance() -> None:
    records = many(MIN_TRIALS + 1)
    shown = section(render(records.data()), "parameters")
    assert 'class="slices"' in shown and "not known yet which of them matter" in shown
    assert "Two together" not in shown
    assert 'class="slices"' not in render(many(MIN_TRIALS - 1).data())
    assert MIN_TRIALS < MIN_PAIR


@pytest.mark.parametrize(
    ("name", "values", "places"),
    [
        ("learning_rate", [1e-3, 1e-1, 1e-2], [0.0, 1.0, 0.5]),
        ("dropout", [0.1, 0.3, 0.2], [0.0, 1.0, 0.5]),
        ("optimizer", ["sgd", "adam"], [1.0, 0.0]),
        ("batch_norm", [True, False], [1.0, 0.0]),
        ("dropout", [0.2, 0.2], [0.5, 0.5]),
    ],
)
def test_values_lie_where_the_space_says(name: str, values: list[object], places: list[float]) -> None:
    scale = value_scale(name, values, SPACE)
    np.testing.assert_allclose([scale.place(value) for value in values], places)
    assert all(0 <= at <= 1 for at, _ in scale.labels)


# Where the time went


def test_the_bar_and_its_legend_have_each_part() -> None:
    shown = section(render(with_backbones().data()), "spent")
    for name in ("training: cnn", "training: frozen", "training: fine-tune", "starting, reading pictures"):
        assert name in shown
    assert shown.count("<rect") == shown.count("<li") == 4


# Trials that did not finish


def test_ends_are_told_in_words_and_what_was_stored_stands_below() -> None:
    shown = section(render(example().data()), "unfinished")
    assert "Too little memory" in shown and "out of memory" in shown
    assert shown.index("Failed: no result") < shown.index("Stopped to save time")


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_scores_take_at_least_half_of_an_axis_with_chance_or_else_it_is_left_out(scores: list[float]) -> None:
    data = example().data()
    limits = detail_limits(data, scores)
    assert all(score in limits for score in scores)
    spread = max(max(scores) - min(scores), 0.05)
    beside = max(min(scores) - data.chance, data.chance - max(scores))
    assert (data.chance in limits) == (beside <= spread)
    assert beside > spread or limits == score_limits(data, scores)


def test_where_chance_is_far_from_all_scores_the_history_and_the_slices_say_so_instead_of_drawing_it() -> None:
    records = many(MIN_TRIALS + 1)
    near, far = render(records.data()), render(replace(records.data(), chance=-3.0))
    for page, drawn in ((near, True), (far, False)):
        for name in ("history", "parameters"):
            shown = section(page, name)
            assert ('class="chance"' in shown) == ('<span class="key dash">chance</span>' in shown) == drawn
            assert ("Chance, -3.000, is far outside of the drawing." in shown) == (not drawn)
