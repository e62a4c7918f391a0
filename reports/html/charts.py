"""Scores and curves of trials as drawings: fold strips, learning curves, the best trial beside its start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from reports.html import svg
from reports.wording.values import count, metric_words
from search.results.summary import ReferenceRow, StudySummary, TrialRow
from search.stats.metrics import METRICS
from storage.records import FoldRecord, TrialRecord

STRIP_WIDTH, STRIP_HEIGHT = 132, 20
_LEAST_SPAN = 0.05  # of the axis of scores that hardly differ


@dataclass(frozen=True)
class Limits:
    """The range of an axis."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Whether a value lies on the axis; NaN does not."""
        return self.low <= value <= self.high


def strip_limits(data: StudySummary, rows: Sequence[TrialRow | ReferenceRow]) -> Limits:
    """One range for all strips of the leaderboard, so that they can be compared. It contains chance."""
    return score_limits(data, [score for row in rows for score in row.fold_scores])


def score_limits(data: StudySummary, scores: Sequence[float]) -> Limits:
    """The range of an axis for scores of the study's metric. It contains chance; NaN and infinities are ignored."""
    values = [value for value in (*scores, data.chance) if math.isfinite(value)]
    if not values:
        return Limits(0.0, 1.0)
    if math.isinf(METRICS[data.metric].bound):  # one diverged fold must not push all others together
        return Limits(0.0, min(max(values), 2.5 * data.chance if math.isfinite(data.chance) else max(values)) or 1.0)
    low, high = math.floor(min(values) * 20 - 0.3) / 20, math.ceil(max(values) * 20) / 20
    return Limits(low, high if high > low else low + 0.05)


def detail_limits(data: StudySummary, scores: Sequence[float]) -> Limits:
    """The range of an axis on which scores can be told apart: with chance only if they then still take half of it."""
    whole = score_limits(data, scores)
    known = [score for score in scores if score in whole]
    if not known:
        return whole
    low, high = min(known), max(known)
    span = max(high - low, _LEAST_SPAN)
    if not math.isfinite(data.chance) or max(low - data.chance, data.chance - high) <= span:
        return whole
    room = span / 10
    return Limits(max(low - room, 0.0), min(high + room, max(METRICS[data.metric].bound, high)))


def strip(row: TrialRow | ReferenceRow, limits: Limits, chance: float) -> Markup:
    """One dot per fold, a tick at their mean, a dashed line at chance."""
    pad, middle = 6.0, STRIP_HEIGHT / 2
    x = svg.linear(limits.low, limits.high, pad, STRIP_WIDTH - pad)
    known = [score for score in row.fold_scores if math.isfinite(score)]
    parts = [svg.line(pad, middle, STRIP_WIDTH - pad, middle, "rule")]
    if math.isfinite(chance):
        parts.append(svg.line(x(chance), 2, x(chance), STRIP_HEIGHT - 2, "chance"))
    parts += [svg.tag("circle", cx=x(score), cy=middle, r=3.2, class_="dot") for score in known]
    if known:
        mean = x(math.fsum(known) / len(known))
        parts.append(svg.line(mean, 3, mean, STRIP_HEIGHT - 3, "mean"))
    label = "fold scores: " + (", ".join(f"{score:.3f}" for score in row.fold_scores) or "none yet")
    return svg.picture(STRIP_WIDTH, STRIP_HEIGHT, label, *parts, class_="strip")


@dataclass(frozen=True)
class Panel:
    """One chart of learning curves: what its y axis shows, and the range of that axis."""

    title: str  # 'Loss'
    key: str  # 'loss': the training curve; 'val_loss' is the validation's
    limits: Limits
    reference: float  # chance
    reference_label: str


