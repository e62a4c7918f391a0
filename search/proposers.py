"""Proposers: what point to try next. Optuna's samplers by ask and tell, rebuilt from stored trials.

The other engine, Keras Tuner, is in `search/oracles.py`.

Samplers restart their random state when they are made anew (optuna issues 3255, 3992), so one is made for every ask,
seeded from the study's seed and the trial's number: thirty trials in one go equal twelve, a kill, and eighteen more.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, Trial, create_trial
from optuna.trial import TrialState as OptunaState

from search.errors import UsageError
from search.metrics import METRICS
from search.optuna_study import distribution, frozen
from search.ranking import pareto_front, ranked
from search.seeds import derive
from spaces import Parameter, Space, Value
from storage.records import TrialRecord, TrialState


class Exhausted(Exception):  # noqa: N818 - an end, not an error
    """There is no further point. The message says why, in words for the user."""


class Proposer(Protocol):
    """Chooses points. Deterministic: the same calls give the same points, and `replay` stands for past calls."""

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """Take over stored trials, in order of number. Called once, before anything else."""

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """The point of trial `number`; `fixed` makes it this one. Every ask is answered by `refuse` or `tell`.

        Raises Exhausted where no point is left to try.
        """

    def refuse(self, number: int) -> None:
        """The point asked for `number` will not be tried; the next ask for the same number gives another."""

    def tell(self, trial: TrialRecord) -> None:
        """Trial `trial.number` is closed."""


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
        told = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE, OptunaState.PRUNED))
        self._groups = _groups([one.distributions for one in told])
        return {name: found for group in self._groups for name, found in group.items()}

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
    kinds = {frozenset(found): found for found in trials}
    occurs: dict[str, list[int]] = {}
    known: dict[str, BaseDistribution] = {}
    for kind, found in enumerate(kinds.values()):
        for name, its in found.items():
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
        told = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        return {name: its for name, its in sorted(told[0].distributions.items()) if not its.single()} if told else {}

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


SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "qmc": _qmc,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}
"""Sampler name -> (seed of this ask, study seed) -> a fresh sampler."""

_KEEP_STATE_IN_TRIALS = {"qmc", "cmaes", "nsga2"}
"""Samplers that write their state into the study as they are asked: only asking again restores it."""

POPULATION = 20  # of NSGA-II; Optuna's 50 would be four generations of a usual search

_DRAWS_WHAT_IS_INACTIVE = {"nsga2"}
"""Samplers that cross only what all trials have: theirs have every parameter, in memory, active or not."""

LATEST, LEADING = 250, 25
"""Closed trials that a sampler without state in them learns from: the latest and, however old, the best.

