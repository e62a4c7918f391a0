"""The report as one self-contained page: no network, no other file, and only its own script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.html.answer import axis
from reports.html.charts import Panel, curves, panels, strip, strip_limits
from reports.html.history import history
from reports.html.model_diagram import Architecture, architecture
from reports.html.page import asset, environment, policy
from reports.html.parallel_coordinates import parallel
from reports.html.pictures import Gallery, gallery
from reports.wording import answer as answer_words
from reports.wording import labels as label_words
from reports.wording import study as words
from reports.wording import values
from reports.wording.next_steps import advice
from search.files import write_atomically
from search.results.importance import figures
from search.results.pictures import Pictures
from search.results.summary import Pooled, ReferenceRow, StudySummary
from storage.records import TrialRecord

_MAX_ROWS = 200  # of the leaderboard
_MAX_IMPORTANT = 12  # parameters in the chart of importance
_NUMBERED = 40  # trials listed per row of causes


def write(data: StudySummary, path: Path, pictures: Pictures | None = None) -> None:
    """Render the report and write it to `path`, atomically."""
    write_atomically(path, render(data, pictures))


def render(data: StudySummary, pictures: Pictures | None = None) -> str:
    """The whole page; without `pictures` images are only named."""
    weights, shown = figures(data), gallery(data, pictures or Pictures())
    script = asset("report.js")
    importance = list(weights.importance.items())
    page: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            words=words,
            answer_words=answer_words,
            axis=axis(data),
            steps=advice(data),
            sections=_sections(data, shown),
            weights=_weights(data),
            label_words=label_words,
            gallery=shown,
            values=values,
            policy=policy([script]),
            style=Markup(asset("report.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            leaderboard=_leaderboard(data),
            hidden=max(len(data.rows) - _MAX_ROWS, 0),
            drawing=_drawing(data),
            curves=_curves(data),
            confusion=_confusion(data, data.pooled, shown) if data.pooled else None,
            history=history(data),
            importance=importance[:_MAX_IMPORTANT],
            importance_more=max(len(importance) - _MAX_IMPORTANT, 0),
            clear=weights.clear,
            weighed=weights.weighed,
            no_importance=weights.no_importance,
            parallel=parallel(data, weights.space, weights.importance),
            numbered=_NUMBERED,
            commands=[values.masked(command) for command in data.commands],
        )
    )
    return page


def _sections(data: StudySummary, shown: Gallery) -> frozenset[str]:
    """The sections that this page has, of those that advice may lead to."""
    labels = ("labels",) if shown.accused or shown.doubted else ()
    return frozenset(("leaderboard", *labels, *(("curves", "confusion", "history") if data.best else ())))


def _weights(data: StudySummary) -> int | None:
    """Of all networks of the saved model, or of the best trial; None if unknown."""
    numbers = [number for number, _ in data.chosen.members] if data.chosen else [data.best.number] if data.best else []
    sizes = [data.trial(number).parameters for number in numbers]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _leaderboard(data: StudySummary) -> list[dict[str, Any]]:
    """The best trials and the references, by score, with drawings and derived values for each."""
    rows = data.with_references(data.rows[:_MAX_ROWS])
    limits = strip_limits(data, rows)
    entries = []
    for row in rows:
        entry: dict[str, Any] = {"row": row, "strip": strip(row, limits, data.chance)}
        entry["reference"] = isinstance(row, ReferenceRow)
        if not isinstance(row, ReferenceRow):
            entry["epochs"] = sum(row.epochs) / len(row.epochs) if row.epochs else None
            entry["best"] = data.best is not None and row.number == data.best.number
        entries.append(entry)
    return entries


def _drawing(data: StudySummary) -> Architecture | None:
    """The model that `words.drawn` names."""
    if data.best is None and data.chosen is None:
        return None
    number = data.chosen.trial if data.chosen else data.best.number if data.best else 0
    return architecture(data.trial(number).layers)


def _curves(data: StudySummary) -> list[dict[str, Any]]:
    """The curves of the best trial, and of trial 0 if that is another one, on the same axes."""
    shown: list[TrialRecord] = []
    if data.best is not None:
        shown.append(data.trial(data.best.number))
    if data.baseline is not None and (data.best is None or data.best.number != 0):
        shown.append(data.trial(0))
    shown = [trial for trial in shown if any(fold.curve for fold in trial.folds)]
    axes: list[Panel] = panels(data, shown)
    return [
        {
            "trial": trial,
            "best": data.best is not None and trial.number == data.best.number,
            "panels": [(panel, curves(trial, panel)) for panel in axes],
        }
        for trial in shown
    ]


def _cell(count: int, share: float, link: str | None, *, right: bool) -> dict[str, Any]:
    """A cell of the matrix. Middle tints are avoided, as neither dark nor light text can be read on them."""
    strong = share > 0.6
    tint = 0.88 + 0.3 * (share - 0.6) if strong else 0.06 + 0.7 * share
    return {"count": count, "share": share, "link": link, "right": right, "strong": strong, "tint": tint}


def _confusion(data: StudySummary, pooled: Pooled, shown: Gallery) -> dict[str, Any]:
    """Rows of the matrix with their shares and links to pictures, and the most frequent mistakes in words."""
    names, counts = data.study.classes, pooled.confusion
    totals = counts.sum(axis=1)
    rows = [
        {
            "name": names[i],
            "total": int(totals[i]),
            "cells": [
                _cell(int(n), float(n / totals[i]) if totals[i] else 0.0, shown.link(i, j), right=i == j)
                for j, n in enumerate(counts[i])
            ],
        }
        for i in range(len(names))
    ]
    wrong = sorted(
        ((int(counts[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and counts[i, j]),
        key=lambda mistake: (-mistake[0], mistake[1:]),
    )
    mistakes = [{"count": n, "total": int(totals[i]), "true": names[i], "taken": names[j]} for n, i, j in wrong[:3]]
    return {"rows": rows, "mistakes": mistakes, "names": names}
