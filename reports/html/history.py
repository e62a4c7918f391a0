"""The history of a search as one of Optuna's plots."""

from __future__ import annotations

import json
import math
from typing import Any

from reports.wording import values
from search.results.importance import evenly
from search.results.summary import StudySummary

_EACH_TICKED = 12  # the last trial of a history that has a tick for each
_MAX_POINTS = 2000  # in the history; a browser draws that many at once


def history(study: Any, data: StudySummary) -> dict[str, Any]:
    """Optuna's plot of the optimisation, its points thinned out and its looks left to the page."""
    from optuna.visualization import plot_optimization_history

    name = values.metric_words(data.metric)
    figure = json.loads(plot_optimization_history(study, target_name="score").to_json())
    points, best = figure["data"][0], figure["data"][1]
    complete = [row for row in data.rows if row.rank is not None]
    complete.sort(key=lambda row: row.number)
    numbers, scores = [row.number for row in complete], [row.score or 0.0 for row in complete]
    kept = evenly(range(len(numbers)), _MAX_POINTS)
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
