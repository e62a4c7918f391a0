"""How important the parameters of a study are, computed by Optuna."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.results.summary import StudySummary
from spaces import Space, SpaceError

Value = TypeVar("Value")

_MIN_TRIALS = 20  # complete trials, and at least two per parameter that varies; with fewer, importance is a guess
_SHUFFLES = 20
_HALVES = 20
_MAX_WEIGHED = 500  # complete trials from which importance is computed; with 10,000 it took 40 s


@dataclass(frozen=True)
class Figures:
    """The importance of parameters, or why it cannot be computed."""

    space: Space | None = None
    importance: Mapping[str, float] = field(default_factory=dict)  # by parameter, largest first, sum 1
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of each share, see `_importance`
    clear: frozenset[str] = frozenset()  # parameters that are more important than with shuffled scores
    no_importance: str = ""  # why importance is missing
    weighed: int = 0  # number of complete trials from which importance was computed


def figures(data: StudySummary) -> Figures:
    """All that needs Optuna, with the stored trials rebuilt once."""
    complete = data.compared
    weighed = evenly(sorted(row.number for row in data.rows if row.rank is not None), _MAX_WEIGHED)
    if not complete:
        return Figures(space=_space(data), no_importance="No trial is complete yet.")
    from search.samplers.optuna_study import rebuild

    try:
        space = Space.from_json(data.study.space)
        study = rebuild(space, [data.trial(number) for number in weighed], data.metric)
    except (SpaceError, KeyError, ValueError, TypeError) as error:
        return Figures(space=_space(data), no_importance=f"The stored trials do not fit their space: {error}.")
    enough = max(_MIN_TRIALS, 2 * _varied(data))
    if complete < enough:
        why = (
            f"Left out: from few trials importance is luck. It takes {enough} complete trials (two for each parameter "
            f"that varies, and no fewer than {_MIN_TRIALS}), and there {_are(complete)} so far."
        )
        return Figures(space, no_importance=why)
    try:
        return replace(_importance(study), space=space, weighed=len(weighed))
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return Figures(space, no_importance=f"Left out: Optuna cannot compute importance from these trials ({error}).")


def _are(n: int) -> str:
    return f"is {n}" if n == 1 else f"are {n}"


def _space(data: StudySummary) -> Space | None:
    try:
        return Space.from_json(data.study.space)
    except SpaceError:
        return None


def _varied(data: StudySummary) -> int:
    """The number of parameters with more than one value among the complete trials."""
    values: dict[str, set[Any]] = {}
    for row in data.rows:
        if row.rank is not None:
            for name, value in row.params.items():
                values.setdefault(name, set()).add(value)
    return sum(len(different) > 1 for different in values.values())


def _importance(study: Any) -> Figures:
    """Shares of importance, how certain they are, and the parameters whose share is clearly more than chance.

    PED-ANOVA supports parameters that are active only in some trials; fANOVA omits them. Its shares always add up to
    1: with random scores, 100 trials of nine parameters give the largest a third. Therefore importance is also computed
    with scores shuffled among the trials. A parameter is clear if its importance is above those of all 20 shuffles,
    which happens by chance one time in 21.

    Its range is that of its shares in 20 random halves of the trials, without the largest and the smallest. Between
    halves a mean varies as much as between studies of all these trials (Shao and Wu, Annals of Statistics 17, 1989), so
    it is about a 90 % interval. It always contains the share.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    numbers, scores = [trial.number for trial in complete], np.array([trial.value for trial in complete])
    chance = np.random.default_rng(0)

    def measured(values: NDArray[np.float64]) -> dict[str, float]:
        """Of the trials whose value is not NaN."""
        by_number = dict(zip(numbers, map(float, values), strict=True))
        importances = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(),
            target=lambda trial: by_number[trial.number],
            normalize=False,
        )
        return {name: float(share) for name, share in importances.items() if math.isfinite(share)}

    def half() -> NDArray[np.float64]:
        inside = chance.permutation(len(scores)) < len(scores) / 2
        return np.where(inside, sign * scores, np.nan)

    with warnings.catch_warnings():
        # Optuna warns of values that few trials have, of a custom target, and that `normalize` is experimental.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", ExperimentalWarning)
        sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0  # of a custom target the smallest is best
        importance = measured(sign * scores)
        by_chance = [measured(chance.permutation(sign * scores)) for _ in range(_SHUFFLES)]
        of_halves = [_shares(measured(half())) for _ in range(_HALVES)]
    clear = {name for name, value in importance.items() if value > max(other.get(name, 0.0) for other in by_chance)}
    shares = _shares(importance)
    ranges = {}
    for name, share in shares.items():
        values = sorted(other.get(name, 0.0) for other in of_halves)
        ranges[name] = (min(values[1], share), max(values[-2], share))
    return Figures(importance=shares, ranges=ranges, clear=frozenset(clear))


def _shares(importance: Mapping[str, float]) -> dict[str, float]:
    total = sum(importance.values())
    return {name: value / total for name, value in importance.items()} if total > 0 else dict(importance)


def evenly(values: Sequence[Value], most: int) -> Sequence[Value]:
    """At most `most` of the values, at even distances."""
    return values[:: max(math.ceil(len(values) / most), 1)]
