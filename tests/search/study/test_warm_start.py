"""Points before the sampler's: `[[try]]` and the best of another study, on paper and in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import UsageError
from search.session.plan import Start
from search.study.warm_start import best_of, points_to_try
from spaces import Space, Value
from spaces.facts import Facts
from spaces.parameters import choice
from spaces.presets import FAMILIES, PRESETS
from storage import FoldRecord, Store, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant
from tests.search.session.sessions import FOLDS, RUN, Watcher, a_plan, dying_and_going_on, new_study, sit, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


# On paper


def test_a_point_is_the_default_with_what_it_changes() -> None:
    assert points_to_try([{"norm": "batch", "momentum": 0}, {"rate": 1e-2}], SPACE) == (
        SPACE.defaults(norm="batch", momentum=0.0),
        SPACE.defaults(rate=1e-2),
    )


def test_a_number_of_a_choice_may_be_written_as_whole() -> None:
    space = Space((choice("l2", 0.1, 0.0),))
    (point,) = points_to_try([{"l2": 0}], space)
    assert type(point["l2"]) is float


def test_every_problem_of_every_point_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        points_to_try([{"dropout": 0.7, "momentum": 0.5}, {"depth": 1}, {"deph": 1, "norm": "layer"}], SPACE)
    assert str(caught.value).splitlines() == [
        "[[try]] of study.toml:",
        "  try 1: dropout: must be in 0 to 0.5, step 0.1, got 0.7",
        "  try 1: momentum: only where norm = batch; set that too",
        "  try 3: norm: must be one of none, batch, got 'layer'",
        "  try 3: deph: unknown; did you mean 'depth'?",
    ]


def test_a_point_that_is_listed_twice_is_one() -> None:
    assert len(points_to_try([{"depth": 1}, {"depth": 1, "dropout": 0.2}], SPACE)) == 1


# Another study


def other_study(path: Path, points: list[tuple[dict[str, Value], float]], preset: str = "cnn") -> Path:
    """A study whose trials have these points and scores; the last is not complete."""
    new_study(path, preset)
    with Store.open(path) as store:
        run = store.start_run(RUN)
        for number, (params, score) in enumerate(points):
            store.add_trial(TrialRecord(number, params, Origin.SAMPLER), run=run, seconds=0.0)
            probabilities = np.full((4, 2), 0.5, np.float32)
            for fold in range(1 if number == len(points) - 1 else FOLDS):
                record = FoldRecord(number, 0, fold, 1, {"accuracy": score}, 1, 1, {}, 1, 1.0, probabilities)
                close = (TrialState.COMPLETE, None, None) if fold == FOLDS - 1 else None
                store.add_fold(record, run=run, seconds=0.0, close=close)
    return path


def test_the_best_complete_points_of_another_study_are_taken_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    other = other_study(
        tmp_path / "other.db",
        [
            ({**SPACE.defaults(), "depth": 4}, 0.6),
            ({**SPACE.defaults(), "dropout": 0.8, "stages": "all", "depth": 3}, 0.9),
            (SPACE.defaults(), 0.8),
            ({**SPACE.defaults(), "depth": 1, "dropout": 0.2}, 0.7),
            ({**SPACE.defaults(), "dropout": 0.5}, 0.99),
        ],
    )
    tries, sentence = best_of(other, "pets-study", SPACE, "cnn")
    assert [dict(one.changes) for one in tries] == [{"depth": 3}, {"depth": 1}, {"depth": 4}]
    assert tries[0].source == "trial 1 of pets-study: accuracy 0.9"
    assert sentence == (
        "warm start from pets-study: trials 1, 3, 0 are tried first; "
        "at the default instead: dropout 0.8 (not in 0 to 0.5, step 0.1), stages (unknown here)"
    )
    listed = points_to_try([{"depth": 1}], SPACE)
    assert [dict(one.changes) for one in best_of(other, "x", SPACE, "cnn", listed)[0]] == [{"depth": 3}, {"depth": 4}]


def test_a_value_that_has_another_condition_here_is_said_too(tmp_path: Path) -> None:
    space = FAMILIES["cnn"].space(Facts(32, 32, 3, 2, 200))
    theirs = {**space.defaults(optimizer="sgd", sgd_learning_rate=0.05), "weight_decay": 0.01}
    tries, sentence = best_of(other_study(tmp_path / "other.db", [(theirs, 0.9), (theirs, 0.8)]), "x", space, "cnn")
    assert [dict(one.changes) for one in tries] == [{"optimizer": "sgd", "sgd_learning_rate": 0.05}]
    assert sentence.endswith("; at the default instead: weight_decay 0.01 (only where optimizer = adamw)")


def test_five_points_are_taken_at_most(tmp_path: Path) -> None:
    points = [(SPACE.defaults(rate=1e-3 * (2 + n)), n / 10) for n in range(9)]
    tries, _ = best_of(other_study(tmp_path / "other.db", points), "x", SPACE, "cnn")
    assert [one.changes["rate"] for one in tries] == [points[n][0]["rate"] for n in (7, 6, 5, 4, 3)]


def test_points_of_a_family_and_of_all_families_are_translated(tmp_path: Path) -> None:
    facts = Facts(8, 8, 3, 2, 100)
    cnn, auto = PRESETS["cnn"].space(facts), PRESETS["auto"].space(facts)
    point = cnn.defaults(conv_depth=1)
    of_cnn = other_study(tmp_path / "cnn.db", [(dict(point), 0.9), (dict(point), 0.1)], preset="cnn")
    (one,), sentence = best_of(of_cnn, "x", auto, "auto")
    assert auto.changed(one.changes)["cnn_conv_depth"] == 1
    assert "unknown" not in sentence
    both = [({**auto.defaults(family="question")}, 0.9), (dict(auto.changed(one.changes)), 0.8), (auto.defaults(), 0.1)]
    of_auto = other_study(tmp_path / "auto.db", both, preset="auto")
    (back,), _ = best_of(of_auto, "x", cnn, "cnn")
    assert cnn.changed(back.changes) == point


def test_a_study_without_a_complete_trial_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="--warm-start: x has no complete trial to begin from"):
        best_of(path, "x", SPACE, "cnn")


# In the loop


def with_tries(*tries: dict[str, Any]) -> dict[str, Any]:
    """The usual starts, then these points, as changes to the default."""
    return {"starts": [*a_plan().starts, *(Start(Origin.TRY, SPACE.changed(changes)) for changes in tries)]}


def test_points_to_try_come_after_the_known_good_ones_and_each_point_once(path: Path) -> None:
    sit(path, Instant(), **with_tries({"depth": 3}, {"depth": 1}, {"dropout": 0.1}, {"depth": 3}))
    trials = stored(path)
    assert [t.origin for t in trials] == [
        Origin.BASELINE,
        Origin.START,
        Origin.TRY,
        Origin.TRY,
        Origin.SAMPLER,
        Origin.SAMPLER,
    ]
    assert trials[2].params == SPACE.defaults(depth=3)
    assert trials[3].params == SPACE.defaults(dropout=0.1)


def test_points_added_to_a_begun_study_come_next_and_those_taken_away_do_not_matter(path: Path) -> None:
    sit(path, Instant(), trials=5, **with_tries({"depth": 3}))
    sit(path, Instant(), trials=8, **with_tries({"depth": 4}, {"dropout": 0.1}))
    assert [t.origin for t in stored(path)] == [
        Origin.BASELINE,
        Origin.START,
        Origin.TRY,
        *[Origin.SAMPLER] * 2,
        *[Origin.TRY] * 2,
        Origin.SAMPLER,
    ]
    assert stored(path)[5].params == SPACE.defaults(depth=4)


@pytest.mark.first(4)
@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
@pytest.mark.parametrize("jobs_before", [5, 8, 9, 10, 14, 19])
def test_dying_among_points_to_try_and_going_on_equals_one_go(tmp_path: Path, sampler: str, jobs_before: int) -> None:
    """The second of three is too large, which the sampler must not notice."""
    tries = with_tries({"norm": "batch"}, {"depth": 4}, {"dropout": 0.1})
    asked: dict[str, Any] = {"sampler": ("optuna", sampler), "trials": 7, "max_parameters": 300, **tries}
    broken, whole = dying_and_going_on(tmp_path, jobs_before, **asked)
    assert broken == whole
    assert [row[2] for row in whole] == [Origin.BASELINE, Origin.START, Origin.TRY, Origin.TRY, *[Origin.SAMPLER] * 3]


def test_a_point_to_try_that_is_too_large_is_left_out_and_named(path: Path) -> None:
    watcher = Watcher()
    sit(path, Instant(), watcher, max_parameters=300, **with_tries({"depth": 4, "dropout": 0.1}))
    assert [t.origin for t in stored(path)] == [Origin.BASELINE, Origin.START] + [Origin.SAMPLER] * 4
    assert watcher.notes == [
        "a point of [[try]] is left out: its model has 500 parameters, above max_parameters = 300 "
        "(depth = 4, dropout = 0.1)"
    ]


def test_a_known_good_point_that_is_too_large_for_this_machine_is_left_out_too(path: Path) -> None:
    watcher = Watcher()
    starts = [Start(Origin.BASELINE, SPACE.defaults()), Start(Origin.START, SPACE.defaults(depth=4))]
    sit(path, Instant(), watcher, max_parameters=300, starts=starts)
    assert [t.origin for t in stored(path)] == [Origin.BASELINE] + [Origin.SAMPLER] * 5
    assert watcher.notes == [
        "a known-good point is left out: its model has 500 parameters, above max_parameters = 300 (depth = 4)"
    ]
