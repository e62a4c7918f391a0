"""The contract of samplers, for every installed sampler of both engines."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache
from typing import Any

import optuna
import pytest

from search.errors import UsageError
from search.samplers import memory, optuna_builders
from search.samplers.base import Sampler
from search.samplers.catalog import check_sampler, of_engine, row_of
from search.samplers.factory import unmodelled_parameters
from search.samplers.hyperband import HyperbandSampler
from search.samplers.memory import LATEST, LEADING, learned_from
from search.samplers.optuna_study import distributions, to_frozen_trial
from search.stats.ranking import ranked
from spaces import Space, Value
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.search.samplers.contract import BAYESIAN, EPOCHS, EVERY, METRIC, NSGA2, SamplerCase, each, made, space_of
from tests.search.session.instant import SPACE, quality

TPE, CMAES = SamplerCase("optuna", "tpe"), SamplerCase("optuna", "cmaes")
TPE_OF_TWO = SamplerCase("optuna", "tpe", "parameters")


def trials_of(sampler: SamplerCase) -> int:
    """Enough trials to be past the initial random points; Keras Tuner's Gaussian process takes a second per point."""
    return {BAYESIAN: 21, NSGA2: 70}.get(sampler, 25)


def closed(number: int, params: dict[str, Value], redraws: int = 0) -> TrialRecord:
    """The closed trial: every seventh fails, every fifth is pruned after one fold, all others are complete."""
    folds = tuple(
        FoldRecord(number, 0, fold, 1, {METRIC: quality(params) + fold / 100}, 1, 1, {}, 1, 1.0) for fold in range(3)
    )
    origin, parameters = Origin.SAMPLER if number else Origin.BASELINE, 100 * (1 + int(params["depth"]))
    trial = TrialRecord(number, params, origin, parameters=parameters, redraws=redraws)
    if number % 7 == 6:
        return replace(trial, state=TrialState.FAILED, cause="not finite")
    if number % 5 == 4:
        return replace(trial, state=TrialState.PRUNED, folds=folds[:1])
    return replace(trial, state=TrialState.COMPLETE, folds=folds)


def one_trial(asked: Sampler, number: int) -> TrialRecord:
    """Ask, refuse the first two points of every fourth trial, tell."""
    if number == 0:
        return told(asked, closed(0, asked.ask(0, baseline(asked))))
    refused = 2 if number % 4 == 3 else 0
    for _ in range(refused):
        asked.ask(number)
        asked.refuse(number)
    return told(asked, closed(number, asked.ask(number), refused))


def baseline(asked: Sampler) -> dict[str, Value]:
    return {**SPACE.defaults(), **({"epochs": EPOCHS} if isinstance(asked, HyperbandSampler) else {})}


def told(asked: Sampler, trial: TrialRecord) -> TrialRecord:
    asked.tell(trial)
    return trial


@cache
def go(sampler: SamplerCase) -> tuple[TrialRecord, ...]:
    asked = made(sampler)
    asked.replay([])
    return tuple(one_trial(asked, number) for number in range(trials_of(sampler)))


@pytest.fixture(params=each(EVERY))
def sampler(request: pytest.FixtureRequest) -> SamplerCase:
    asked: SamplerCase = request.param
    return asked


@pytest.fixture
def in_one_go(sampler: SamplerCase) -> list[TrialRecord]:
    return list(go(sampler))


def test_every_point_is_one_of_the_space(sampler: SamplerCase, in_one_go: list[TrialRecord]) -> None:
    for trial in in_one_go:
        space_of(sampler).check(dict(trial.params))


def test_the_points_differ(in_one_go: list[TrialRecord]) -> None:
    assert len({str(trial.params) for trial in in_one_go}) > len(in_one_go) * 0.8


