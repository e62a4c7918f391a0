"""The answer of `search diagnose`: the same in the terminal, as JSON and as a page."""

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
    ("case", "answer"),
    [
        (
            FREED,
            "Your network stays at chance (accuracy 0.50, loss 0.693 = ln 2); suspected: initial weights too small "
            "(initializer uniform_0.05, dense_depth 4), regularisation too strong (l2 0.01) and gradients vanish "
            "(dense_depth 4). Change one thing, initializer: uniform_0.05 → glorot_uniform: it then reaches 0.87. "
            "It also learns with l2: 0.01 → 0 alone.",
        ),
        (
            replace(CASE, tried=(tried("size", [BAD] * 2),)),
            "Your network stays at chance (accuracy 0.50, loss 0.693 = ln 2); suspected: initial weights too small "
            "(initializer uniform_0.05, dense_depth 4), regularisation too strong (l2 0.01) and gradients vanish "
            "(dense_depth 4). With the one change that was tried it does not learn either.",
        ),
        (
            replace(CASE, runs=(GOOD,) * 3),
            "Your network learns: accuracy 0.90 on images that it was not trained on, where guessing has 0.50, in 3 of "
            "3 trainings. No problem was found.",
        ),
        (
            replace(CASE, runs=(run(1.0, 0.5),) * 3),
            "Your network memorizes its training images and does not generalize (accuracy 0.50 on other images).",
        ),
        (
            replace(CASE, runs=(run(0.7, 0.5),) * 3),
            "Your network learns something about its training images (accuracy 0.70), but does not clearly generalize "
            "(accuracy 0.50 on other images, where guessing has 0.50).",
        ),
        (
            replace(CASE, runs=(replace(BAD, evidence=NOTHING_WRONG),) * 3),
            "Your network stays at chance (accuracy 0.50); no known cause.",
        ),
        (
            replace(CASE, runs=(GOOD, GOOD, BAD)),
            "Your network learns only in 2 of 3 trainings (accuracy 0.77, where guessing has 0.50).",
        ),
    ],
)
def test_the_answer(case: Diagnosed, answer: str) -> None:
    assert headline(case) == answer


def test_the_answer_ends_with_suspected_changes_that_do_not_help_one_per_topic() -> None:
    suspected = [
        tried("dropout", [BAD] * 2, "dropout: 0.2 → 0"),
        tried("dropout", [BAD] * 2, "dropout: 0.2 → 0.1"),
        tried("penalty", [BAD] * 2, "l2: 0.01 → 0.001"),  # of a kind with which it does learn
    ]
    vain = [replace(one, experiment=replace(one.experiment, suspicion=0.4)) for one in suspected]
    answer = headline(replace(FREED, tried=(*FREED.tried, *vain)))
    assert answer.endswith(" It also learns with l2: 0.01 → 0 alone. Not enough alone: dropout: 0.2 → 0.")


def test_settings_of_a_cause_are_without_those_that_experiments_exclude() -> None:
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


def test_a_loss_that_is_not_finite_is_named() -> None:
    assert headline(replace(CASE, runs=(BROKEN_RUN,) * 3)).startswith(
        "Your network diverges: its loss becomes NaN or infinite in 3 of 3 trainings; suspected:"
    )


def test_lines_for_each_suspected_cause_and_each_experiment() -> None:
    late = (tried("output", [BAD], "output: softmax → sigmoid"), tried("batch size", [BAD], "batch_size: 32 → 8"))
    text = "\n".join(in_lines(replace(FREED, left_out=tuple(one.experiment for one in late))))
    assert "by experiment: it learns with 2 of 2 changes" in text
    assert "0.87  initializer: uniform_0.05 → glorot_uniform" in text
    assert "still at chance, 0 of 2" in text
    assert (
        "2 changes more not tried for lack of time; with a larger --seconds: output: softmax → sigmoid and "
        "batch_size: 32 → 8"
    ) in text


def test_json_has_the_same_and_no_number_that_is_not_finite() -> None:
    data = json.loads(json.dumps(diagnosis_as_json(FREED), allow_nan=False))
    assert data["answer"] == headline(FREED)
    assert [one["frees"] for one in data["experiments"]] == [True, True, True, False]
    assert [one["experiments"] for one in data["suspects"]] == [2, 1, 0]
    failed: Run = replace(GOOD, failure="no", validation=float("nan"))
    json.dumps(diagnosis_as_json(replace(CASE, tried=(tried("size", [failed] * 3),))), allow_nan=False)


def test_the_signal_is_drawn_layer_by_layer_if_it_is_known() -> None:
    assert "4 layers with weights. At the start 0.008 of it is left after output." in str(signal(CASE))
    assert signal(replace(CASE, runs=(GOOD,) * 3)) is None


def test_what_has_no_problem_is_not_suspected() -> None:
    sentences = fine(CASE)
    assert any(sentence.startswith("Pixels are scaled") for sentence in sentences)
    assert not any("Gradients arrive" in sentence or "enalties" in sentence for sentence in sentences)


def test_the_page_of_a_network_that_learns() -> None:
    page = render(replace(CASE, runs=(GOOD,) * 3))
    assert "None: experiments are for networks that do not learn" in page
    assert "With these it learns" not in page
