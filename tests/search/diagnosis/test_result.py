"""Whether a network learns, by the rule `clearly_above`, and what the experiments say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.diagnosis.evidence import STUCK, Cause, Diagnosis, Symptom
from search.diagnosis.result import Diagnosed, Run, Verdict, mean_validation, runs_that_learn, suspected, verdict
from search.diagnosis.rules import LABELS, Plain
from tests.diagnoses import CASE, EVIDENCE, STUCK_RUN, run, tried

GOOD, BAD = run(0.95, 0.9), run(0.5, 0.5)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([GOOD] * 3, Verdict.LEARNS),
        ([GOOD, GOOD, BAD], Verdict.SOMETIMES),
        ([BAD] * 3, Verdict.STUCK),
        ([run(1.0, 0.5)] * 3, Verdict.BY_HEART),
        ([run(1.0, 0.5), BAD, BAD], Verdict.SOMETIMES),
        ([replace(GOOD, failure="no")] * 3, Verdict.FAILED),
        ([replace(GOOD, failure="no"), GOOD, GOOD], Verdict.SOMETIMES),
        ([run(0.60, 0.55)] * 3, Verdict.STUCK),  # 88 images: 0.5 + 2.5 standard errors are 0.633
        ([run(0.66, 0.67)] * 3, Verdict.LEARNS),  # 66 images together: 0.654
        ([run(0.66, 0.64)] * 3, Verdict.NOTHING_ELSE),
        ([run(0.7, 0.5)] * 3, Verdict.NOTHING_ELSE),
        ([run(0.7, 0.5), *[run(1.0, 0.5)] * 2], Verdict.NOTHING_ELSE),
        ([replace(run(1.0, 0.5), evidence=replace(EVIDENCE, loss=0.612))] * 3, Verdict.NOTHING_ELSE),
        ([replace(run(1.0, 0.5), evidence=replace(EVIDENCE, loss=0.02))] * 3, Verdict.BY_HEART),
    ],
)
def test_verdicts(runs: list[Run], expected: Verdict) -> None:
    assert verdict(runs, 2) is expected


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_a_network_that_learns_does_so_in_every_run(numbers: list[tuple[float, float]]) -> None:
    runs = [run(training, validation) for training, validation in numbers]
    learned = runs_that_learn(runs, 2)
    if verdict(runs, 2) is Verdict.LEARNS:
        assert learned == len(runs)
        assert mean_validation(runs) > 0.5
    assert (verdict(runs, 2) is Verdict.STUCK) == (learned == 0)


def test_a_run_that_was_stopped_at_chance_did_not_learn_whatever_its_last_accuracy() -> None:
    collapsed = Diagnosis(Symptom(STUCK, ()), (Cause("x", "", "", 1.0),), collapsed=True)
    assert not replace(GOOD, diagnosis=collapsed).learned(2)
    assert replace(GOOD, diagnosis=replace(collapsed, collapsed=False)).learned(2)


def test_where_training_accuracy_is_not_known_the_validation_decides() -> None:
    assert run(math.nan, 0.9).learned(2)
    assert not run(math.nan, 0.6).learned(2)


def test_suspects_are_ordered_causes_before_consequences() -> None:
    names = [cause.name for cause, _ in suspected([STUCK_RUN] * 3)]
    assert names == ["initial weights too small", "regularisation too strong", "gradients vanish"]


def test_a_suspected_cause_counts_the_experiments_about_it() -> None:
    case = replace(
        CASE,
        tried=(tried("initial weights", [GOOD] * 3), tried("penalty", [BAD] * 2), tried("size", [BAD, GOOD, BAD])),
    )
    counts = {suspect.cause.name: (suspect.freed, suspect.tried) for suspect in case.suspects}
    assert counts == {
        "initial weights too small": (1, 1),
        "regularisation too strong": (0, 1),
        "gradients vanish": (0, 0),
    }
    assert {s.cause.name: dict(s.settings) for s in case.suspects}["regularisation too strong"] == {"l2": 0.01}
    assert [one.experiment.topic for one in case.fixes] == ["initial weights"]
    assert [one.experiment.topic for one in case.no_fixes] == ["size", "penalty"]


def test_a_network_that_learns_has_no_suspects() -> None:
    healthy: Diagnosed = replace(CASE, runs=(GOOD,) * 3)
    assert healthy.suspects == ()


def test_plain_methods_decide_the_cause_if_only_training_images_are_learned() -> None:
    unsure = replace(run(0.7, 0.5), evidence=replace(EVIDENCE, layers=(), penalty=0.0, penalty_at_start=0.0))
    case = replace(CASE, runs=(unsure,) * 3)
    assert [suspect.cause.name for suspect in case.suspects] == [LABELS]
    learned = replace(case, plain=Plain("linear probe on a pre-trained network", 0.88, 66))
    assert [suspect.cause.name for suspect in learned.suspects] == ["too few images for this network"]
    assert "linear probe on a pre-trained network reaches 0.88" in learned.suspects[0].cause.evidence
