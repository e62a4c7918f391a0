"""What to try after a trial that needed too much memory: the same with half the batch. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

from search.jobs import FailureCause
from search.session.plan import Start
from spaces import Space, Value
from spaces.parameters import Number
from storage import TrialRecord, TrialState
from storage.records import Origin

_BATCH = "batch_size"  # of a preset, and with the family before it in the preset of all families
MOST_HALVINGS = 2


def after_memory(trials: Sequence[TrialRecord], space: Space) -> list[Start]:
    """For each trial that failed for memory, its point with at most half the batch, where there is such a one.

    `trials`: all, in order of number. Only stored trials decide, so a session that was killed goes on with the same
    points. Points that were tried are not left out.
    A point is halved at most MOST_HALVINGS times: each time is a trial of the budget, and if a quarter of the batch
    needs too much memory, it is rather the network that is too large.
    """
    return list(_after_memory(trials, space))


def _after_memory(trials: Sequence[TrialRecord], space: Space) -> Iterator[Start]:
    halved: Counter[Hashable] = Counter()  # point without its batch -> how often it was halved so far
    for trial in trials:
        name = _batch_of(trial.params)
        rest = frozenset((key, value) for key, value in trial.params.items() if key != name)
        halved[rest] += trial.origin == Origin.SMALLER
        if trial.state == TrialState.FAILED and trial.cause == FailureCause.OUT_OF_MEMORY:
            smaller = with_half_the_batch(trial.params, space)
            if smaller is not None and halved[rest] < MOST_HALVINGS:
                yield Start(Origin.SMALLER, smaller, of=trial.number)


def with_half_the_batch(params: Mapping[str, Value], space: Space) -> dict[str, Value] | None:
    """The point with the largest batch of the space that is at most half as large; None if there is none."""
    name = _batch_of(params)
    if name is None or name not in space.by_name:
        return None
    parameter, half = space.by_name[name], float(params[name]) / 2
    if isinstance(parameter, Number):
        tries = (parameter.nearest_value(half - back) for back in (0.0, parameter.spacing or 0.0))
        value = next((value for value in tries if value <= half), None)
        return None if value is None else {**params, name: int(value) if parameter.integer else value}
    fitting = [value for value in parameter.values if isinstance(value, int | float) and value <= half]
    return {**params, name: max(fitting)} if fitting else None


def _batch_of(params: Mapping[str, Value]) -> str | None:
    """The name of the parameter that is the batch."""
    return next((name for name in params if name == _BATCH or name.endswith(f"_{_BATCH}")), None)