@pytest.mark.first(24)
@pytest.mark.parametrize("stopped_after", [1, 4, 12, 20])
def test_resuming_from_stored_trials_equals_one_session(
    sampler: SamplerCase, in_one_go: list[TrialRecord], stopped_after: int
) -> None:
    stopped_after *= max(len(in_one_go) // 25, 1)
    resumed = made(sampler)
    resumed.replay(in_one_go[:stopped_after])
    assert [one_trial(resumed, n).params for n in range(stopped_after, len(in_one_go))] == [
        trial.params for trial in in_one_go[stopped_after:]
    ]


def test_resuming_with_an_open_trial_equals_one_session(sampler: SamplerCase, in_one_go: list[TrialRecord]) -> None:
    resumed = made(sampler)
    interrupted = replace(in_one_go[13], state=TrialState.RUNNING, folds=in_one_go[13].folds[:1])
    resumed.replay([*in_one_go[:13], interrupted])
    resumed.tell(in_one_go[13])
    assert [one_trial(resumed, n).params for n in range(14, len(in_one_go))] == [t.params for t in in_one_go[14:]]


LEARNS_FROM_SOME = [
    case
    for case in EVERY
    if case.name in optuna_builders.BUILDERS
    and case.engine == "optuna"
    and not row_of(case.engine, case.name).keeps_state
]


@pytest.mark.parametrize("sampler", each(LEARNS_FROM_SOME))
def test_resuming_equals_one_session_if_old_trials_were_dropped(
    monkeypatch: pytest.MonkeyPatch, sampler: SamplerCase
) -> None:
    for name, value in (("LATEST", 12), ("LEADING", 2), ("FORGET_EVERY", 5)):
        monkeypatch.setattr(memory, name, value)
    asked = made(sampler)
    asked.replay([])
    one_go = [one_trial(asked, number) for number in range(35)]
    for stopped_after in (14, 15, 16, 20, 29, 31):
        for was_open in (False, True):
            resumed, before = made(sampler), one_go[:stopped_after]
            if was_open:
                before[-1] = replace(before[-1], state=TrialState.RUNNING, folds=())
            resumed.replay(before)
            if was_open:
                resumed.tell(one_go[stopped_after - 1])
            after = [one_trial(resumed, number).params for number in range(stopped_after, 35)]
            assert after == [trial.params for trial in one_go[stopped_after:]], (stopped_after, was_open)


def test_the_latest_and_the_best_are_kept_and_keeping_twice_gives_the_same() -> None:
    trials = [closed(number, {**SPACE.defaults(), "rate": 1e-4 * 1.02**number}) for number in range(340)]
    kept = learned_from(trials, METRIC)
    assert kept[-LATEST:] == trials[-LATEST:]
    best = ranked(trials, METRIC)[:LEADING]
    assert {trial.number for trial in kept} == {trial.number for trial in [*trials[-LATEST:], *best]}
    assert learned_from([*learned_from(trials[:300], METRIC), *trials[300:]], METRIC) == kept
    assert learned_from(trials[:LATEST], METRIC) == trials[:LATEST]


def test_tpe_samples_the_groups_of_optuna_but_only_those_that_a_point_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point with the norm 'none' has no momentum, one of depth 0 has no units; each of these is a separate group."""
    trials = list(go(TPE))
    known = [to_frozen_trial(distributions(SPACE), trial, METRIC) for trial in trials]
    study = optuna.create_study(direction="maximize")
    study.add_trials(known)
    decomposed = optuna.search_space.group_decomposed._GroupDecomposedSearchSpace(True).calculate(study)
    groups = optuna_builders._groups([trial.distributions for trial in known])
    assert {frozenset(group) for group in groups} == {frozenset(group) for group in decomposed.search_spaces}

    sampled: list[set[str]] = []
    sample = optuna_builders._Tpe._sample

    def recording(*arguments: Any) -> dict[str, Any]:
        sampled.append(set(arguments[-1]))
        return sample(*arguments)

    monkeypatch.setattr(optuna_builders._Tpe, "_sample", recording)
    asked = made(TPE)
    asked.replay(trials)
    params = asked.ask(len(trials))
    assert sorted(name for group in sampled for name in group) == sorted(params)
    assert sampled == [
        {"depth", "rate", "dropout", "norm"},
        *({name} for name in ("momentum", "units") if name in params),
    ]


@pytest.mark.parametrize("sampler", [TPE, TPE_OF_TWO], ids=str)
def test_points_asked_for_one_after_another_share_densities_and_are_those_that_each_would_be_alone(
    sampler: SamplerCase,
) -> None:
    """The free ones of many slots are asked for with the same ended trials."""
    trials = list(go(TPE))
    together = made(sampler)
    together.replay(trials)
    points = [together.ask(number) for number in range(25, 29)]
    for number, point in enumerate(points, 25):
        alone = made(sampler)
        alone.replay(trials)
        assert alone.ask(number) == point
    together.tell(closed(25, points[0]))
    alone = made(sampler)
    alone.replay([*trials, closed(25, points[0])])
    assert together.ask(29) == alone.ask(29)


MODELS = {
    "cmaes": (3, "numbers that every point has", {"depth", "rate", "dropout"}),
    "gp": (4, "those that every point has", {"depth", "rate", "dropout", "norm"}),
    "qmc": (5, "those of the default point", {"depth", "rate", "dropout", "norm", "units"}),
}


@pytest.mark.parametrize("sampler", each(one for one in EVERY if one.name in MODELS))
def test_a_sentence_names_how_many_parameters_are_drawn_at_random(
    monkeypatch: pytest.MonkeyPatch, sampler: SamplerCase
) -> None:
    number, which, names = MODELS[sampler.name]
    assert unmodelled_parameters(SPACE, sampler.name) == (
        f"sampler {sampler.name} models {number} of the 6 parameters ({which}) and draws the others at random; "
        "use tpe, which models all of them"
    )
    sampled: list[set[str]] = []
    kind = type(optuna_builders.fresh_sampler(sampler.name, 1, 1))
    sample = kind.sample_relative

    def recording(*arguments: Any) -> Any:
        sampled.append(set(arguments[-1]))
        return sample(*arguments)

    monkeypatch.setattr(kind, "sample_relative", recording)
    asked = made(sampler)
    asked.replay(go(sampler))
    asked.ask(len(go(sampler)))
    assert sampled[-1] == names


def test_there_is_no_sentence_if_all_parameters_are_modelled() -> None:
    numbers = Space(SPACE.parameters[:3])
    assert [unmodelled_parameters(numbers, name) for name in optuna_builders.BUILDERS] == [None] * len(
        optuna_builders.BUILDERS
    )
    assert [unmodelled_parameters(SPACE, name) for name in ("tpe", "random", "nsga2", "grid")] == [None] * 4


def test_another_study_seed_gives_other_points(sampler: SamplerCase, in_one_go: list[TrialRecord]) -> None:
    other = made(sampler, seed=1)
    other.replay([])
    points = [one_trial(other, n).params for n in range(5)][1:]
    if sampler.name == "grid":  # all parameters are modelled
        assert points == [t.params for t in in_one_go[1:5]]
    else:
        assert points != [t.params for t in in_one_go[1:5]]


def test_a_fixed_point_is_given_back(sampler: SamplerCase) -> None:
    asked = made(sampler)
    wanted = space_of(sampler).defaults(depth=4, norm="batch")
    assert asked.ask(0, wanted) == wanted


def test_asking_while_other_trials_are_open_gives_other_points(sampler: SamplerCase) -> None:
    asked = made(sampler)
    one_trial(asked, 0)
    points = [asked.ask(number) for number in range(1, 5)]
    assert len({str(point) for point in points}) == 4


def test_a_refused_point_is_followed_by_another(sampler: SamplerCase) -> None:
    asked = made(sampler)
    one_trial(asked, 0)
    first = asked.ask(1)
    asked.refuse(1)
    assert asked.ask(1) != first


@pytest.mark.parametrize("sampler", [TPE, CMAES])
def test_samplers_that_learn_come_closer_to_the_best_than_random_points(sampler: SamplerCase) -> None:
    """60 trials, seed 0; deterministic. The mean quality of a random point is about 0.75."""
    asked = made(sampler)
    asked.replay([])
    values = []
    for number in range(60):
        params = asked.ask(number)
        trial = TrialRecord(number, params, Origin.SAMPLER, state=TrialState.COMPLETE)
        fold = FoldRecord(number, 0, 0, 1, {METRIC: quality(params)}, 1, 1, {}, 1, 1.0)
        asked.tell(replace(trial, folds=(fold,)))
        values.append(quality(params))
    assert sum(values[40:]) / 20 > sum(values[:10]) / 10 + 0.05


def test_the_gaussian_process_of_keras_tuner_does_so_from_its_first_points() -> None:
    drawn, chosen = go(BAYESIAN)[:18], go(BAYESIAN)[18:]
    assert sum(quality(dict(t.params)) for t in chosen) / 3 > sum(quality(dict(t.params)) for t in drawn) / 18 + 0.05


def test_every_sampler_of_the_catalog_is_tested_here() -> None:
    assert {*optuna_builders.BUILDERS, "grid"} == {*of_engine("optuna")}


def test_a_sampler_whose_package_is_missing_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"'gp' needs the package torch.*pip install torch, or use"):
        check_sampler("gp")
