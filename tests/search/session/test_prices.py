"""What fold runs are expected to take, and which trials are begun in the time that is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.jobs import Description
from search.session.prices import FIRST, FIRST_HEAD, MAX_FACTOR, SPEED, Prices, quickest, too_long
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import DiagnosisRecord, Origin

TRAIN, VALIDATE = 80, 20


def network(seconds: float = 10.0, epochs: int = 4) -> tuple[Description, int]:
    """(A network whose training on a fold takes about so long at the assumed speed, its epochs), without validation."""
    return Description(10, 10, (), macs=0.0, training_macs=seconds * SPEED / TRAIN / epochs), epochs


def features(view: str, seconds: float) -> tuple[Description, int]:
    """A head on features of a view, which take so long for all images."""
    return Description(10, 10, (), macs=seconds * SPEED / (TRAIN + VALIDATE), views=(view,)), 1


def a_trial(number: int, *seconds: float) -> TrialRecord:
    folds = tuple(FoldRecord(number, 0, fold, 1, {}, 1, 1, {}, 1, each) for fold, each in enumerate(seconds))
    return TrialRecord(number, {}, Origin.SAMPLER, folds=folds)


@pytest.fixture
def prices() -> Prices:
    return Prices(TRAIN, VALIDATE)


def test_before_anything_is_known_arithmetic_at_an_assumed_speed_is_the_price(prices: Prices) -> None:
    prices.describe(0, "cnn", *network(10.0))
    assert prices.folds(0, 1) == pytest.approx(10 + FIRST)
    assert prices.folds(0, 3) == pytest.approx(30 + FIRST)
    assert prices.fold(a_trial(0)) == pytest.approx(10 + FIRST)


def test_each_epoch_also_predicts_the_images_of_its_fold(prices: Prices) -> None:
    prices.describe(0, "cnn", Description(10, 10, (), macs=SPEED / VALIDATE, training_macs=SPEED / TRAIN), 5)
    assert prices.folds(0, 1) == pytest.approx(5 * 2 + FIRST)


def test_of_a_trial_that_was_never_described_nothing_is_known(prices: Prices) -> None:
    assert prices.fold(a_trial(0)) == 0.0


def test_its_own_folds_are_the_best_price_without_the_first_which_also_traced_graphs(prices: Prices) -> None:
    prices.describe(0, "cnn", *network(10.0))
    assert prices.fold(a_trial(0, 30.0, 4.0, 8.0, 6.0)) == 6.0
    assert prices.fold(a_trial(0, 30.0)) == pytest.approx(30 * 10 / (10 + FIRST))  # less what is done once
    assert prices.fold(a_trial(1, 30.0)) == 30.0  # of which nothing else is known


def test_of_fold_runs_at_a_time_each_of_the_first_waited_for_features() -> None:
    prices = Prices(TRAIN, VALIDATE, slots=2)
    for number in range(2):
        prices.describe(number, "frozen", *features(f"{number}", 20.0), trains=False)
    assert prices.fold(a_trial(1, 20.0, 21.0)) == 0.0
    prices.begun(features("0", 20.0)[0])
    prices.describe(2, "frozen", *features("0", 20.0), trains=False)
    prices.note(a_trial(2), 0.5)
    assert prices.fold(a_trial(1, 20.0, 21.0)) == 0.5
    assert prices.fold(a_trial(1, 20.0, 21.0, 0.4)) == 0.4


def test_a_family_s_speed_is_learned_from_its_fold_runs_and_before_them_from_those_of_others(prices: Prices) -> None:
    for number, family in enumerate(("cnn", "fine-tune", "cnn")):
        prices.describe(number, family, *network(10.0))
    prices.note(a_trial(0), (10 + FIRST) * 3)
    assert prices.fold(a_trial(2)) == pytest.approx((10 + FIRST) * 3)
    assert prices.fold(a_trial(1)) == pytest.approx((10 + FIRST) * 3)  # as slow a machine as for the other family
    prices.note(a_trial(1), 10 + FIRST)
    assert prices.fold(a_trial(1)) == pytest.approx(10 + FIRST)
    prices.note(a_trial(0, 48.0), 20.0)  # its second fold traced nothing: twice the assumed 10 s
    assert prices.fold(a_trial(2)) == pytest.approx((10 + FIRST) * 2.5)  # the median of 3 and 2


@pytest.mark.parametrize(("seconds", "factor"), [(1e6, MAX_FACTOR), (0.0, 1 / MAX_FACTOR)])
def test_a_machine_that_slept_does_not_make_a_family_unaffordable(
    prices: Prices, seconds: float, factor: float
) -> None:
    prices.describe(0, "cnn", *network(10.0))
    prices.describe(1, "cnn", *network(10.0))
    prices.note(a_trial(0), seconds)
    assert prices.fold(a_trial(1)) == pytest.approx((10 + FIRST) * factor)


def test_a_fold_that_hardly_computes_tells_nothing_about_speed_and_how_long_others_of_its_family_take(
    prices: Prices,
) -> None:
    for number, family in enumerate(("frozen", "frozen", "cnn")):
        prices.describe(number, family, *features("96", 0.1), trains=False)
    prices.note(a_trial(0), 3.0)
    assert prices.slowness == 1.0
    assert prices.folds(1, 2) == pytest.approx(0.1 + 2 * 3.0)
    assert prices.folds(2, 2) == pytest.approx(0.1)


def test_a_stored_trial_tells_the_speed_by_its_folds_after_the_first(prices: Prices) -> None:
    """Of the first it is not known what it found at hand."""
    prices.describe(0, "cnn", *network(10.0))
    prices.describe(1, "cnn", *network(10.0))
    prices.recall(a_trial(0, 99.0, 30.0, 20.0, 30.0))
    assert prices.slowness == pytest.approx(3.0)
    assert prices.folds(1, 1) == pytest.approx((10 + FIRST) * 3)
    prices.recall(a_trial(1, 1.0))
    assert prices.slowness == pytest.approx(3.0)


def test_the_quickest_trial_is_the_least_that_another_one_takes() -> None:
    stuck = DiagnosisRecord("stuck at chance", "dead ReLU", (), "", collapsed=True)
    stopped = a_trial(4, 1.0, 1.0)
    trials = [
        a_trial(0, 30.0, 8.0, 8.0),
        a_trial(1, 50.0, 6.0, 4.0),
        a_trial(2, 1.0),  # one fold says too little
        replace(a_trial(3, 1.0, 1.0), state=TrialState.FAILED),
        replace(
            stopped,
            state=TrialState.PRUNED,
            cause=stuck.name,
            folds=tuple(replace(fold, diagnosis=stuck) for fold in stopped.folds),
        ),
    ]
    assert quickest(trials, 3, 1) == pytest.approx(2 * 5.0)
    assert quickest(trials, 3, 2) == pytest.approx(4.0)
    assert quickest(trials[2:], 3, 1) is None


def test_a_network_on_features_traces_its_graphs_too(prices: Prices) -> None:
    prices.describe(0, "frozen", *features("96", 20.0))
    assert prices.folds(0, 2) == pytest.approx(20.0 + FIRST_HEAD)


def test_features_are_paid_once_a_view(prices: Prices) -> None:
    description, epochs = features("96", 20.0)
    prices.describe(0, "frozen", description, epochs, trains=False)
    assert prices.folds(0, 5) == pytest.approx(20.0)
    prices.describe(1, "frozen", description, epochs, trains=False)
    assert prices.folds(1, 5) == pytest.approx(20.0)  # described only: they are computed where a trial is begun
    prices.begun(description)
    prices.describe(2, "frozen", description, epochs, trains=False)
    assert prices.folds(2, 5) == 0.0
    prices.describe(3, "frozen", *features("192", 20.0), trains=False)
    assert prices.folds(3, 5) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("left", "folds", "slots", "fit"),
    [
        (float("inf"), 5, 1, True),
        (26.1, 2, 1, True),  # two folds of 10 s, and 6 s for graphs
        (25.9, 2, 1, False),
        (16.1, 2, 2, True),  # both at a time
        (15.9, 2, 2, False),
        (56.1, 5, 1, True),
        (55.9, 5, 1, False),
        (-3.0, 1, 1, False),
    ],
)
def test_folds_for_which_there_is_no_time_are_told_with_their_seconds(
    prices: Prices, left: float, folds: int, slots: int, fit: bool
) -> None:
    prices.describe(7, "cnn", *network(10.0))
    why = too_long(prices, 7, folds, left, slots)
    assert (why is None) == fit
    if why:
        assert why.startswith(f"{folds} of its folds need about ")
        assert why.endswith(f", and {max(left, 0):.0f} s are left")


def test_features_are_at_hand_once_a_fold_run_has_used_them(prices: Prices) -> None:
    prices.describe(0, "frozen", *features("lite0-128", 10.0))
    prices.begun(features("lite0-128", 10.0)[0])
    assert prices.has_features(()) and not prices.has_features({"lite0-128"})
    prices.note(a_trial(0), 8.0)
    assert prices.has_features({"lite0-128"}) and not prices.has_features({"lite0-128", "lite0-128-mirrored"})


def test_features_of_an_earlier_session_are_at_hand(prices: Prices) -> None:
    prices.describe(0, "frozen", *features("lite0-128", 10.0))
    prices.recall(a_trial(0))
    assert not prices.has_features({"lite0-128"})
    prices.recall(a_trial(0, 9.0))
    assert prices.has_features({"lite0-128"})
