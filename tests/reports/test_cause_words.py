"""Why trials ended, in words for people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.wording import causes as words
from search.diagnosis.evidence import BROKEN, BY_HEART, ONE_CLASS, STUCK, UNSURE
from search.jobs import FailureCause
from search.stats.racing import BEHIND, BEHIND_EARLY
from storage.records import OUT_OF_TIME, TrialState
from tests.studies import diagnosed, example

KNOWN = [*(cause.value for cause in FailureCause if cause != FailureCause.STOPPED), BEHIND, BEHIND_EARLY, OUT_OF_TIME]


@pytest.mark.parametrize("cause", [*KNOWN, *(f"{s}: x" for s in (STUCK, BROKEN, ONE_CLASS, UNSURE, BY_HEART))])
def test_each_cause_that_the_search_stores_has_words(cause: str) -> None:
    ended = words.ended(cause)
    assert ended.title != cause and ended.meaning.endswith(".")


def test_a_cause_that_is_not_known_stands_for_itself() -> None:
    assert words.ended("a new cause") == words.Ended("a new cause", "")
    assert "\\x1b" in words.ended("\x1b[31m").title
    assert words.ended(None).title


def test_the_suspected_cause_of_a_stuck_network_is_named() -> None:
    assert "Likely why: initial weights too small." in words.ended(f"{STUCK}: initial weights too small").meaning


def test_ends_are_grouped_into_failed_out_of_time_stuck_and_behind() -> None:
    records = diagnosed()
    trials = tuple(
        replace(t, state=TrialState.PRUNED, cause=OUT_OF_TIME) if t.number == 8 else t for t in records.trials
    )
    groups = words.by_kind(replace(records, trials=trials).data().causes)
    assert [(kind.partition(":")[0], sum(c.count for c in causes)) for kind, causes in groups] == [
        ("Failed", 2),
        ("Time was over before they were done", 1),
        ("Stuck", 1),
        ("Stopped to save time", 1),
    ]
    assert words.by_kind(()) == []
    assert sum(c.count for _, causes in words.by_kind(example().data().causes) for c in causes) == 4
