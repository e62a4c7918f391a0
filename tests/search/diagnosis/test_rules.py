"""Rules of diagnosis: which symptoms there are, when more training is useless, and which cause is named first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.diagnosis.evidence import (
    BROKEN,
    BY_HEART,
    ONE_CLASS,
    STUCK,
    UNSURE,
    Cause,
    Diagnosis,
    EpochSnapshot,
    Evidence,
    LayerEvidence,
    OutputStats,
)
from search.diagnosis.rules import (
    LABELS,
    LONG_ENOUGH,
    LOOKS,
    MANY_STEPS,
    UNKNOWN,
    Plain,
    causes,
    clearly_above,
    diagnosis_of,
    gradient_signs,
    inspect_after,
    needs_inspection,
    symptom_of,
    unexplained,
)

LN2 = math.log(2)
AT_CHANCE = EpochSnapshot(
    epoch=3,
    ended=False,
    losses=(0.694, 0.693, 0.693),
    accuracy=0.5,
    validation=0.5,
    best=0.5,
    least=LN2,
    floor=LN2,
    classes=2,
    images=100,
    validated=25,
)
ONE_ANSWER = OutputStats(log_loss=LN2, spread=1e-6, predicted=1, auroc=0.5)
FROZEN_START = LayerEvidence("dense", "Dense", 0.1, 0.1, gradient=0.1, moved=0.1, size=1.0)
PLAIN = Evidence((FROZEN_START, replace(FROZEN_START, name="output")), LN2, LN2, steps=50)
RANDOM_BASE = LayerEvidence("base", "Functional", 0.1, 0.1, untrained=True)
LASTING = Cause("planted", "by the test", "nothing", 1.0, lasting=True)


def found_in(glance: EpochSnapshot, answers: OutputStats, evidence: Evidence) -> Diagnosis | None:
    symptom = symptom_of(glance, answers)
    return None if symptom is None else diagnosis_of(symptom, glance, answers, evidence)


def first(**changes: Any) -> str:
    """The likeliest cause of a network at chance with this evidence."""
    symptom = symptom_of(AT_CHANCE, ONE_ANSWER)
    assert symptom is not None
    return causes(symptom, replace(PLAIN, **changes), AT_CHANCE.losses)[0].name


def test_a_run_is_inspected_after_three_epochs_and_at_its_end() -> None:
    assert [epoch for epoch in range(1, 13) if inspect_after(epoch, ended=epoch == 12)] == [*LOOKS, 12]


def test_a_network_that_learns_is_not_inspected() -> None:
    assert not needs_inspection(replace(AT_CHANCE, accuracy=0.8, validation=0.7))
    assert needs_inspection(AT_CHANCE)
    assert needs_inspection(replace(AT_CHANCE, accuracy=0.8, classes=1))


@given(st.integers(2, 20), st.integers(1, 100_000), st.floats(0, 1))
def test_no_accuracy_up_to_chance_is_clearly_above_it(classes: int, images: int, share: float) -> None:
    assert not clearly_above(share / classes, classes, images)


@given(st.integers(2, 20), st.integers(1, 10_000), st.floats(0, 1))
def test_an_accuracy_that_is_clear_stays_clear_with_more_images(classes: int, images: int, accuracy: float) -> None:
    if clearly_above(accuracy, classes, images):
        assert clearly_above(accuracy, classes, images + 1)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_always_a_symptom(loss: float) -> None:
    seen = replace(AT_CHANCE, losses=(0.6, loss), accuracy=0.9, epoch=2)
    diagnosis = found_in(seen, OutputStats(math.nan, math.nan, 0, math.nan), PLAIN)
    assert diagnosis is not None and diagnosis.collapsed
    assert diagnosis.symptom.name == BROKEN
    assert diagnosis.causes[0].name == "learning rate too large"


def test_images_of_one_class_are_a_symptom() -> None:
    diagnosis = found_in(replace(AT_CHANCE, classes=1, floor=0.0), ONE_ANSWER, PLAIN)
    assert diagnosis is not None and diagnosis.collapsed
    assert (diagnosis.symptom.name, diagnosis.causes[0].name) == (ONE_CLASS, "one class")


def test_the_same_prediction_for_all_images_is_a_sign() -> None:
    symptom = symptom_of(AT_CHANCE, ONE_ANSWER)
    assert symptom is not None and symptom.name == STUCK
    assert "0.6931, where a guess by class shares has 0.6931" in symptom.signs[0]
    assert symptom.signs[1:] == (
        "one class is predicted for all images",
        "every image gets the same answer: probabilities differ by 1e-06",
    )


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from((*LOOKS, 40)),
    st.booleans(),
    st.floats(0.01, 0.5),
    st.integers(1, 2),
    st.floats(0, 1),
)
def test_a_network_below_the_loss_of_a_guess_is_never_stopped(
    accuracy: float, validation: float, epoch: int, ended: bool, spread: float, predicted: int, auroc: float
) -> None:
    seen = replace(AT_CHANCE, accuracy=accuracy, validation=validation, epoch=epoch, ended=ended)
    diagnosis = found_in(seen, OutputStats(0.9 * LN2, spread, predicted, auroc), replace(PLAIN, found=(LASTING,)))
    assert diagnosis is None or not diagnosis.collapsed


def test_at_an_early_epoch_only_a_lasting_cause_stops_a_network() -> None:
    assert found_in(AT_CHANCE, ONE_ANSWER, PLAIN) is None
    diagnosis = found_in(AT_CHANCE, ONE_ANSWER, replace(PLAIN, found=(LASTING,)))
    assert diagnosis is not None and diagnosis.collapsed
    assert diagnosis.name == "stuck at chance: planted"


def test_a_lasting_cause_does_not_stop_early_if_predictions_differ() -> None:
    slow = OutputStats(log_loss=LN2, spread=0.05, predicted=2, auroc=0.55)
    planted = replace(PLAIN, found=(LASTING,))
    assert found_in(AT_CHANCE, slow, planted) is None
    assert found_in(replace(AT_CHANCE, epoch=LOOKS[-1]), slow, planted) is not None


def test_without_a_lasting_cause_it_stops_only_after_ten_epochs_many_steps_and_one_prediction() -> None:
    late = replace(AT_CHANCE, epoch=LOOKS[-1])
    long = replace(PLAIN, steps=MANY_STEPS)
    assert found_in(late, ONE_ANSWER, long) is not None
    assert found_in(late, ONE_ANSWER, PLAIN) is None
    assert found_in(late, replace(ONE_ANSWER, spread=0.01), long) is None
    assert found_in(replace(late, validation=0.9), ONE_ANSWER, long) is None


def test_a_run_that_ends_at_chance_is_stuck_if_it_was_long_enough() -> None:
    at_end = replace(AT_CHANCE, ended=True)
    assert found_in(replace(at_end, epoch=LONG_ENOUGH - 1), ONE_ANSWER, PLAIN) is None
    diagnosis = found_in(replace(at_end, epoch=LONG_ENOUGH), ONE_ANSWER, PLAIN)
    assert diagnosis is not None and diagnosis.collapsed


def test_memorized_images_are_a_symptom_at_the_end_and_stop_nothing() -> None:
    knows = OutputStats(log_loss=0.01, spread=0.5, predicted=2, auroc=1.0)
    seen = replace(AT_CHANCE, accuracy=1.0, validation=0.5, epoch=20, ended=True)
    diagnosis = found_in(seen, knows, PLAIN)
    assert diagnosis is not None and not diagnosis.collapsed
    assert (diagnosis.symptom.name, diagnosis.causes[0].name) == (BY_HEART, LABELS)
    assert found_in(replace(seen, ended=False), knows, PLAIN) is None
    assert found_in(replace(seen, validation=0.9, least=0.3), knows, PLAIN) is None
    assert found_in(replace(seen, best=0.9, least=0.3), knows, PLAIN) is None  # that epoch's weights are the model


@pytest.mark.parametrize(
    ("accuracy", "log_loss"),
    [(0.7, 0.61), (0.8, 0.5), (0.95, 0.6)],  # the first two are better than a guess, the third hardly
)
def test_images_with_a_large_loss_are_not_memorized(accuracy: float, log_loss: float) -> None:
    seen = replace(AT_CHANCE, accuracy=accuracy, validation=0.5, epoch=20, ended=True)
    diagnosis = found_in(seen, OutputStats(log_loss, spread=0.2, predicted=2, auroc=0.8), PLAIN)
    assert diagnosis is not None and diagnosis.symptom.name == UNSURE
    assert found_in(replace(seen, least=0.6), OutputStats(log_loss, spread=0.2, predicted=2, auroc=0.8), PLAIN) is None


@pytest.mark.parametrize("symptom", [BY_HEART, UNSURE, STUCK])
def test_labels_are_in_doubt_only_if_no_method_learns_from_them(symptom: str) -> None:
    learns = unexplained(symptom, Plain("linear probe", 0.88, 60), 2)
    assert learns.name == (UNKNOWN if symptom == STUCK else "too few images for this network")
    assert learns.evidence.endswith(
        "yet it can be learned from these images: linear probe reaches 0.88 on the same folds"
    )
    assert "label" not in learns.evidence + learns.change
    fails = unexplained(symptom, Plain("linear probe", 0.52, 60), 2)
    assert (fails.name, fails.evidence) == (
        LABELS,
        "plain methods find nothing that holds either: linear probe reaches 0.52 on the same folds",
    )
    not_known = unexplained(symptom)
    assert "or labels that do not follow" in not_known.evidence or "perhaps" in not_known.evidence


def test_a_network_that_does_not_generalize_has_a_symptom_and_is_not_stopped() -> None:
    partly = OutputStats(log_loss=0.9 * LN2, spread=0.1, predicted=2, auroc=0.7)
    seen = replace(AT_CHANCE, accuracy=0.7, epoch=20, ended=True)
    assert needs_inspection(seen)
    diagnosis = found_in(seen, partly, PLAIN)
    assert diagnosis is not None and not diagnosis.collapsed
    assert (diagnosis.symptom.name, diagnosis.causes[0].name) == (UNSURE, LABELS)
    assert found_in(replace(seen, least=0.9 * LN2), partly, PLAIN) is None
    assert not needs_inspection(replace(seen, least=0.9 * LN2))
    assert found_in(replace(seen, ended=False), partly, PLAIN) is None


def test_right_predictions_with_a_loss_of_a_guess_are_a_symptom_only_with_a_strong_cause() -> None:
    """As with a penalty that keeps weights near zero: the larger probability is right, but both are near 0.5."""
    seen = replace(AT_CHANCE, accuracy=1.0, validation=0.5, best=1.0, epoch=20, ended=True)
    barely = replace(ONE_ANSWER, predicted=2, auroc=1.0)
    for answers in (barely, ONE_ANSWER):
        assert found_in(seen, answers, PLAIN) is None
        diagnosis = found_in(seen, answers, replace(PLAIN, penalty=100.0))
        assert diagnosis is not None and not diagnosis.collapsed
        assert (diagnosis.symptom.name, diagnosis.causes[0].name) == (UNSURE, "regularisation too strong")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"input_spread": 0.0, "image_spread": 0.0}, "constant images"),
        ({"input_spread": 0.0}, "images lost before what is trained"),
        ({"input_spread": 1e-9, "layers": (RANDOM_BASE, FROZEN_START)}, "frozen layers were never trained"),
        ({"layers": (RANDOM_BASE, FROZEN_START)}, "frozen layers were never trained"),
        ({"input_size": 128.0, "input_spread": 60.0}, "inputs not scaled"),
        ({"input_size": 0.002, "input_spread": 0.001}, "inputs scaled twice"),
        ({"input_size": math.nan}, "trained too short"),  # normalised before the first weights
        ({"penalty": 100.0}, "regularisation too strong"),
        ({"layers": (replace(FROZEN_START, zero_at_start=True), FROZEN_START)}, "initial weights are zero"),
        ({"layers": (replace(FROZEN_START, spread_at_start=1e-4), FROZEN_START)}, "initial weights too small"),
        ({"layers": (replace(FROZEN_START, spread_at_start=1e4), FROZEN_START)}, "initial weights too large"),
        ({"layers": (replace(FROZEN_START, dead_at_start=1.0, dead=1.0), FROZEN_START)}, "dead ReLU"),
        ({"layers": (replace(FROZEN_START, dead_at_start=0.0, dead=0.9), FROZEN_START)}, "dead ReLU"),
        ({"layers": (replace(FROZEN_START, dropout=0.99), FROZEN_START)}, "dropout too strong"),
        ({"layers": (replace(FROZEN_START, moved=50.0), FROZEN_START)}, "learning rate too large"),
        ({"layers": (replace(FROZEN_START, moved=1e-6),) * 2}, "learning rate too small"),
        ({"layers": (replace(FROZEN_START, gradient=1e-8), FROZEN_START)}, "gradients vanish"),
        ({"steps": 10_000}, UNKNOWN),
    ],
)
def test_the_likeliest_cause_has_the_strongest_evidence(changes: dict[str, Any], cause: str) -> None:
    assert first(**changes) == cause


def test_zero_initial_weights_are_a_lasting_cause_and_small_ones_are_not() -> None:
    """With Adam, healthy networks learn from small initial weights after some epochs."""
    symptom = symptom_of(AT_CHANCE, ONE_ANSWER)
    assert symptom is not None
    lasting = {}
    for layer in (replace(FROZEN_START, spread_at_start=1e-4), replace(FROZEN_START, zero_at_start=True)):
        likeliest = causes(symptom, replace(PLAIN, layers=(layer, FROZEN_START)), (LN2,))[0]
        lasting[likeliest.name] = likeliest.lasting
    assert lasting == {"initial weights too small": False, "initial weights are zero": True}


def test_the_layer_after_which_the_signal_is_lost_is_one_with_weights() -> None:
    symptom = symptom_of(AT_CHANCE, ONE_ANSWER)
    assert symptom is not None
    lost = replace(FROZEN_START, spread_at_start=1e-4)
    layers = (replace(lost, name="dense"), replace(lost, name="dropout", gradient=None), FROZEN_START)
    likeliest = causes(symptom, replace(PLAIN, layers=layers), (LN2,))[0]
    assert "is left after dense, the last of 1 hidden layers with weights" in likeliest.evidence


def test_gradients_and_dead_units_are_signs_with_numbers() -> None:
    layers = (
        replace(FROZEN_START, gradient=1e-8, dead=0.75),
        replace(FROZEN_START, gradient=100.0),
    )
    assert list(gradient_signs(layers)) == [
        "gradients vanish: 1e-08 in the first layer, 1e+02 in the last",
        "gradients explode: 100",
        "75% of the ReLU units of dense are 0 for every image",
    ]


number = st.one_of(st.floats(0, 1e6), st.just(math.nan), st.just(math.inf))
layer = st.builds(
    LayerEvidence,
    st.just("dense"),
    st.just("Dense"),
    spread=number,
    spread_at_start=st.none() | number,
    dead=st.none() | st.floats(0, 1),
    dead_at_start=st.none() | st.floats(0, 1),
    gradient=st.none() | number,
    moved=st.none() | number,
    size=st.none() | number,
    zero_at_start=st.booleans(),
    dropout=st.floats(0, 1),
)
evidence = st.builds(
    Evidence,
    layers=st.lists(layer, max_size=4).map(tuple),
    floor=st.floats(0, 3),
    loss=number,
    penalty=number,
    penalty_at_start=number,
    input_size=number,
    input_spread=number,
    learning_rate=number,
    steps=st.integers(0, 10_000),
)


@given(evidence, st.lists(number, min_size=1, max_size=5), st.sampled_from([math.nan, 0.0, LN2, 10.0]))
def test_with_any_evidence_there_are_causes_each_once_the_likeliest_first(
    seen: Evidence, losses: list[float], log_loss: float
) -> None:
    symptom = symptom_of(replace(AT_CHANCE, losses=tuple(losses)), replace(ONE_ANSWER, log_loss=log_loss))
    if symptom is None:
        return
    named = causes(symptom, seen, losses)
    assert named
    assert len({cause.name for cause in named}) == len(named)
    assert [cause.strength for cause in named] == sorted((cause.strength for cause in named), reverse=True)
    assert all(cause.evidence and cause.change for cause in named)
