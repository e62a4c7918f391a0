"""Trials of an explanation are never in a search's database, nor those of a search in an explanation's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storage import Store, StudyRecord
from storage.records import Origin
from tests.storage.examples import IMAGE_RECORDS, RUN, SPLITS, STUDY, refused, trial

EXPLANATION = replace(STUDY, config={**STUDY.config, "explains": {"created": STUDY.created, "start": 0, "goal": 1}})


@pytest.mark.parametrize(
    ("study", "origin", "whose"),
    [(STUDY, Origin.EXPLAIN, "a search"), (EXPLANATION, Origin.SAMPLER, "an explanation")],
)
def test_one_of_the_other_kind_is_refused(path: Path, study: StudyRecord, origin: Origin, whose: str) -> None:
    with Store.create(path, study, IMAGE_RECORDS, SPLITS) as store:
        store.start_run(RUN)
        store.add_trial(trial(0, origin=origin), run=0, seconds=0)
        with refused(f"trial 0 of the origin '{origin}' in the database of {whose}", "never writes"):
            store.trials()


def test_one_of_its_own_kind_is_read(path: Path) -> None:
    with Store.create(path, EXPLANATION, IMAGE_RECORDS, SPLITS) as store:
        store.start_run(RUN)
        store.add_trial(trial(0, origin=Origin.EXPLAIN), run=0, seconds=0)
        assert [each.origin for each in store.trials()] == [Origin.EXPLAIN]
