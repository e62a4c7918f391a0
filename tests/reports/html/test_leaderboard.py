"""The leaderboard: badges, filter, and what a row opens."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reports.html.leaderboard import MAX_ROWS, Drawer, Entry, leaderboard
from reports.html.study import render
from reports.wording import board as words
from reports.wording.study import changes_words
from search.results.confusions import DETAILED
from search.results.summary import StudySummary, TrialRow
from storage.records import ChoiceRecord, Origin, TrialState
from tests.studies import FOLDS, Records, example, many, references, with_backbones, with_two_objectives


def saved(records: Records, *members: tuple[int, float]) -> Records:
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", members[0][0], members, (), 0, 1.0, None)
    return replace(records, choices=(choice,))


def opened(data: StudySummary) -> list[tuple[TrialRow, Entry, Drawer]]:
    """The rows of trials, with what they open."""
    return [(e.row, e, e.drawer) for e in leaderboard(data).entries if isinstance(e.row, TrialRow) and e.drawer]


def badges(records: Records) -> dict[int, list[str]]:
    return {row.number: list(entry.badges) for row, entry, _ in opened(records.data()) if entry.badges}


def test_badges_tell_the_saved_from_the_best_score_and_the_quickest_of_equals() -> None:
    assert badges(replace(example(), trials=example().trials[:8]))[7][0] == words.BEST
    one = badges(saved(with_two_objectives("latency"), (8, 1.0)))
    assert one == {7: [words.BEST, words.QUICKEST], 8: [words.SAVED]}
    shares = badges(saved(example(), (8, 0.25), (7, 0.5), (8, 0.25)))
    assert shares[8][0] == "saved, 50 %" and shares[7][:2] == ["saved, 50 %", words.BEST]


def test_the_legend_explains_the_badges_that_occur_and_no_others() -> None:
    shown = dict(leaderboard(saved(example(), (8, 1.0)).data()).legend)
    assert {words.SAVED, words.BEST} <= shown.keys() and words.REFERENCE not in shown
    with_some = replace(example(), references=references(majority=0.5))
    assert words.REFERENCE in dict(leaderboard(with_some.data()).legend)


def test_one_can_filter_by_family_and_state_where_there_are_several() -> None:
    board = leaderboard(with_backbones().data())
    assert set(board.families) == {"cnn", "frozen", "fine-tune"}
    assert {"complete", "failed", "stopped early"} <= set(board.states)
    assert leaderboard(many(5).data()).states == []
    page = render(with_backbones().data())
    assert page.count('<input type="checkbox"') == len(board.families) + len(board.states)
    assert re.search(r'<form class="filter" hidden', page), "without a script there is nothing to filter with"


def test_a_drawer_has_changed_parameters_first_and_every_parameter_once() -> None:
    for row, _, drawer in opened(example().data()):
        names = [name for name, _ in (*drawer.changed, *drawer.others)]
        assert sorted(names) == sorted(row.params)
        assert [name for name, _ in drawer.changed] == (list(row.changed) if row.number else [])


def test_folds_are_counted_from_1_with_the_epoch_that_counts() -> None:
    (drawer,) = (drawer for row, _, drawer in opened(example().data()) if row.number == 7)
    folds = example().trials[7].folds
    assert [fold for fold, _, _ in drawer.folds] == [f"fold {n}" for n in range(1, FOLDS + 1)]
    assert [score for _, score, _ in drawer.folds] == [f"{f.scores['balanced_accuracy']:.3f}" for f in folds]
    assert drawer.folds[2][2] == f"epoch {folds[2].best_epoch} of {folds[2].epochs} counts"
    assert [title for title, _ in drawer.curves] == ["Loss", "Balanced accuracy"]


def test_a_drawer_says_why_a_trial_ended() -> None:
    why = {row.number: drawer.why for row, _, drawer in opened(example().data())}
    assert why[7] == "Complete: all 5 folds were trained."
    assert "has no place" in why[10]
    assert why[9].startswith("Too little memory. ") and why[9].endswith("fold 3: allocation of 2.1 GB failed.")
    assert why[11] == "Unfinished: the search was ended meanwhile; 3 of 5 folds so far."
    searching = {row.number: drawer.why for row, _, drawer in opened(replace(example(), searching=True).data())}
    assert searching[11] == "Being trained now; 3 of 5 folds so far."


def test_a_small_matrix_is_drawn_and_of_many_classes_the_largest_mistakes_are_named() -> None:
    two = replace(example(), others={7: example().probabilities})
    page = render(two.data())
    assert page.count('<table class="tiny">') == 1
    records = example([f"class {n}" for n in range(12)], per_class=20)
    many_classes = render(replace(records, others={7: records.probabilities}).data())
    assert 'class="tiny"' not in many_classes
    assert re.search(r"Most frequent mistakes: \d+ of 15 class \d+ taken for class \d+; ", many_classes)


def test_only_the_first_drawers_have_curves_and_the_page_says_so() -> None:
    base, records = example(), many(DETAILED + 30)
    trials = tuple(
        replace(t, folds=tuple(replace(f, curve=base.trials[7].folds[0].curve, epochs=24) for f in t.folds))
        for t in records.trials
    )
    board = leaderboard(replace(records, trials=trials).data())
    assert sum(bool(e.drawer and e.drawer.curves) for e in board.entries) == DETAILED
    assert f"The first {DETAILED} of them have curves" in board.note
    assert leaderboard(example().data()).note == ""


def test_with_drawers_full_of_curves_a_report_of_200_trials_stays_small() -> None:
    """Ten folds of 100 epochs, ten classes: more than most studies have."""
    records = many(MAX_ROWS)
    values = tuple(0.5 + 0.4 * (n * 37 % 100) / 100 for n in range(100))
    curve = dict.fromkeys(("loss", "val_loss", "balanced_accuracy", "val_balanced_accuracy"), values)
    trials = tuple(
        replace(t, folds=tuple(replace(f, curve=curve, epochs=100, best_epoch=60) for f in (*t.folds, *t.folds)))
        for t in records.trials
    )
    page = render(replace(records, trials=trials).data())
    assert page.count('class="small-curves"') == 2 * DETAILED
    assert len(page.encode()) < 1_600_000


@pytest.mark.parametrize("origin", list(Origin))
def test_wherever_a_point_comes_from_its_drawer_says_so(origin: Origin) -> None:
    alone = replace(example().trials[7], number=0, origin=origin)
    data = replace(example(), trials=(alone,), probabilities={}).data()
    assert words.PROPOSED[origin] in render(data)
    assert changes_words(origin, {}), "in the terminal too"


@pytest.mark.parametrize("state", list(TrialState))
def test_a_trial_without_folds_has_a_drawer(state: TrialState) -> None:
    alone = replace(example().trials[4], number=0, state=state, cause=None, detail=None)
    assert render(replace(example(), trials=(alone,), probabilities={}).data())
