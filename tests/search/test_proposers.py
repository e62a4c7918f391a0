"""The contract of proposers, over every sampler that is installed here."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from search.errors import UsageError
from search.proposers import SAMPLERS, OptunaProposer, Proposer, check_sampler
from spaces import Value
from storage import FoldRecord, TrialRecord, TrialState
from tests.search.instant import SPACE, quality

METRIC = "accuracy"
TRIALS = 25

INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{name} needs a package that is not installed"))
    for name in SAMPLERS
    for missing in [name == "gp" and importlib.util.find_spec("torch") is None]
]


def proposer(sampler: str, seed: int = 0) -> Proposer:
    return OptunaProposer(SPACE, METRIC, sampler, seed)


def closed(number: int, params: dict[str, Value], redraws: int = 0) -> TrialRecord:
    """The trial as it ends: every seventh fails, every fifth is pruned after one fold, the rest is complete."""
    folds = tuple(
        FoldRecord(number, 0, fold, 1, {METRIC: quality(params) + fold / 100}, 1, 1, {}, 1, 1.0) for fold in range(3)
    )
    trial = TrialRecord(number, params, "sampler", redraws=redraws)
    if number % 7 == 6:
        return replace(trial, state=TrialState.FAILED, cause="not finite")
    if number % 5 == 4:
        return replace(trial, state=TrialState.PRUNED, folds=folds[:1])
    return replace(trial, state=TrialState.COMPLETE, folds=folds)


def one_trial(asked: Proposer, number: int) -> TrialRecord:
    """Ask, refuse the first two points of every fourth trial, tell."""
    if number == 0:
        return told(asked, closed(0, asked.ask(0, SPACE.defaults())))
    refused = 2 if number % 4 == 3 else 0
    for _ in range(refused):
        asked.ask(number)
        asked.refuse(number)
    return told(asked, closed(number, asked.ask(number), refused))


def told(asked: Proposer, trial: TrialRecord) -> TrialRecord:
    asked.tell(trial)
    return trial


@pytest.fixture(params=INSTALLED)
def sampler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def in_one_go(sampler: str) -> list[TrialRecord]:
    asked = proposer(sampler)
    asked.replay([])
    return [one_trial(asked, number) for number in range(TRIALS)]


def test_every_point_is_one_of_the_space(in_one_go: list[TrialRecord]) -> None:
    for trial in in_one_go:
        SPACE.check(dict(trial.params))


def test_the_points_differ(in_one_go: list[TrialRecord]) -> None:
    assert len({str(trial.params) for trial in in_one_go}) > TRIALS * 0.8


@pytest.mark.parametrize("stopped_after", [1, 4, 12, 20])
def test_going_on_from_stored_trials_equals_one_go(
    sampler: str, in_one_go: list[TrialRecord], stopped_after: int
) -> None:
    resumed = proposer(sampler)
    resumed.replay(in_one_go[:stopped_after])
    assert [one_trial(resumed, n).params for n in range(stopped_after, TRIALS)] == [
        trial.params for trial in in_one_go[stopped_after:]
    ]


def test_going_on_with_an_open_trial_equals_one_go(sampler: str, in_one_go: list[TrialRecord]) -> None:
    resumed = proposer(sampler)
    interrupted = replace(in_one_go[13], state=TrialState.RUNNING, folds=in_one_go[13].folds[:1])
    resumed.replay([*in_one_go[:13], interrupted])
    resumed.tell(in_one_go[13])
    assert [one_trial(resumed, n).params for n in range(14, TRIALS)] == [t.params for t in in_one_go[14:]]


def test_another_study_seed_gives_other_points(sampler: str, in_one_go: list[TrialRecord]) -> None:
    other = proposer(sampler, seed=1)
    other.replay([])
    assert [one_trial(other, n).params for n in range(5)][1:] != [t.params for t in in_one_go[1:5]]


def test_a_fixed_point_is_given_back(sampler: str) -> None:
    asked = proposer(sampler)
    wanted = SPACE.defaults(depth=4, norm="batch")
    assert asked.ask(0, wanted) == wanted


def test_asking_while_other_trials_are_open_gives_other_points(sampler: str) -> None:
    asked = proposer(sampler)
    one_trial(asked, 0)
    points = [asked.ask(number) for number in range(1, 5)]
    assert len({str(point) for point in points}) == 4


def test_a_refused_point_is_followed_by_another(sampler: str) -> None:
    asked = proposer(sampler)
    one_trial(asked, 0)
    first = asked.ask(1)
    asked.refuse(1)
    assert asked.ask(1) != first


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_that_learn_come_closer_to_the_best_than_chance_does(sampler: str) -> None:
    """60 trials, seed 0; deterministic. By chance the mean quality of a point is about 0.75."""
    asked = proposer(sampler)
    asked.replay([])
    values = []
    for number in range(60):
        params = asked.ask(number)
        trial = TrialRecord(number, params, "sampler", state=TrialState.COMPLETE)
        fold = FoldRecord(number, 0, 0, 1, {METRIC: quality(params)}, 1, 1, {}, 1, 1.0)
        asked.tell(replace(trial, folds=(fold,)))
        values.append(quality(params))
    assert sum(values[40:]) / 20 > sum(values[:10]) / 10 + 0.05


def test_a_sampler_whose_package_is_missing_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"'gp' needs the package torch.*smallsearch\[gp\]"):
        check_sampler("gp")
