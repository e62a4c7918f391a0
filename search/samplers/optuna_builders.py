"""Makes each of Optuna's samplers, a new one for every ask."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from scipy.special import log_ndtr, ndtr, ndtri_exp

from search.seeds import derive

# Optuna does without SciPy, and computes these for one value after another in Python: a third of an ask.
_truncnorm._ndtr, _truncnorm._log_ndtr, _truncnorm._ndtri_exp = ndtr, log_ndtr, ndtri_exp


class _ByName(RandomSampler):
    """Random draws that depend only on the seed and the name of the parameter, not on other draws."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._seed = seed

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        drawing = RandomSampler(derive(self._seed, param_name))
        return drawing.sample_independent(study, trial, param_name, param_distribution)


@dataclass
class _Ended:
    """What the trials of a study that ended say: the same for every ask until another one ends."""

    trials: list[FrozenTrial]
    groups: list[dict[str, BaseDistribution]]
    divided: tuple[list[FrozenTrial], list[FrozenTrial]]  # good trials, and the others
    densities: dict[tuple[str, ...], tuple[_ParzenEstimator, ...]] = field(default_factory=dict)  # of both, by group


_ENDED: WeakKeyDictionary[optuna.Study, _Ended] = WeakKeyDictionary()


class _Tpe(TPESampler):
    """Optuna's multivariate TPE with its `group=True`: parameters that occur in the same trials are sampled together.

    A group is sampled only when one of its parameters is asked for. A point of `auto` needs a third of the groups, and
    sampling them is nearly all of the time of an ask. A sampler is made for one point, but those that are asked for
    with the same trials, as the free ones of a thousand slots are, share the densities.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, multivariate=True)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        trials = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE, OptunaState.PRUNED))
        if study not in _ENDED or len(_ENDED[study].trials) != len(trials):
            gamma = default_gamma if len(study.directions) == 1 else default_gamma_multiobjective
            groups = _groups([trial.distributions for trial in trials])
            _ENDED[study] = _Ended(trials, groups, _split_trials(study, trials, gamma(len(trials))))
        return {name: distribution for group in _ENDED[study].groups for name, distribution in group.items()}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002 - that of the groups
    ) -> dict[str, Any]:
        ended = _ENDED[study]
        if len(ended.trials) < self._n_startup_trials:
            return {}
        return _Sampled(ended.groups, lambda group: self._sample(study, trial, group))

    def _sample(
        self,
        study: optuna.Study,
        trial: FrozenTrial,  # noqa: ARG002 - as Optuna calls it
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """As Optuna's, but what does not depend on the point is computed once for all that share it."""
        ended, names = _ENDED[study], tuple(search_space)
        if names not in ended.densities:
            ended.densities[names] = tuple(
                self._build_parzen_estimator(study, search_space, trials, handle_below=below)
                for trials, below in zip(ended.divided, (True, False), strict=True)
            )
        good, others = ended.densities[names]
        drawn = good.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(drawn, self._compute_acquisition_func(drawn, good, others))
        return {name: kind.to_external_repr(best[name]) for name, kind in search_space.items()}


class _Sampled(dict[str, Any]):
    """Values by name. The values of a group are sampled at the first look-up of one of its names."""

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
            self._group_of = {other: kept for other, kept in self._group_of.items() if kept is not group}
        return super().__contains__(name)


def _groups(trials: Iterable[Mapping[str, BaseDistribution]]) -> list[dict[str, BaseDistribution]]:
    """The parameters of these trials in groups that always occur together, without those of a single value."""
    kinds = {frozenset(ranges): ranges for ranges in trials}
    occurs: dict[str, list[int]] = {}
    known: dict[str, BaseDistribution] = {}
    for kind, ranges in enumerate(kinds.values()):
        for name, distribution in ranges.items():
            occurs.setdefault(name, []).append(kind)
            known[name] = distribution
    groups: dict[tuple[int, ...], dict[str, BaseDistribution]] = {}
    for name in sorted(known):
        if not known[name].single():
            groups.setdefault(tuple(occurs[name]), {})[name] = known[name]
    return list(groups.values())


class _Nsga2(NSGAIISampler):
    """NSGA-II that draws by name: a replayed point lacks its inactive parameters, and these are drawn again."""

    def __init__(self, seed: int) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._chance = _ByName(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """The parameters of all complete trials, taken from one of them. Optuna compares all trials at every ask."""
        trials = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        if not trials:
            return {}
        return {name: kind for name, kind in sorted(trials[0].distributions.items()) if not kind.single()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._chance.sample_independent(study, trial, param_name, param_distribution)


def _tpe(seed: int, _: int) -> BaseSampler:
    return _Tpe(seed)


def _random(seed: int, _: int) -> BaseSampler:
    return _ByName(seed)


def _qmc(seed: int, study_seed: int) -> BaseSampler:
    # One scrambled Sobol sequence for the whole study: its seed must be the same at every ask.
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

POPULATION = 20  # of NSGA-II; with Optuna's 50 a usual search would have four generations


def fresh_sampler(name: str, seed: int, study_seed: int) -> BaseSampler:
    """A new sampler of `BUILDERS`, for one ask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return BUILDERS[name](seed, study_seed)
