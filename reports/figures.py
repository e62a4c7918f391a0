"""What Optuna knows about a study: its history as one of its plots, and the importance of parameters."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports import words
from reports.data import ReportData
from spaces import Space, SpaceError

_LEAST = 20  # complete trials, and at least two for each parameter that varies: with fewer, importance is a guess
_SHUFFLES = 20
_EACH_TICKED = 12  # the last trial of a history that has a tick for each
_MOST_WEIGHED = 1000  # complete trials that importance is measured on; with 10,000 it took 40 s
_MOST_POINTS = 2000  # in the history; a browser draws that many at once


@dataclass(frozen=True)
class Figures:
    """Made from the study as rebuilt for Optuna. A figure that can't be made is None, and says why."""

    space: Space | None
    history: Mapping[str, Any] | None = None  # plotly: {'data', 'layout'}
    importance: Mapping[str, float] = field(default_factory=dict)  # by parameter, largest first, sum 1
    clear: frozenset[str] = frozenset()  # parameters whose importance is more than shuffled scores ever give
    no_importance: str = ""  # why there is none
    weighed: int = 0  # complete trials that importance was measured on


def figures(data: ReportData) -> Figures:
    """Everything that needs Optuna, with the stored trials rebuilt once."""
    complete = data.compared
    weighed = _evenly(sorted(row.number for row in data.rows if row.rank is not None), _MOST_WEIGHED)
    if not complete:
        return Figures(space=_space(data), no_importance="No trial is complete yet.")
    from search.optuna_study import rebuild

    try:
        space = Space.from_json(data.study.space)
        study = rebuild(space, [data.trial(number) for number in weighed], data.metric)
    except (SpaceError, KeyError, ValueError, TypeError) as error:
        return Figures(space=_space(data), no_importance=f"The stored trials do not fit their space: {error}.")
    history = _history(study, data)
    enough = max(_LEAST, 2 * _varied(data))
    if complete < enough:
        why = (
            f"Left out: from few trials importance is luck. It takes {enough} complete trials (two for each parameter "
            f"that varies, and no fewer than {_LEAST}), and there {_are(complete)} so far."
        )
        return Figures(space, history, no_importance=why)
    try:
        importance, clear = _importance(study)
        return Figures(space, history, importance, clear, weighed=len(weighed))
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return Figures(space, history, no_importance=f"Left out: Optuna cannot tell it from these trials ({error}).")


def _are(n: int) -> str:
    return f"is {n}" if n == 1 else f"are {n}"


def _space(data: ReportData) -> Space | None:
    try:
        return Space.from_json(data.study.space)
    except SpaceError:
        return None


def _varied(data: ReportData) -> int:
    """How many parameters have more than one value among the complete trials."""
    values: dict[str, set[Any]] = {}
    for row in data.rows:
        if row.rank is not None:
            for name, value in row.params.items():
                values.setdefault(name, set()).add(value)
    return sum(len(different) > 1 for different in values.values())


def _importance(study: Any) -> tuple[dict[str, float], frozenset[str]]:
    """Shares of importance, and the parameters whose share is more than luck.

    PED-ANOVA copes with parameters that are active in some trials only; fANOVA leaves them out. Its shares add up to
    one however little a parameter matters: with scores that are pure noise, 100 trials of nine parameters give the
    largest a third. Hence the same again with the scores shuffled among the trials: a parameter is clear when its
    importance is above all of 20 such, which luck brings about one time in 21.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    numbers, scores = [trial.number for trial in complete], np.array([trial.value for trial in complete])
    chance = np.random.default_rng(0)

    def measured(values: NDArray[np.float64]) -> dict[str, float]:
        by_number = dict(zip(numbers, map(float, values), strict=True))
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(),
            target=lambda trial: by_number[trial.number],
            normalize=False,
        )
        return {name: float(share) for name, share in found.items() if math.isfinite(share)}

    with warnings.catch_warnings():
        # It warns of values that few trials had, of a target of our own, and that `normalize` is new.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", ExperimentalWarning)
        sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0  # of a target of ours, the smallest are best
        found = measured(sign * scores)
        luck = [measured(chance.permutation(sign * scores)) for _ in range(_SHUFFLES)]
    clear = {name for name, share in found.items() if share > max(shares.get(name, 0.0) for shares in luck)}
    total = sum(found.values())
    shares = {name: share / total for name, share in found.items()} if total > 0 else found
    return shares, frozenset(clear)


def _history(study: Any, data: ReportData) -> dict[str, Any]:
    """Optuna's plot of the optimisation, its points thinned out and its looks left to the page."""
    from optuna.visualization import plot_optimization_history

    name = words.metric_words(data.metric)
    figure = json.loads(plot_optimization_history(study, target_name="score").to_json())
    points, best = figure["data"][0], figure["data"][1]
    complete = [row for row in data.rows if row.rank is not None]
    complete.sort(key=lambda row: row.number)
    numbers, scores = [row.number for row in complete], [row.score or 0.0 for row in complete]
    kept = _evenly(range(len(numbers)), _MOST_POINTS)
    points |= {"x": [numbers[i] for i in kept], "y": [scores[i] for i in kept], "name": "a trial"}
    points["marker"] = {"color": "css:--muted", "size": 6, "opacity": 0.65}
    points["hovertemplate"] = f"trial %{{x}}: %{{y:.3f}} {name}<extra></extra>"
    steps = _steps(numbers, scores, maximise=study.direction.name == "MAXIMIZE")
    best |= {"x": [n for n, _ in steps], "y": [s for _, s in steps], "name": "best so far", "mode": "lines"}
    best["line"] = {"color": "css:--accent", "width": 2, "shape": "hv"}
    best["hovertemplate"] = "best so far: %{y:.3f}<extra></extra>"
    layout = {
        "xaxis": {
            "title": {"text": "trial"},
            "rangemode": "nonnegative",
            "tickformat": ",d",
            **({"dtick": 1} if numbers[-1] <= _EACH_TICKED else {}),  # else plotly puts some at halves
        },
        "yaxis": {"title": {"text": name}},
        "shapes": [_chance(data.chance)] if math.isfinite(data.chance) else [],
    }
    return {"data": [points, best], "layout": layout}


def _evenly(values: Sequence[int], most: int) -> Sequence[int]:
    """At most so many of the values, evenly spread."""
    return values[:: max(math.ceil(len(values) / most), 1)]


def _steps(numbers: list[int], scores: list[float], *, maximise: bool) -> list[tuple[int, float]]:
    """(trial, best score up to it) wherever the best changes, and at the end."""
    steps: list[tuple[int, float]] = []
    for number, score in zip(numbers, scores, strict=True):
        if not steps or (score > steps[-1][1] if maximise else score < steps[-1][1]):
            steps.append((number, score))
    return [*steps, (numbers[-1], steps[-1][1])] if steps else []


def _chance(chance: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": chance,
        "y1": chance,
        "line": {"color": "css:--warn", "width": 1, "dash": "dash"},
        "label": {"text": "chance", "textposition": "end", "font": {"color": "css:--warn", "size": 12}},
    }
