"""What is left to do."""

from __future__ import annotations

from search.session.budget import UsedUp, budget_done
from search.study.folder import StudyFolder
from storage import RunRecord, Store, TrialRecord, TrialState
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
