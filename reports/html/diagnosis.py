"""Why a network does not learn, as one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits, Panel, lines
from reports.html.page import asset, environment, policy
from reports.wording import values
from reports.wording.diagnosis import confirmed, fine, headline, outcome, untried
from search.diagnosis.evidence import Evidence, LayerEvidence
from search.diagnosis.result import Diagnosed, ExperimentResult, mean_validation, runs_that_learn
from search.files import write_atomically

LEARNS_WITH, NOT_WITH = "With these it learns", "With these it does not"  # titles of the groups of experiments
_MAX_LAYERS = 40  # in the drawing


def write(case: Diagnosed, path: Path) -> None:
    """Render the page and write it to `path`, atomically."""
    write_atomically(path, render(case))


def render(case: Diagnosed) -> str:
    """The whole page."""
    page: str = (
        environment()
        .get_template("diagnose.html.j2")
        .render(
            case=case,
            values=values,
            policy=policy([]),
            style=Markup(asset("report.css") + asset("diagnose.css")),  # noqa: S704 - our own files
            headline=headline(case),
            learned=runs_that_learn(case.runs, len(case.classes)),
            reached=mean_validation(case.runs),
            suspects=[(suspect, confirmed(suspect)) for suspect in case.suspects],
            signal=signal(case),
            curves=_curves(case),
            groups=_groups(case),
            learns_with=LEARNS_WITH,
            best=case.fixes[0].experiment.change if case.fixes else "",
            untried=untried(case),
            fine=fine(case),
        )
    )
    return page


@dataclass(frozen=True)
class _Row:
    change: str
    line: str
    reached: float  # NaN where it could not be trained
    width: float  # % of the bar, from chance to 1
    outcome: str
    suspicion: bool


def _groups(case: Diagnosed) -> list[tuple[str, list[_Row]]]:
    """The experiments by outcome, for the table."""
    k = len(case.classes)

    def row(result: ExperimentResult) -> _Row:
        reached = mean_validation(result.runs)
        above = (reached - 1 / k) / (1 - 1 / k) if math.isfinite(reached) else 0.0
        experiment = result.experiment
        return _Row(
            experiment.change,
            experiment.line,
            reached,
            100 * min(max(above, 0.0), 1.0),
            outcome(result, k),
            experiment.suspicion > 0,
        )

    groups = ((LEARNS_WITH, list(map(row, case.fixes))), (NOT_WITH, list(map(row, case.no_fixes))))
    return [(title, rows) for title, rows in groups if rows]


def _curves(case: Diagnosed) -> list[tuple[Panel, Markup]]:
    """Loss and accuracy over epochs of all runs, and of the runs with the best change, beside chance."""
    best = case.fixes[0] if case.fixes else None
    k, drawings = len(case.classes), []
    even = abs(case.floor - math.log(k)) < 0.005
    floor = f"chance: ln {k} = {case.floor:.3f}" if even else f"chance: {case.floor:.3f}"
    for title, trained, judged, reference, name in (
        ("Loss", "loss", "val_log_loss", case.floor, floor),
        ("Balanced accuracy", "balanced_accuracy", "val_balanced_accuracy", 1 / k, f"chance: {1 / k:.2f}"),
    ):
        series = [
            (class_, f"{whose}, {of}", run.curve[key])
            for whose, runs, kinds in (
                ("as it is", case.runs, (("train", trained, "training"), ("valid", judged, "validation"))),
                ("changed", best.runs if best else (), (("freed", judged, "validation"),)),
            )
            for run in runs
            for class_, key, of in kinds
            if run.curve.get(key)
        ]
        if series:
            values = [value for _, _, curve in series for value in curve if math.isfinite(value)]
            top = max(min(max(values), 4 * reference), 1.15 * reference) if title == "Loss" else 1.0
            panel = Panel(title, trained, Limits(0.0, top), reference, name)
            drawings.append((panel, lines(panel, series, f"{title} by epoch. {name}.")))
    return drawings


_WIDE, _ROW, _LEFT, _RIGHT, _TOP = 760.0, 34.0, 190.0, 24.0, 16.0


def signal(case: Diagnosed) -> Markup | None:
    """How much images differ after each layer, as a share of how much they differ at the input; logarithmic scale."""
    evidence = case.evidence
    if evidence is None or not evidence.input_spread > 0:
        return None
    freed = next((run.evidence for fix in case.fixes[:1] for run in fix.runs if run.evidence), None)
    names = [layer.name for layer in _weighty(evidence)][:_MAX_LAYERS]
    drawn = [
        ("start", "at the start", _shares(evidence, start=True)),
        ("after", "after training", _shares(evidence, start=False)),
        *([("freed", "changed, at the start", _shares(freed, start=True))] if freed else []),
    ]
    known = [value for _, _, shares in drawn for value in shares.values()]
    if not known or not names:
        return None
    low, high = _decades(known)
    x = svg.linear(low, high, _LEFT, _WIDE - _RIGHT)
    rows = ["images", *names]
    height = _TOP + _ROW * len(rows) + 30
    parts = []
    for decade in range(low, high + 1, max(1, math.ceil((high - low) / 8))):
        parts.append(svg.line(x(decade), _TOP - 6, x(decade), height - 30, "grid"))
        parts.append(svg.text(x(decade), height - 10, _power(decade), anchor="middle", class_="tick"))
    for place, name in enumerate(rows):
        parts.append(svg.text(_LEFT - 14, _at(place) + 4, values.shortened(name, 24), anchor="end"))
    for class_, title, shares in drawn:
        all_shares = {"images": 1.0, **shares}
        points = [(x(_log(all_shares[n])), _at(p)) for p, n in enumerate(rows) if n in all_shares]
        parts.append(svg.path(points, class_, title))
        parts += [svg.tag("circle", cx=px, cy=py, r=4.5, class_=class_) for px, py in points]
    last = _shares(evidence, start=True).get(names[-1])
    left = f" At the start {last:.1g} of it is left after {values.visible(names[-1])}." if last else ""
    label = f"Signal by layer, {values.count(len(names), 'layer')} with weights.{left}"
    return svg.picture(_WIDE, height, label, *parts, class_="signal")


def _at(place: int) -> float:
    return _TOP + _ROW * (place + 0.5)


def _weighty(evidence: Evidence) -> list[LayerEvidence]:
    """Layers with weights; the others change their input little."""
    return [layer for layer in evidence.layers if layer.gradient is not None]


def _shares(evidence: Evidence, *, start: bool) -> Mapping[str, float]:
    """Layer -> spread over images, as a share of the spread of the input."""
    spreads = {layer.name: layer.spread_at_start if start else layer.spread for layer in _weighty(evidence)}
    return {
        name: value / evidence.input_spread
        for name, value in spreads.items()
        if value is not None and math.isfinite(value) and evidence.input_spread > 0
    }


_MIN_SHARE = 1e-8  # smaller shares are drawn at this one


def _log(share: float) -> float:
    return math.log10(max(share, _MIN_SHARE))


def _decades(shares: Sequence[float]) -> tuple[int, int]:
    logs = [_log(share) for share in shares]
    return min(math.floor(min(logs)), -1), max(math.ceil(max(logs)), 1)


def _power(decade: int) -> str:
    if -3 <= decade <= 3:
        return f"{10.0**decade:g}"
    return "10" + str(decade).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