def panels(data: StudySummary, shown: Sequence[TrialRecord]) -> list[Panel]:
    """The charts for which these trials have curves, on axes that fit all of them."""
    made = []
    folds = [fold for trial in shown for fold in search_folds(trial)]
    k = sum(count > 0 for count in data.class_counts)
    counts = np.array(data.class_counts, dtype=np.int64)
    guess = METRICS["log_loss"].chance(counts)
    balanced = math.isfinite(guess) and k > 1 and abs(guess - math.log(k)) < 0.005
    name = f"chance: ln {k} = {guess:.3f}" if balanced else f"chance: {guess:.3f}"
    if limits := _loss_limits(folds, guess):
        made.append(Panel("Loss", "loss", limits, guess, name))
    key = _metric_key(data.metric, folds)
    if key is not None:
        chance = METRICS[key].chance(counts)
        values = [v for fold in folds for c in (key, f"val_{key}") for v in fold.curve.get(c, ()) if math.isfinite(v)]
        low = math.floor(min([*values, chance if math.isfinite(chance) else 0.0]) * 10) / 10
        title = metric_words(key)
        made.append(
            Panel(title[:1].upper() + title[1:], key, Limits(low, METRICS[key].bound), chance, f"chance: {chance:.2f}")
        )
    return made


def search_folds(trial: TrialRecord) -> list[FoldRecord]:
    """The fold runs of the search itself, without those that confirm finalists on new folds."""
    return [fold for fold in trial.folds if fold.repeat == 0]


def _loss_limits(folds: Sequence[FoldRecord], guess: float) -> Limits | None:
    """From 0 to the 97 % quantile, chance included; the first epochs may be far above."""
    values = [v for fold in folds for c in ("loss", "val_loss") for v in fold.curve.get(c, ()) if math.isfinite(v)]
    if not values:
        return None
    top = float(np.quantile(values, 0.97))
    return Limits(0.0, max(top * 1.05, guess * 1.15 if math.isfinite(guess) else 0.0, 1e-6))


def _metric_key(metric: str, folds: Sequence[FoldRecord]) -> str | None:
    wanted = [metric, "balanced_accuracy", "accuracy", "auroc"]
    keys = {key for fold in folds for key in fold.curve}
    return next((key for key in wanted if f"val_{key}" in keys and math.isfinite(METRICS[key].bound)), None)


_WIDE, _HIGH = 520.0, 236.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 40.0


def curves(trial: TrialRecord, panel: Panel) -> Markup:
    """All folds of a trial over epochs: thin lines for training, thick ones for validation, rings at best epochs."""
    folds = search_folds(trial)
    last = max([fold.epochs for fold in folds] + [2])
    x = svg.linear(1, last, _LEFT, _WIDE - _RIGHT)
    y = svg.linear(panel.limits.low, panel.limits.high, _HIGH - _BOTTOM, _TOP)
    parts = _axes(panel, last, x, y)
    for series, class_ in ((panel.key, "train"), (f"val_{panel.key}", "valid")):
        for fold in folds:
            points = svg.thinned(fold.curve.get(series, ()))
            title = f"fold {fold.fold + 1}, {'validation' if class_ == 'valid' else 'training'}"
            parts.append(svg.path(((x(epoch), y(value)) for epoch, value in points), class_, title))
    for fold in folds:
        values = fold.curve.get(f"val_{panel.key}", ())
        if 1 <= fold.best_epoch <= len(values) and math.isfinite(values[fold.best_epoch - 1]):
            at = values[fold.best_epoch - 1]
            parts.append(svg.tag("circle", cx=x(fold.best_epoch), cy=y(at), r=4.0, class_="best-epoch"))
    return svg.picture(_WIDE, _HIGH, _curves_label(trial, panel, folds), *parts, class_="curves")


_SMALL_WIDE, _SMALL_HIGH, _SMALL_LEFT, _SMALL_BOTTOM = 204.0, 112.0, 28.0, 18.0
_SMALL_POINTS = 60  # of a curve: hundreds of curves are in one page