TPE takes at most 25 as its good ones and weighs the others the less the older they are; what it asks for costs it time
in proportion to its trials, and a Gaussian process time in their cube."""

FORGET_EVERY = 50  # trials: what is no longer learned from is dropped before each that is a multiple

MOST_INSISTENCE = 10  # refused points of one trial after which the next are drawn at random

_NEEDS = {"gp": "torch", "cmaes": "cmaes"}

_MODELS_SOME = {
    "qmc": "those of the default point",
    "gp": "those that every point has",
    "cmaes": "numbers that every point has",
}
"""Samplers that know no conditions, and which parameters they choose together; all others are drawn by chance alone."""

MANY_POINTS = 200  # which parameters every point has is seen in so many


def make_proposer(
    space: Space, metric: str, engine: str, sampler: str, seed: int, second: str | None = None
) -> Proposer:
    """The proposer of an engine and one of its samplers. Keras Tuner takes seconds to import.

    `second`: what Optuna's samplers minimise beside the metric, if anything.
    """
    if sampler == "grid":
        from search.grid import GridProposer  # these need what is above

        return GridProposer(space)
    if engine == "optuna":
        return OptunaProposer(space, metric, sampler, seed, second)
    from search.hyperband import HyperbandProposer
    from search.oracles import OracleProposer

    return (HyperbandProposer if sampler == "hyperband" else OracleProposer)(space, metric, sampler, seed)


def check_sampler(name: str) -> None:
    """Raise UsageError unless what the sampler needs is installed."""
    if package := _missing(name):
        others = ", ".join(other for other in SAMPLERS if not _missing(other))
        raise UsageError(
            f"sampler: '{name}' needs the package {package}, which is not installed; "
            f"install smallsearch[{name}], or use another sampler ({others})"
        )


def _missing(name: str) -> str | None:
    """The package that a sampler needs, where it is not installed."""
    package = _NEEDS.get(name)
    return package if package and importlib.util.find_spec(package) is None else None


def _sampler(name: str, seed: int, study_seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed, study_seed)


def left_to_chance(space: Space, sampler: str) -> str | None:
    """How much of a space one of Optuna's samplers models, as a sentence; None where that is all of it.

    It is what Optuna itself says of the default and many other points, all complete.
    """
    if sampler not in _MODELS_SOME or _missing(sampler):
        return None
    rng = np.random.default_rng(0)
    study, ranges = optuna.create_study(), {p.name: distribution(p) for p in space.parameters}
    for point in [space.defaults(), *(space.sample(rng) for _ in range(MANY_POINTS))]:
        study.add_trial(create_trial(value=0.0, params=point, distributions={name: ranges[name] for name in point}))
    free = {name for name, its in ranges.items() if not its.single()}
    modelled = free & _sampler(sampler, 1, 1).infer_relative_search_space(study, study.trials[0]).keys()
    if modelled == free:
        return None
    return (
        f"sampler {sampler} models {len(modelled)} of the {len(free)} parameters ({_MODELS_SOME[sampler]}) and draws "
        "the others at random; use tpe, which models all of them"
    )


class OptunaProposer:
    """Optuna's samplers over a study in memory."""

    def __init__(self, space: Space, metric: str, sampler: str, seed: int, second: str | None = None) -> None:
        check_sampler(sampler)
        self._space, self._metric, self._sampler, self._seed = space, metric, sampler, seed
        self._distributions: dict[str, BaseDistribution] = {p.name: distribution(p) for p in space.parameters}
        self._second = second
        self._known: list[TrialRecord] = []  # closed trials that are in the study
        self._cut = 0  # the number of the trial before which trials were dropped last
        self._study = self._new_study()
        self._asked: dict[int, Trial] = {}
        self._refused: dict[int, int] = {}

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Proposer. Open trials are asked for again, so that they can be told later."""
        if self._sampler in _KEEP_STATE_IN_TRIALS:
            self._ask_again(trials)
            return
        self._refused = {trial.number: trial.redraws for trial in trials}
        self._cut = _cut(trials[-1].number) if trials else 0
        closed = [trial for trial in trials if trial.state != TrialState.RUNNING]
        old = [trial for trial in closed if trial.number < self._cut]
        self._known = [*learned_from(old, self._metric, self._second), *closed[len(old) :]]
        self._rebuild({t.number: dict(t.params) for t in trials if t.state == TrialState.RUNNING})

    def _ask_again(self, trials: Sequence[TrialRecord]) -> None:
        for trial in trials:
            for _ in range(trial.redraws):
                self.ask(trial.number)
                self.refuse(trial.number)
            self.ask(trial.number, dict(trial.params))
            if trial.state != TrialState.RUNNING:
                self.tell(trial)

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(
            directions=[METRICS[self._metric]] if self._second is None else [METRICS[self._metric], "minimize"]
        )

    def _rebuild(self, still_open: dict[int, dict[str, Value]]) -> None:
        """The study anew from what is known, and open points (by number) asked for again."""
        self._study, self._asked = self._new_study(), {}
        for trial in self._known:
            self._study.add_trial(frozen(self._space, trial, self._metric, self._second))
        for number, params in still_open.items():
            self.ask(number, params)

    def _forget(self, number: int) -> None:
        """Drop what is no longer learned from. When, and what, follows from numbers and stored trials alone, so that
        a study that was replayed and one that was not forget the same.
        """
        if _cut(number) <= self._cut or self._sampler in _KEEP_STATE_IN_TRIALS:
            return
        self._cut = _cut(number)
        kept = learned_from(self._known, self._metric, self._second)
        if len(kept) < len(self._known):
            self._known = kept
            self._rebuild({asked: dict(trial.params) for asked, trial in self._asked.items()})

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """See Proposer."""
        self._forget(number)
        attempt = self._refused.get(number, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # A sampler does not learn of refusals and may insist; from some point on, chance is wiser.
            name = self._sampler if attempt < MOST_INSISTENCE else "random"
            self._study.sampler = _sampler(name, derive(self._seed, "ask", number, attempt), self._seed)
            if fixed is not None:
                self._study.enqueue_trial(fixed)
            trial = self._study.ask()
            _ = trial.relative_params  # lazy: without this a fixed point would not advance the sampler's state
            self._asked[number] = trial
            if self._sampler in _DRAWS_WHAT_IS_INACTIVE:
                for parameter in self._space.parameters:
                    self._suggest(trial, parameter)
            return self._space.resolve(lambda parameter: self._suggest(trial, parameter))

    def refuse(self, number: int) -> None:
        """See Proposer."""
        self._study.tell(self._asked.pop(number), state=OptunaState.FAIL)
        self._refused[number] = self._refused.get(number, 0) + 1

    def tell(self, trial: TrialRecord) -> None:
        """See Proposer."""
        asked = self._asked.pop(trial.number)
        told = frozen(self._space, trial, self._metric, self._second)
        for step, value in told.intermediate_values.items():
            asked.report(value, step)
        self._study.tell(asked, told.values if told.state == OptunaState.COMPLETE else None, told.state)
        self._known.append(trial)

    def _suggest(self, trial: Trial, parameter: Parameter) -> Value:
        value: Value = trial._suggest(parameter.name, self._distributions[parameter.name])
        return value


def learned_from(trials: Sequence[TrialRecord], metric: str, second: str | None = None) -> list[TrialRecord]:
    """The latest and the best of closed trials, in their order; with a second objective, the Pareto front too.

    Of what this keeps and what came after it keeps the same as of all.
    """
    if len(trials) <= LATEST:
        return list(trials)
    kept = {trial.number for trial in [*trials[-LATEST:], *ranked(trials, metric)[:LEADING]]}
    if second is not None:
        kept |= pareto_front(trials, metric, second)
    return [trial for trial in trials if trial.number in kept]


def _cut(number: int) -> int:
    return number - number % FORGET_EVERY
