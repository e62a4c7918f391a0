"""What Optuna knows about a study: its history as one of its plots, and the importance of parameters."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports import words
from reports.data import ReportData
from spaces import Space, SpaceError

_ENOUGH = 8  # complete trials; with fewer, importance is a guess
_MOST_POINTS = 2000  # in the history; a browser draws that many at once


@dataclass(frozen=True)
class Figures:
    """Made from the study as rebuilt for Optuna. A figure that can't be made is None, and says why."""

    space: Space | None
    history: Mapping[str, Any] | None = None  # plotly: {'data', 'layout'}
    importance: Mapping[str, float] = field(default_factory=dict)  # by parameter, largest first, sum 1
    no_importance: str = ""  # why there is none


def figures(data: ReportData) -> Figures:
    """Everything that needs Optuna, with the stored trials rebuilt once."""
    complete = data.compared
    if not complete:
        return Figures(space=_space(data), no_importance="No trial is complete yet.")
    from search.optuna_study import rebuild

    try:
        space = Space.from_json(data.study.space)
        study = rebuild(space, data.trials, data.metric)
    except (SpaceError, KeyError, ValueError, TypeError) as error:
        return Figures(space=_space(data), no_importance=f"The stored trials do not fit their space: {error}.")
    history = _history(study, data)
    if complete < _ENOUGH:
        why = f"Left out: it takes about {_ENOUGH} complete trials, and there {_are(complete)} so far."
        return Figures(space, history, no_importance=why)
    try:
        return Figures(space, history, importance=_importance(study))
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return Figures(space, history, no_importance=f"Left out: Optuna cannot tell it from these trials ({error}).")


def _are(n: int) -> str:
    return f"is {n}" if n == 1 else f"are {n}"


def _space(data: ReportData) -> Space | None:
    try:
        return Space.from_json(data.study.space)
    except SpaceError:
        return None


def _importance(study: Any) -> dict[str, float]:
    """PED-ANOVA copes with parameters that are active in some trials only; fANOVA leaves them out."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        # It warns of values that few trials had; the page says that importance is an estimate from these trials.
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


def _history(study: Any, data: ReportData) -> dict[str, Any]:
    """Optuna's plot of the optimisation, its points thinned out and its looks left to the page."""
    from optuna.visualization import plot_optimization_history

    name = words.metric_words(data.metric)
    figure = json.loads(plot_optimization_history(study, target_name="score").to_json())
    points, best = figure["data"][0], figure["data"][1]
    complete = [row for row in data.rows if row.rank is not None]
    complete.sort(key=lambda row: row.number)
    numbers, scores = [row.number for row in complete], [row.score or 0.0 for row in complete]
    kept = range(len(numbers))
    if len(numbers) > _MOST_POINTS:
        kept = range(0, len(numbers), math.ceil(len(numbers) / _MOST_POINTS))
    points |= {"x": [numbers[i] for i in kept], "y": [scores[i] for i in kept], "name": "a trial"}
    points["marker"] = {"color": "css:--muted", "size": 6, "opacity": 0.65}
    points["hovertemplate"] = f"trial %{{x}}: %{{y:.3f}} {name}<extra></extra>"
    steps = _steps(numbers, scores, maximise=study.direction.name == "MAXIMIZE")
    best |= {"x": [n for n, _ in steps], "y": [s for _, s in steps], "name": "best so far", "mode": "lines"}
    best["line"] = {"color": "css:--accent", "width": 2, "shape": "hv"}
    best["hovertemplate"] = "best so far: %{y:.3f}<extra></extra>"
    layout = {
        "xaxis": {"title": {"text": "trial"}, "rangemode": "nonnegative"},
        "yaxis": {"title": {"text": name}},
        "shapes": [_chance(data.chance)] if math.isfinite(data.chance) else [],
    }
    return {"data": [points, best], "layout": layout}


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
