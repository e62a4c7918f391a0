"""How each of Optuna's samplers is made, anew for every ask."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.seeds import derive


class _ByName(RandomSampler):
    """Chance whose draws for a parameter depend on the seed and its name alone, not on what is drawn beside it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._seed = seed

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        drawing = RandomSampler(derive(self._seed, param_name))
        return drawing.sample_independent(study, trial, param_name, param_distribution)


class _Tpe(TPESampler):
    """Optuna's multivariate TPE with its `group=True`: parameters that occur in the same trials are sampled together.

    But a group is sampled only when one of it is asked for. A point of `auto` has values of a third of the groups, and
    nearly all of the time that asking takes goes into sampling them.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, multivariate=True)
        self._groups: list[dict[str, BaseDistribution]] = []

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        trials = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE, OptunaState.PRUNED))
        self._groups = _groups([trial.distributions for trial in trials])
        return {name: its for group in self._groups for name, its in group.items()}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002 - that of `_groups`
    ) -> dict[str, Any]:
        sample = super().sample_relative
        return _Sampled(self._groups, lambda group: sample(study, trial, group))


class _Sampled(dict[str, Any]):
    """Values by name; those of a group are sampled when it is first asked whether one of them is there."""

    def __init__(
        self,
        groups: Iterable[dict[str, BaseDistribution]],
        sample: Callable[[dict[str, BaseDistribution]], dict[str, Any]],
    ) -> None:
        super().__init__()
        self._group_of = {name: group for group in groups for name in group}
        self._sample = sample

    def __contains__(self, name: object) -> bool:
        if group := self._group_of.get(str(name)):
            self.update(self._sample(group))
            self._group_of = {other: of for other, of in self._group_of.items() if of is not group}
        return super().__contains__(name)


def _groups(trials: Iterable[Mapping[str, BaseDistribution]]) -> list[dict[str, BaseDistribution]]:
    """The parameters of these trials, those together that always occur together; without those of a single value."""
    kinds = {frozenset(ranges): ranges for ranges in trials}
    occurs: dict[str, list[int]] = {}
    known: dict[str, BaseDistribution] = {}
    for kind, ranges in enumerate(kinds.values()):
        for name, its in ranges.items():
            occurs.setdefault(name, []).append(kind)
            known[name] = its
    groups: dict[tuple[int, ...], dict[str, BaseDistribution]] = {}
    for name in sorted(known):
        if not known[name].single():
            groups.setdefault(tuple(occurs[name]), {})[name] = known[name]
    return list(groups.values())


class _Nsga2(NSGAIISampler):
    """NSGA-II that draws by name: a point given back on replay lacks what is inactive in it, which is drawn again."""

    def __init__(self, seed: int) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._chance = _ByName(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """What all complete trials have, which is what one has. Optuna compares them all, anew at every ask."""
        trials = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        if not trials:
            return {}
        return {name: its for name, its in sorted(trials[0].distributions.items()) if not its.single()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._chance.sample_independent(study, trial, param_name, param_distribution)


def _tpe(seed: int, _: int) -> BaseSampler:
    return _Tpe(seed)


def _random(seed: int, _: int) -> BaseSampler:
    return _ByName(seed)


def _qmc(seed: int, study_seed: int) -> BaseSampler:
    # One scrambled Sobol sequence for the whole study: its seed must not change from ask to ask.
    return QMCSampler(
        qmc_type="sobol",
        scramble=True,
        seed=derive(study_seed, "qmc"),
        independent_sampler=RandomSampler(seed=seed),
        warn_independent_sampling=False,
    )


def _gp(seed: int, _: int) -> BaseSampler:
    return GPSampler(seed=seed, independent_sampler=RandomSampler(seed=seed))


def _cmaes(seed: int, _: int) -> BaseSampler:
    return CmaEsSampler(seed=seed, independent_sampler=RandomSampler(seed=seed), warn_independent_sampling=False)


def _nsga2(seed: int, _: int) -> BaseSampler:
    return _Nsga2(seed)


BUILDERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "qmc": _qmc,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}
"""Sampler name -> (seed of this ask, study seed) -> a fresh sampler."""

POPULATION = 20  # of NSGA-II; Optuna's 50 would be four generations of a usual search


def fresh_sampler(name: str, seed: int, study_seed: int) -> BaseSampler:
    """One of `BUILDERS`, for one ask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return BUILDERS[name](seed, study_seed)
