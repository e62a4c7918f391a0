"""What `search diagnose` says: one answer, and the same as data and as a page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reports.as_json import diagnosis_as_json
from reports.html.diagnosis import render, signal
from reports.terminal.diagnosis import in_lines
from reports.wording.diagnosis import fine, headline
from search.diagnosis.evidence import BROKEN, Diagnosis, Symptom
from search.diagnosis.result import Diagnosed, ExperimentResult, Run
from spaces import Value
from tests.diagnoses import CASE, EVIDENCE, STUCK_RUN, run, tried

GOOD, BAD = run(0.95, 0.9), run(0.5, 0.5)
FREED = replace(
    CASE,
    tried=(
        tried("initial weights", [run(0.9, 0.87)] * 3, "initializer: uniform_0.05 → glorot_uniform"),
        tried("initial weights", [run(0.9, 0.86)] * 3, "initializer: uniform_0.05 → he_normal"),
        tried("penalty", [run(0.9, 0.85)] * 3, "l2: 0.01 → 0"),
        tried("size", [BAD] * 2, "head: flatten → global_average"),
    ),
)
NOTHING_WRONG = replace(EVIDENCE, layers=(), steps=1000, penalty=0.0, penalty_at_start=0.0)
BROKEN_RUN = replace(STUCK_RUN, diagnosis=Diagnosis(Symptom(BROKEN, ()), STUCK_RUN.diagnosis.causes, collapsed=True))  # type: ignore[union-attr] # it has one


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            FREED,
            "Your network stays at chance (accuracy 0.50, loss 0.693 = ln 2); suspected: initial weights too small "
            "(initializer uniform_0.05, dense_depth 4), regularisation too strong (l2 0.01) and gradients vanish "
            "(dense_depth 4). Change one thing, initializer: uniform_0.05 → glorot_uniform: it then reaches 0.87. "
            "So does l2: 0.01 → 0, alone.",
        ),
        (
            replace(CASE, tried=(tried("size", [BAD] * 2),)),
            "Your network stays at chance (accuracy 0.50, loss 0.693 = ln 2); suspected: initial weights too small "
            "(initializer uniform_0.05, dense_depth 4), regularisation too strong (l2 0.01) and gradients vanish "
            "(dense_depth 4). The one change that was tried does not free it.",
        ),
        (
            replace(CASE, runs=(GOOD,) * 3),
            "Your network learns: accuracy 0.90 on images that it was not trained on, where guessing has 0.50, in 3 of "
            "3 trainings. There is nothing to complain of.",
        ),
        (
            replace(CASE, runs=(run(1.0, 0.5),) * 3),
            "Your network learns its training images by heart, and nothing that holds for others (accuracy 0.50).",
        ),
        (
            replace(CASE, runs=(run(0.7, 0.5),) * 3),
            "Your network learns something about its training images (accuracy 0.70), and nothing that clearly holds "
            "for others (accuracy 0.50, where guessing has 0.50).",
        ),
        (
            replace(CASE, runs=(replace(BAD, evidence=NOTHING_WRONG),) * 3),
            "Your network stays at chance (accuracy 0.50); no known cause.",
        ),
        (
            replace(CASE, runs=(GOOD, GOOD, BAD)),
            "Your network learns in 2 of 3 trainings only (accuracy 0.77, where guessing has 0.50).",
        ),
    ],
)
def test_the_answer(case: Diagnosed, said: str) -> None:
    assert headline(case) == said


def test_the_answer_ends_with_suspected_changes_that_free_nothing_one_of_each_kind() -> None:
    suspected = [
        tried("dropout", [BAD] * 2, "dropout: 0.2 → 0"),
        tried("dropout", [BAD] * 2, "dropout: 0.2 → 0.1"),
        tried("penalty", [BAD] * 2, "l2: 0.01 → 0.001"),  # of a kind that does free it
    ]
    vain = [replace(one, experiment=replace(one.experiment, suspicion=0.4)) for one in suspected]
    answer = headline(replace(FREED, tried=(*FREED.tried, *vain)))
    assert answer.endswith(" So does l2: 0.01 → 0, alone. Not enough alone: dropout: 0.2 → 0.")


def test_what_a_cause_may_come_from_is_told_without_what_experiments_clear() -> None:
    point: dict[str, Value] = {"conv_depth": 2, "dense_depth": 4, "initializer": "uniform_0.05"}

    def depth(name: str, runs: list[Run]) -> ExperimentResult:
        one = tried("depth", runs)
        return replace(one, experiment=replace(one.experiment, params={**point, name: 1}))

    case = replace(CASE, point=point)
    assert list(case.suspects[0].settings) == ["initializer", "conv_depth", "dense_depth"]
    vain = (depth("conv_depth", [BAD] * 2), depth("dense_depth", [BAD] * 2))
    assert list(replace(case, tried=vain).suspects[0].settings) == ["initializer"]
    freed = (vain[0], depth("dense_depth", [run(0.9, 0.87)] * 3))
    assert list(replace(case, tried=freed).suspects[0].settings) == ["initializer", "dense_depth"]


def test_a_loss_that_is_no_number_is_told() -> None:
    assert headline(replace(CASE, runs=(BROKEN_RUN,) * 3)).startswith(
        "Your network leaves the finite numbers: its loss is none any more in 3 of 3 trainings; suspected:"
    )


def test_lines_tell_of_each_suspicion_and_each_experiment() -> None:
    late = (tried("output", [BAD], "output: softmax → sigmoid"), tried("batch size", [BAD], "batch_size: 32 → 8"))
    text = "\n".join(in_lines(replace(FREED, left_out=tuple(one.experiment for one in late))))
    assert "by experiment: 2 of 2 changes free it" in text
    assert "0.87  initializer: uniform_0.05 → glorot_uniform" in text
    assert "still at chance, 0 of 2" in text
    assert (
        "2 changes more not tried for lack of time; with a larger --seconds: output: softmax → sigmoid and "
        "batch_size: 32 → 8"
    ) in text


def test_data_say_the_same_and_have_no_number_that_json_lacks() -> None:
    found = json.loads(json.dumps(diagnosis_as_json(FREED), allow_nan=False))
    assert found["answer"] == headline(FREED)
    assert [one["frees"] for one in found["experiments"]] == [True, True, True, False]
    assert [one["experiments"] for one in found["suspects"]] == [2, 1, 0]
    failed: Run = replace(GOOD, failure="no", validation=float("nan"))
    json.dumps(diagnosis_as_json(replace(CASE, tried=(tried("size", [failed] * 3),))), allow_nan=False)


def test_the_signal_is_drawn_layer_by_layer_and_only_where_there_is_some() -> None:
    assert "4 layers with weights. At the start 0.008 of it is left after output." in str(signal(CASE))
    assert signal(replace(CASE, runs=(GOOD,) * 3)) is None


def test_what_was_found_fine_is_not_what_is_suspected() -> None:
    said = fine(CASE)
    assert any(sentence.startswith("Pixels are scaled") for sentence in said)
    assert not any("Gradients arrive" in sentence or "enalties" in sentence for sentence in said)


def test_a_page_of_nothing_but_a_network_that_learns() -> None:
    page = render(replace(CASE, runs=(GOOD,) * 3))
    assert "None: they are for networks that do not learn" in page
    assert "These free it" not in page
