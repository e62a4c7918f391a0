"""The report as one self-contained page: no network, no other file, and only its own script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.html.answer import axis
from reports.html.calibration import calibration
from reports.html.charts import Panel, curves, panels, strip, strip_limits
from reports.html.explain import waterfall
from reports.html.history import History, history
from reports.html.leaderboard import leaderboard
from reports.html.learning_curve import learning_curve
from reports.html.model_diagram import Architecture, architecture
from reports.html.page import asset, environment, policy
from reports.html.parameters import mattered
from reports.html.pictures import Gallery, gallery
from reports.html.recall import recall_axis, recall_rows
from reports.html.scatter import scatter
from reports.html.spent import spent_bar
from reports.wording import answer as answer_words
from reports.wording import board as board_words
from reports.wording import calibration as calibration_words
from reports.wording import causes as cause_words
from reports.wording import costs as cost_words
from reports.wording import explain as explain_words
from reports.wording import labels as label_words
from reports.wording import more_pictures as more_words
from reports.wording import recall as recall_words
from reports.wording import study as words
from reports.wording import using as use_words
from reports.wording import values
from reports.wording.next_steps import WHERE, advice
from search.files import write_atomically
from search.results.costs import sizes, speeds
from search.results.importance import Figures
from search.results.pictures import Pictures
from search.results.summary import Pooled, StudySummary
from search.results.timing import milliseconds

_STYLES = ("report.css", "sections.css", "plots.css", "explain.css")
_NUMBERED = 40  # trials listed per row of causes


def write(
    data: StudySummary,
    path: Path,
    pictures: Pictures | None = None,
    watched: str = "",
    weights: Figures | None = None,
) -> None:
    """Render the report and write it to `path`, atomically. `watched`, `weights`: see `render`."""
    write_atomically(path, render(data, pictures, watched, weights))


def render(
    data: StudySummary, pictures: Pictures | None = None, watched: str = "", weights: Figures | None = None
) -> str:
    """The whole page; without `pictures` images are only named. `weights`: see `mattered`.

    `watched`: the time for which it is true, if the page is to load itself anew as the search goes on. Loading its own
    file is no request, so its policy stays as it is.
    """
    shown, script = gallery(data, pictures or Pictures()), asset("report.js")
    again = asset("watch.js") if watched else ""
    drawn_history = history(data)
    page: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            words=words,
            answer_words=answer_words,
            axis=axis(data),
            steps=advice(data),
            where=WHERE,
            uses=use_words.uses(data),
            use_words=use_words,
            sections=_sections(data, shown, drawn_history),
            weights=_weights(data),
            label_words=label_words,
            explain_words=explain_words,
            explanation=data.explanation,
            waterfall=waterfall(data, data.explanation) if data.explanation else None,
            gallery=shown,
            values=values,
            policy=policy([script, again] if again else [script]),
            style=Markup("".join(map(asset, _STYLES))),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - our own file
            again=Markup(again),  # noqa: S704 - our own file
            watched=watched,
            board=leaderboard(data),
            board_words=board_words,
            drawing=_drawing(data),
            curves=_curves(data),
            confusion=_confusion(data, data.pooled, shown) if data.pooled else None,
            recall=recall_rows(data),
            recall_axis=recall_axis(),
            recall_words=recall_words,
            calibration=calibration(data),
            calibration_words=calibration_words,
            learning_curve=learning_curve(data),
            more_words=more_words,
            history=drawn_history,
            mattered=mattered(data, weights),
            costs_drawn=[scatter(data, costs) for costs in (speeds(data), sizes(data)) if costs],
            cost_words=cost_words,
            together=cost_words.together(data, milliseconds(data.preset, data.trials)),
            cause_words=cause_words,
            spent=spent_bar(data),
            numbered=_NUMBERED,
            commands=[values.masked(command) for command in data.commands],
        )
    )
    return page


def _sections(data: StudySummary, shown: Gallery, drawn: History | None) -> frozenset[str]:
    """The sections that this page has, of those that advice may lead to."""
    has = {
        "labels": bool(shown.accused or shown.doubted),
        "more": data.more is not None,
        "curves": data.best is not None,
        "confusion": data.best is not None,
        "history": drawn is not None,
    }
    return frozenset(("leaderboard", *(name for name, it_has in has.items() if it_has)))


def _weights(data: StudySummary) -> int | None:
    """Of all networks of the saved model, or of the best trial; None if unknown."""
    numbers = [number for number, _ in data.chosen.members] if data.chosen else [data.best.number] if data.best else []
    sizes = [data.trial(number).parameters for number in numbers]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _drawing(data: StudySummary) -> Architecture | None:
    """The model that `words.drawn` names."""
    if data.best is None and data.chosen is None:
        return None
    number = data.chosen.trial if data.chosen else data.best.number if data.best else 0
    return architecture(data.trial(number).layers)


def _curves(data: StudySummary) -> list[dict[str, Any]]:
    """The curves of the saved or best trial, and of trial 0 if that is another one, on the same axes.

    A trial without curves has a sentence instead, and its fold scores.
    """
    numbers = [data.chosen.trial] if data.chosen else [data.best.number] if data.best else []
    numbers += [0] if data.baseline is not None and data.baseline.fold_scores else []
    shown = [data.trial(number) for number in dict.fromkeys(numbers)]
    axes: list[Panel] = panels(data, [trial for trial in shown if board_words.has_curves(trial)])
    by_number = {row.number: row for row in data.rows}
    limits = strip_limits(data, [by_number[trial.number] for trial in shown])
    return [
        {
            "title": board_words.whose(data, trial.number),
            "panels": [(panel, curves(trial, panel)) for panel in axes] if board_words.has_curves(trial) else [],
            "instead": board_words.no_curves(data, trial),
            "strip": strip(by_number[trial.number], limits, data.chance),
            "folds": board_words.folds(data, trial),
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
