"""What to do next: each step is there where the evidence says so, and not where it does not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.results.next_steps import (
    MOST,
    ChangeFamily,
    CheckLabels,
    Explain,
    FindTheCause,
    FinishTrial,
    HelpClass,
    LookAtTesting,
    RaiseEpochs,
    SearchOn,
    Step,
    StopHere,
    UsePlain,
    next_steps,
)
from search.results.summary import Chosen, Pooled, StudySummary
from storage.records import TrialState
from tests.studies import EXPECTED, FOLDS, Records, a_test, example, many, references, trial

S = TypeVar("S", bound=Step)


def found(kind: type[S], data: StudySummary) -> S | None:
    return next((step for step in next_steps(data) if isinstance(step, kind)), None)


def learned(records: Records | None = None) -> StudySummary:
    return replace((records or example()).data(), estimate=EXPECTED)


def test_before_anything_is_known_there_is_no_advice() -> None:
    assert next_steps(example().data(trials=(), probabilities={})) == ()


def test_if_nothing_was_learned_that_is_the_only_thing_to_look_into() -> None:
    at_chance = replace(learned(), estimate=replace(EXPECTED, value=0.52, low=0.42, high=0.62))
    assert next_steps(at_chance) == (FindTheCause(),)


def test_labels_that_look_wrong_are_counted() -> None:
    data = learned()
    suspects = tuple(replace(suspect, accused=n < 3) for n, suspect in enumerate(data.suspects))
    assert found(CheckLabels, replace(data, suspects=suspects)) == CheckLabels(3)
    none = tuple(replace(suspect, accused=False) for suspect in suspects)
    assert found(CheckLabels, replace(data, suspects=none)) is None


@pytest.mark.parametrize(("low", "high", "step"), [(0.6, 0.79, LookAtTesting(True)), (0.7, 0.85, None)])
def test_testing_images_that_are_clearly_harder_are_to_be_looked_at(
    low: float, high: float, step: LookAtTesting | None
) -> None:
    chosen = Chosen(7, ((7, 1.0),), True, False, "", a_test((low + high) / 2, low, high))
    assert found(LookAtTesting, replace(learned(), chosen=chosen)) == step


def test_a_trial_that_may_be_the_best_and_ran_out_of_time_is_to_be_finished_with_the_time_that_it_takes() -> None:
    """Trial 11 of the example has 3 of 5 folds."""
    data = replace(learned(), worth_finishing=11)
    each = float(np.mean([fold.seconds for fold in data.trial(11).folds]))
    assert found(FinishTrial, data) == FinishTrial(11, 3, FOLDS, 2 * each, out_of_time=False)
    stopped = replace(
        data, trials=tuple(replace(t, state=TrialState.PRUNED) if t.number == 11 else t for t in data.trials)
    )
    assert found(FinishTrial, stopped) == FinishTrial(11, 3, FOLDS, 2 * each, out_of_time=True)
    assert found(FinishTrial, replace(data, searching=True)) is None
    assert found(FinishTrial, learned()) is None


def ending(best_epoch: int, **params: int) -> StudySummary:
    """A study of at most 24 epochs, whose three best trials were best at this one."""
    records = example()
    study = replace(records.study, config={**records.study.config, "training": {"max_epochs": 24}})
    folds = tuple(replace(fold, epochs=24, best_epoch=best_epoch) for fold in trial(7).folds)
    trials = tuple(replace(trial(n), params={**trial(n).params, **params}, folds=folds) for n in (5, 7, 8))
    return learned(replace(records, study=study, trials=trials))


def test_more_epochs_are_advised_if_training_ends_while_it_still_helps() -> None:
    assert found(RaiseEpochs, ending(22)) == RaiseEpochs(15, 15, 3, 24)
    assert found(RaiseEpochs, ending(21)) is None
    assert found(RaiseEpochs, ending(24, epochs=24)) is None, "a point that sets its own epochs"
    assert found(RaiseEpochs, learned()) is None, "a study that does not say"


def with_confusion(*rows: tuple[int, ...]) -> StudySummary:
    counts = np.array(rows)
    names = tuple(f"class {n}" for n in range(len(rows)))
    data = learned(example(names, per_class=20))
    return replace(data, pooled=Pooled(((7, 1.0),), counts, {}, int(counts.sum()), FOLDS))


def test_a_class_that_is_found_clearly_less_often_than_the_others_needs_pictures() -> None:
    step = found(HelpClass, with_confusion((38, 2, 0), (2, 37, 1), (10, 10, 20)))
    assert step is not None
    assert (step.label, step.found) == (2, 0.5)
    assert step.low < 0.5 < step.high < step.others == pytest.approx((38 / 40 + 37 / 40) / 2)


@pytest.mark.parametrize(
    "rows", [((38, 2, 0), (2, 37, 1), (3, 3, 34)), ((4, 0, 0), (0, 4, 0), (1, 1, 2)), ((40, 0), (0, 40))]
)
def test_a_class_that_may_be_low_by_chance_is_not_named(rows: tuple[tuple[int, ...], ...]) -> None:
    assert found(HelpClass, with_confusion(*rows)) is None


def test_a_plain_method_that_no_trial_clearly_beats_is_named() -> None:
    near, far, early = (
        learned(replace(many(trials), references=references(linear_probe=mean)))
        for trials, mean in ((40, 0.93), (40, 0.6), (12, 0.93))
    )
    step = found(UsePlain, near)
    assert step is not None and step.name == "linear probe on a pre-trained network"
    assert found(UsePlain, far) is None and found(UsePlain, early) is None
    saved = replace(early, chosen=Chosen(7, ((7, 1.0),), True, False, "", None))
    assert found(UsePlain, saved) is not None, "0.86 is expected of it, and the plain method has 0.93"


def test_where_a_plain_method_is_clearly_better_than_every_trial_another_family_comes_first() -> None:
    """What such models think of labels, and whether more of them would help, is of no interest then."""
    beaten = replace(learned(replace(many(40), references=references(linear_probe=0.999))), preset="cnn")
    beaten = replace(beaten, rows=tuple(replace(row, score=0.6, spread=0.05) for row in beaten.rows))
    assert beaten.best is not None
    beaten = replace(beaten, best=replace(beaten.best, score=0.6, spread=0.05), estimate=replace(EXPECTED, value=0.6))
    first, *others = next_steps(beaten)
    assert first == ChangeFamily("linear probe on a pre-trained network", 0.999, pretrained=True)
    assert not {CheckLabels, UsePlain, SearchOn, StopHere} & {type(step) for step in others}
    guessing = replace(beaten, estimate=replace(EXPECTED, value=0.52, low=0.42, high=0.62))
    assert next_steps(guessing) == (first, FindTheCause())
    assert next_steps(replace(guessing, preset="auto")) == (FindTheCause(),)
    assert found(ChangeFamily, replace(beaten, preset="auto")) == replace(first, pretrained=False)
    assert found(ChangeFamily, learned(replace(many(40), references=references(linear_probe=0.6)))) is None


def test_where_the_best_is_clearly_better_what_made_it_so_can_be_found_out() -> None:
    chosen = Chosen(7, ((7, 1.0),), True, False, "", None)
    data = replace(learned(), chosen=chosen, suspects=(), pooled=None)
    assert data.best is not None
    assert found(Explain, data) == Explain(len(data.best.changed))
    assert found(Explain, replace(data, searching=True)) is None
    assert found(Explain, replace(data, chosen=None)) is None
    one = replace(data.best, changed=dict(list(data.best.changed.items())[:1]))
    rows = tuple(one if row.number == one.number else row for row in data.rows)
    assert found(Explain, replace(data, rows=rows)) is None


@cache
def base() -> StudySummary:
    return learned()


def after(best: int, trials: int) -> StudySummary:
    rows = tuple(replace(base().rows[0], number=n, state=TrialState.COMPLETE) for n in range(trials))
    return replace(base(), baseline=None, rows=rows, best=rows[best], references=(), pooled=None, suspects=())


def test_where_many_trials_brought_nothing_better_the_search_may_stop_and_where_the_best_is_late_go_on() -> None:
    assert next_steps(after(5, 30)) == (StopHere(5, 24),)
    assert next_steps(after(28, 30)) == (SearchOn(30, 28),)
    assert next_steps(after(18, 30)) == ()
    assert next_steps(after(1, 4)) == (SearchOn(4),)
    assert next_steps(replace(after(5, 30), searching=True)) == ()


def test_a_model_that_was_saved_before_more_was_searched_says_nothing_of_what_came_later() -> None:
    old = Chosen(5, ((5, 1.0),), False, False, "", None)
    assert next_steps(replace(after(28, 30), chosen=old)) == (SearchOn(30, 28),)
    now = replace(old, current=True)
    assert next_steps(replace(after(28, 30), chosen=now))[0] == SearchOn(30, 28)


def test_steps_do_not_speak_against_each_other() -> None:
    plain = replace(example(), references=references(linear_probe=0.93)).data().references
    longer = replace(after(28, 30), references=plain)
    assert {type(step) for step in next_steps(longer)} == {UsePlain}
    finishing = replace(after(5, 30), worth_finishing=11)
    assert {type(step) for step in next_steps(finishing)} == {FinishTrial}


def test_one_step_at_most_goes_on_and_one_at_most_says_that_more_of_the_same_brings_nothing() -> None:
    finishing = replace(after(28, 30), worth_finishing=11)
    assert {type(step) for step in next_steps(finishing)} == {FinishTrial}
    plain = replace(example(), references=references(linear_probe=0.9)).data().references
    assert {type(step) for step in next_steps(replace(after(5, 30), references=plain))} == {UsePlain}


@given(st.integers(0, 59), st.integers(1, 60))
def test_it_never_says_both_to_stop_and_to_go_on_nor_more_than_a_few_things(best: int, trials: int) -> None:
    steps = next_steps(after(min(best, trials - 1), trials))
    assert len(steps) <= MOST
    assert not {StopHere, SearchOn} <= {type(step) for step in steps}
