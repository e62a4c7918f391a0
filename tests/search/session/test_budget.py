"""What is left to do."""

from __future__ import annotations

import numpy as np

from search.session.budget import HEAD, UsedUp, budget_done, larger_budgets, networks_of, without_result
from search.stats.metrics import METRICS
from search.study.folder import StudyFolder
from search.text import duration_of
from storage import FoldRecord, RunRecord, Store, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import store_references
from tests.search.shapes import settings


def test_a_study_is_done_when_its_trials_are_closed_and_its_reference_rows_there(begun: Store) -> None:
    folder = StudyFolder(begun.path.parent)
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    begun.add_trial(TrialRecord(0, {}, Origin.BASELINE), run=run, seconds=1)
    begun.close_trial(0, TrialState.FAILED, "error", "as one")
    assert budget_done(folder, begun, settings(trials=1)) is None
    store_references(begun, run)
    assert budget_done(folder, begun, settings(trials=1)) == UsedUp("1 of 1 trials are done", ("--trials", "2"))
    assert budget_done(folder, begun, settings(trials=2)) is None


def test_for_each_budget_that_is_used_up_a_larger_one_is_named(begun: Store) -> None:
    folder = StudyFolder(begun.path.parent)
    assert larger_budgets(folder, settings(trials=1, hours=3.0)) == []
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    for number in range(2):
        begun.add_trial(TrialRecord(number, {}, Origin.BASELINE), run=run, seconds=1 + 7200 * number)
        begun.close_trial(number, TrialState.FAILED, "error", "as one")
    assert larger_budgets(folder, settings(trials=9, hours=3.0)) == []
    assert larger_budgets(folder, settings(trials=2, hours=3.0)) == [("--trials", "4")]
    assert larger_budgets(folder, settings(trials=9, hours=1.5)) == [("--time", "3h")]
    assert larger_budgets(folder, settings(trials=1, hours=0.25)) == [("--time", "4h"), ("--trials", "4")]
    assert larger_budgets(folder, settings(trials=9, hours=1e-5)) == [("--time", "2h8m")]


def test_of_an_open_trial_whose_time_is_over_a_model_can_be_made(begun: Store) -> None:
    run, rows = begun.start_run(RunRecord("", "search run", {}, "here", 1)), int((begun.split().assignment == 0).sum())
    begun.add_trial(TrialRecord(0, {}, Origin.BASELINE), run=run, seconds=0)
    said = np.full((rows, 2), 0.5, np.float32)
    begun.add_fold(FoldRecord(0, 0, 0, 1, dict.fromkeys(METRICS, 0.5), 1, 1, {}, 10, 40.0, said), run=run, seconds=40.0)
    assert budget_done(StudyFolder(begun.path.parent), begun, settings(trials=9, hours=40 / 3600)) is None


def test_time_that_is_too_short_for_anything_more_is_used_up(begun: Store) -> None:
    """Another trial takes 40 s or more: two folds, one after another or at a time."""
    assignment = begun.split().assignment
    folds = int(assignment.max()) + 1
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    begun.add_trial(TrialRecord(0, {}, Origin.BASELINE), run=run, seconds=0)
    for fold in range(folds):
        rows = np.full((int((assignment == fold).sum()), 2), 0.5, np.float32)
        made = FoldRecord(0, 0, fold, 1, dict.fromkeys(METRICS, 0.5), 1, 1, {}, 10, 40.0, rows)
        begun.add_fold(made, run=run, seconds=40.0 * (fold + 1))
    spent, folder = 40.0 * folds, StudyFolder(begun.path.parent)
    begun.close_trial(0, TrialState.PRUNED, "behind", "as one")

    def used(seconds: float) -> UsedUp | None:
        return budget_done(folder, begun, settings(trials=9, hours=(spent + seconds) / 3600))

    found = used(30)
    assert found is not None
    assert found.words == (
        f"{duration_of(spent)} of {duration_of(spent + 30)} are used; the 30s that are left are too short for more"
    )
    assert found.larger == ("--time", duration_of(2 * (spent + 30)))
    assert used(90) is None


def test_of_the_hours_of_a_nested_study_one_search_has_its_share_and_twice_all_of_them_are_more(begun: Store) -> None:
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    begun.add_trial(TrialRecord(0, {}, Origin.BASELINE), run=run, seconds=3600)
    nested = settings(trials=9, hours=6.0, nested=True)  # 5 folds: an hour for each of 6 searches
    assert larger_budgets(StudyFolder(begun.path.parent), nested) == [("--time", "12h")]


def test_without_a_complete_trial_the_way_in_which_most_ended_is_named(begun: Store) -> None:
    folder = StudyFolder(begun.path.parent)
    folder.toml.write_text("images = '../shapes'\n")
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    endings = [
        (TrialState.FAILED, "error", "a first"),
        (TrialState.PRUNED, "behind", "worse on 3 folds"),
        (TrialState.FAILED, "error", "not today\nin many lines"),
    ]
    for number, ending in enumerate(endings):
        begun.add_trial(TrialRecord(number, {}, Origin.BASELINE), run=run, seconds=1)
        begun.close_trial(number, *ending)
        if number == 0:
            assert "so there is no model; it failed (error: a first); go on with: " in (without_result(folder) or "")
    assert (without_result(folder) or "").endswith(
        "no trial is complete, so there is no model; 2 of 3 trials failed, such as trial 2 (error: not today); "
        f"go on with: search resume {folder}"
    )


def test_a_further_head_on_passes_that_another_one_needs_is_a_part_of_a_network() -> None:
    image, mirrored, larger = (frozenset({view}) for view in ("image", "mirrored", "larger"))
    trained: frozenset[str] = frozenset()  # a network of its own has nothing to share
    assert networks_of([]) == 0
    assert networks_of([trained, trained]) == 2
    assert networks_of([image | mirrored] * 5) == 1 + 4 * HEAD
    assert networks_of([image | mirrored, image]) == 1 + HEAD
    assert networks_of([image, image | mirrored, larger, trained]) == 4