def small_curves(trial: TrialRecord, panel: Panel) -> Markup:
    """As `curves`, for a drawer: few labels, and one path for all curves of a kind."""
    folds = search_folds(trial)
    last = max([fold.epochs for fold in folds] + [2])
    x = svg.linear(1, last, _SMALL_LEFT, _SMALL_WIDE - 5)
    y = svg.linear(panel.limits.low, panel.limits.high, _SMALL_HIGH - _SMALL_BOTTOM, 6)
    parts = []
    for value in svg.ticks(panel.limits.low, panel.limits.high, 2):
        parts.append(svg.line(_SMALL_LEFT, round(y(value)), _SMALL_WIDE - 5, round(y(value)), "grid"))
        parts.append(svg.text(_SMALL_LEFT - 4, round(y(value) + 4), f"{value:g}", anchor="end", class_="tick"))
    if math.isfinite(panel.reference):
        parts.append(svg.line(_SMALL_LEFT, y(panel.reference), _SMALL_WIDE - 5, y(panel.reference), "chance"))
    parts.append(svg.text(_SMALL_LEFT, _SMALL_HIGH - 4, "1", class_="tick"))
    parts.append(svg.text(_SMALL_WIDE - 5, _SMALL_HIGH - 4, f"epoch {last}", anchor="end", class_="tick"))
    for series, class_, most in (
        (panel.key, "train", _SMALL_POINTS // 2),
        (f"val_{panel.key}", "valid", _SMALL_POINTS),
    ):
        thin = [svg.thinned(fold.curve.get(series, ()), most) for fold in folds]
        parts.append(svg.short_paths([[(x(epoch), y(value)) for epoch, value in points] for points in thin], class_))
    ends = [(fold.best_epoch, fold.curve.get(f"val_{panel.key}", ())) for fold in folds]
    rings = [(x(epoch), y(values[epoch - 1])) for epoch, values in ends if 1 <= epoch <= len(values)]
    parts.append(svg.dots(rings, "kept"))
    return svg.picture(_SMALL_WIDE, _SMALL_HIGH, _curves_label(trial, panel, folds), *parts, class_="small-curves")


def lines(panel: Panel, series: Sequence[tuple[str, str, Sequence[float]]], label: str) -> Markup:
    """Any curves over epochs, each (CSS class, title, values), on the same axes as `curves`."""
    last = max([len(values) for _, _, values in series] + [2])
    x = svg.linear(1, last, _LEFT, _WIDE - _RIGHT)
    y = svg.linear(panel.limits.low, panel.limits.high, _HIGH - _BOTTOM, _TOP)
    drawn = [
        svg.path(((x(epoch), y(value)) for epoch, value in svg.thinned(values)), class_, title)
        for class_, title, values in series
    ]
    return svg.picture(_WIDE, _HIGH, label, *_axes(panel, last, x, y), *drawn, class_="curves")


def _axes(panel: Panel, last: int, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    parts = []
    for value in svg.ticks(panel.limits.low, panel.limits.high):
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    for epoch in svg.whole_ticks(last):
        parts.append(svg.text(x(epoch), _HIGH - _BOTTOM + 18, str(epoch), anchor="middle", class_="tick"))
    parts.append(svg.text(_WIDE - _RIGHT, _HIGH - 4, "epoch", anchor="end", class_="tick"))
    if math.isfinite(panel.reference):
        at = y(panel.reference)
        above = at - 5 if at > _TOP + 16 else at + 14
        parts.append(svg.line(_LEFT, at, _WIDE - _RIGHT, at, "chance"))
        parts.append(svg.text(_WIDE - _RIGHT, above, panel.reference_label, anchor="end", class_="chance-label"))
    return parts


def _curves_label(trial: TrialRecord, panel: Panel, folds: Sequence[FoldRecord]) -> str:
    series = [fold.curve.get(f"val_{panel.key}", ()) for fold in folds]
    ends = [(values[0], values[-1]) for values in series if values]
    label = f"{panel.title} by epoch of trial {trial.number}, {count(len(folds), 'fold')}, "
    label += f"{panel.reference_label}."
    if ends:
        first, last = (math.fsum(column) / len(ends) for column in zip(*ends, strict=True))
        epochs = [fold.best_epoch for fold in folds]
        label += f" Validation goes from {first:.3f} to {last:.3f} on average;"
        label += f" best epochs {min(epochs)} to {max(epochs)}."
    return label
