"""The second engine: Keras Tuner's oracles with ask and tell. Its tuners, its loop and its files are not used.

Every ask makes a new oracle from the stored trials and a derived seed, and calls its `populate_space`, which chooses
the point. `create_trial`, `update_trial` and `end_trial` are not used: they write JSON, count failures in a row and
hold locks.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from search.native import ENVIRONMENT, no_stderr
from search.samplers.memory import learned_from
from search.seeds import derive
from search.stats.metrics import METRICS
from search.stats.ranking import score_for_sampler
from spaces import Choice, Parameter, Space, Value
from storage.records import TrialRecord, TrialState

MAX_INITIAL = 20  # points drawn at random before the Gaussian process takes over; fewer in a small space
REFUSALS_BEFORE_RANDOM = 5  # after so many refused points of one trial, the next points are random


@dataclass(frozen=True)
class Axis:
    """A parameter of Keras Tuner, and the conversion of values in both directions. A listed value is encoded as its
    index.

    An index, since Keras Tuner refuses choices of mixed type, and float steps lose the last value (0.5 // 0.1 is 4).
    """

    entry: Any  # keras_tuner.engine.hyperparameters.HyperParameter
    encode: Callable[[Value], float]
    decode: Callable[[float], Value]


@cache
def keras_tuner() -> Any:
    """The package, imported at first use: it imports TensorFlow, which takes seconds."""
    os.environ.update(ENVIRONMENT)
    with no_stderr():
        import keras_tuner as package
        from keras_tuner.engine import hyperparameters, trial  # noqa: F401 - attributes of the package from now on
    return package


def axis(parameter: Parameter) -> Axis | None:
    """A parameter as an oracle searches it; None if it has a single value."""
    entries = keras_tuner().engine.hyperparameters
    name = parameter.name
    if isinstance(parameter, Choice):
        return _listed(name, parameter.values, parameter.default) if len(parameter.values) > 1 else None
    if parameter.low == parameter.high:
        return None
    step = parameter.spacing
    if step is not None and not parameter.log:
        last = math.floor((parameter.high - parameter.low) / step + 1e-9)

        def place(value: Value) -> float:
            return min(max(round((float(value) - parameter.low) / step), 0), last)

        entry = entries.Int(name, 0, last, default=place(parameter.default))
        return Axis(entry, place, lambda at: parameter.nearest_value(parameter.low + int(at) * step)) if last else None
    kind: type[int] | type[float] = int if parameter.integer else float
    entry = (entries.Int if parameter.integer else entries.Float)(
        name,
        kind(parameter.low),
        kind(parameter.high),
        sampling="log" if parameter.log else "linear",
        default=kind(parameter.default),
    )
    # Bounded in both directions: at its end a logarithmic Int gives high + 1, and a Float the next float above.
    return Axis(
        entry,
        lambda value: kind(min(max(kind(value), parameter.low), parameter.high)),
        lambda value: parameter.nearest_value(float(value)),
    )


class KerasTunerSampler:
    """`random` and `bayesian`: every ask draws all parameters, and the space keeps the active ones.

    Keras Tuner's conditions are not used: they cannot express 'at least' for a float. Its Gaussian process uses the
    default of an inactive parameter with or without them.
    """

    def __init__(self, space: Space, metric: str, sampler: str, seed: int) -> None:
        self._space, self._metric, self._bayesian, self._seed = space, metric, sampler == "bayesian", seed
        axes = {p.name: axis(p) for p in space.parameters}
        self._axes = {name: axis for name, axis in axes.items() if axis is not None}
        self._initial = min(3 * len(self._axes), MAX_INITIAL)
        self._closed: dict[int, TrialRecord] = {}
        self._open: dict[int, Mapping[str, Value]] = {}
        self._refused: dict[int, list[Mapping[str, Value]]] = {}

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Sampler."""
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._open[trial.number] = trial.params
            else:
                self._closed[trial.number] = trial

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """See Sampler."""
        point = self._draw(number) if fixed is None else dict(fixed)
        self._open[number] = point
        return dict(point)

    def refuse(self, number: int) -> None:
        """See Sampler."""
        self._refused.setdefault(number, []).append(self._open.pop(number))

    def tell(self, trial: TrialRecord) -> None:
        """See Sampler."""
        del self._open[trial.number]
        self._refused.pop(trial.number, None)
        self._closed[trial.number] = trial

    def _draw(self, number: int) -> dict[str, Value]:
        """A new point for `number`, from the known trials and a seed derived for this ask."""
        attempt = len(self._refused.get(number, ()))
        seed = derive(self._seed, "ask", number, attempt)
        modelled = (
            self._bayesian and self._axes and len(self._closed) >= self._initial and attempt < REFUSALS_BEFORE_RANDOM
        )
        known = self._known(number) if modelled else []
        oracle = self._gaussian(known, seed) if known else self._oracle("RandomSearchOracle", seed, max_trials=None)
        with warnings.catch_warnings(), _one_thread():
            warnings.simplefilter("ignore")  # about a length scale at its bound
            values = oracle.populate_space(str(number))["values"]
        assert values is not None  # noqa: S101 - it has seen no point twice, having been told of none
        return self._space.resolve(
            lambda p: self._axes[p.name].decode(values[p.name]) if p.name in self._axes else p.default
        )

    def _known(self, number: int) -> list[tuple[Mapping[str, Value], float]]:
        """Points and scores for the oracle to learn from, in order of number.

        A pruned trial has the mean of its folds. Failed and open trials, and points refused for this trial, have the
        worst score so far: an oracle ignores points without a score, and would propose them again.
        """
        kept = learned_from([self._closed[n] for n in sorted(self._closed)], self._metric)
        self._closed = {trial.number: trial for trial in kept}
        scores = {n: score for n, trial in self._closed.items() if (score := score_of(trial, self._metric)) is not None}
        if not scores:
            return []
        worst = METRICS[self._metric].worst(scores.values())
        params = {n: trial.params for n, trial in self._closed.items()} | self._open
        tried = [(params[n], scores.get(n, worst)) for n in sorted(params)]
        return tried + [(point, worst) for point in self._refused.get(number, ())]

    def _oracle(self, name: str, seed: int, **options: Any) -> Any:
        kt = keras_tuner()
        space = kt.HyperParameters()
        space.merge([axis.entry for axis in self._axes.values()])
        objective = kt.Objective(self._metric, METRICS[self._metric].direction[:3])
        return getattr(kt.oracles, name)(objective=objective, hyperparameters=space, seed=seed, **options)

    def _gaussian(self, known: Sequence[tuple[Mapping[str, Value], float]], seed: int) -> Any:
        kt = keras_tuner()
        oracle = self._oracle("BayesianOptimizationOracle", seed, max_trials=None, num_initial_points=1)
        oracle.gpr = fast_predict(oracle.gpr)
        for number, (params, score) in enumerate(known):
            values = kt.HyperParameters()
            values.values = {n: axis.encode(params[n]) for n, axis in self._axes.items() if n in params}
            trial = kt.engine.trial.Trial(values, trial_id=str(number), status="COMPLETED")
            trial.score = score
            oracle.trials[trial.trial_id] = trial
        return oracle


def fast_predict(process: Any) -> Any:
    """scikit-learn's Gaussian process, with a `predict` that skips input checks: the same numbers, faster.

    Keras Tuner makes about 20,000 single predictions per point, and the checks take four times as long as a
    prediction.
    """
    from scipy.linalg import solve_triangular

    slow = process.predict

    def predict(x: Any, return_std: bool = False) -> Any:
        if not return_std or not hasattr(process, "L_"):
            return slow(x, return_std=return_std)
        near = process.kernel_(x, process.X_train_)
        mean = process._y_train_std * (near @ process.alpha_) + process._y_train_mean
        part = solve_triangular(process.L_, near.T, lower=True, check_finite=False)
        variance = process.kernel_.diag(x) - (part**2).sum(axis=0)
        variance[variance < 0] = 0.0
        return mean, process._y_train_std * variance**0.5

    process.predict = predict
    return process


def _listed(name: str, values: tuple[Value, ...], default: Value) -> Axis:
    entries = keras_tuner().engine.hyperparameters
    entry = entries.Choice(name, list(range(len(values))), ordered=False, default=values.index(default))
    return Axis(entry, values.index, lambda place: values[int(place)])


def score_of(trial: TrialRecord, metric: str) -> float | None:
    """The score that a sampler learns of a trial; None if it is not finite or the trial failed."""
    score = None if trial.state == TrialState.FAILED else score_for_sampler(trial, metric)
    return score if score is not None and math.isfinite(score) else None


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for linear algebra: for matrices this small it is faster, and it keeps the order of sums."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
