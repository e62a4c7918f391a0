"""Why a network does not learn: sentences, plain data, and one page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from reports import svg, words
from reports.charts import Limits, Panel, lines
from reports.html import asset, environment, policy, put
from search.symptoms import BROKEN, UNKNOWN, Evidence, LayerEvidence
from search.verdict import Case, Run, Suspect, Tried, Verdict, mean_validation, runs_that_learn, verdict

_NAMED = 3  # causes and changes in the answer
_MOST_LAYERS = 40  # in the drawing


@contextmanager
def training(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A callback for (what is done, trainings done, in all), drawn as a bar with the time left, on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def done(what: str, number: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)
                tasks.clear()
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=number, total=total)

        yield done


# In words


def headline(case: Case) -> str:
    """The answer in one or two sentences."""
    runs, k = len(case.runs), len(case.classes)
    reached, chance = words.number(mean_validation(case.runs), 2), words.number(1 / k, 2)
    match case.verdict:
        case Verdict.LEARNS:
            return (
                f"Your network learns: accuracy {reached} on images that it was not trained on, where guessing has "
                f"{chance}, in {runs} of {words.count(runs, 'training')}. There is nothing to complain of."
            )
        case Verdict.BY_HEART:
            said = f"learns its training images by heart, and nothing that holds for others (accuracy {reached})"
        case Verdict.NOTHING_ELSE:
            trained = math.fsum(run.training for run in case.runs) / runs
            own = f" (accuracy {words.number(trained, 2)})" if math.isfinite(trained) else ""
            said = (
                f"learns something about its training images{own}, and nothing that clearly holds for others (accuracy "
                f"{reached}, where guessing has {chance})"
            )
        case Verdict.SOMETIMES:
            learned = runs_that_learn(case.runs, k)
            said = f"learns in {learned} of {runs} trainings only (accuracy {reached}, where guessing has {chance})"
        case _:
            said = _stuck(case, reached)
    return f"Your network {said}{_because(case)}.{_what_helps(case)}"


def _stuck(case: Case, reached: str) -> str:
    broken = sum(run.diagnosis is not None and run.diagnosis.symptom.name == BROKEN for run in case.runs)
    if 2 * broken > len(case.runs):
        return f"leaves the finite numbers: its loss is none any more in {broken} of {len(case.runs)} trainings"
    loss = "" if case.evidence is None else f", loss {words.number(case.evidence.loss)}{_floor(case)}"
    return f"stays at chance (accuracy {reached}{loss})"


def _floor(case: Case) -> str:
    """' = ln 2' where the loss is that of guessing."""
    assert case.evidence is not None  # noqa: S101 - its loss is being told
    if abs(case.evidence.loss - case.floor) >= 0.01:
        return f"; guessing has {words.number(case.floor)}"
    even = abs(case.floor - math.log(len(case.classes))) < 0.005
    return f" = ln {len(case.classes)}" if even else ", that of guessing"


def _because(case: Case) -> str:
    named = [
        suspect.cause.name + (f" ({words.params_words(suspect.settings)})" if suspect.settings else "")
        for suspect in case.suspects[:_NAMED]
        if suspect.cause.name != UNKNOWN
    ]
    return f"; suspected: {_listed(named)}" if named else f"; {UNKNOWN}" if case.suspects else ""


def _what_helps(case: Case) -> str:
    if not case.tried:
        return ""
    free = case.freeing
    if not free:
        several = f"None of {len(case.tried)} single changes frees it."
        return f" {several if len(case.tried) > 1 else 'The one change that was tried does not free it.'}"
    best = free[0]
    reached = words.number(mean_validation(best.runs), 2)
    others = [one.experiment.change for one in _one_a_topic(free[1:], best)][: _NAMED - 1]
    rest = f" So does {_listed(others, 'or')}, alone." if others else ""
    vain = [one for one in case.failing if one.experiment.suspicion > 0]
    named = [one.experiment.change for one in _one_a_topic(vain, *free)][:_NAMED]
    rest += f" Not enough alone: {_listed(named)}." if named else ""
    return f" Change one thing, {words.visible(best.experiment.change)}: it then reaches {reached}.{rest}"


def _one_a_topic(found: Sequence[Tried], *others: Tried) -> list[Tried]:
    """The first of each topic that none of the others is about."""
    seen, kept = {one.experiment.topic for one in others}, []
    for one in found:
        if one.experiment.topic not in seen:
            seen.add(one.experiment.topic)
            kept.append(one)
    return kept


def _listed(names: Sequence[str], last: str = "and") -> str:
    shown = [words.visible(name) for name in names]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _failure(runs: Sequence[Run]) -> str:
    return words.shortened(next((run.failure for run in runs if run.failure), "there was no training"), 300).rstrip(".")


def confirmed(suspect: Suspect) -> str:
    """What the experiments say of a suspicion."""
    if not suspect.tried:
        return "no single change of this kind was tried"
    tried = words.count(suspect.tried, "change")
    if not suspect.freed:
        none = f"none of {tried} frees it" if suspect.tried > 1 else "the one change tried does not free it"
        return f"{none}: not the cause on its own"
    return f"{suspect.freed} of {tried} free it" if suspect.freed > 1 else f"1 of {tried} frees it"


def outcome(one: Tried, classes: int) -> str:
    """How an experiment went, in a few words."""
    if all(run.failure for run in one.runs):
        return "not possible: " + _failure(one.runs)
    learned, runs = runs_that_learn(one.runs, classes), len(one.runs)
    match verdict(one.runs, classes):
        case Verdict.LEARNS:
            return f"frees it, {learned} of {runs}"
        case Verdict.BY_HEART:
            return f"learned by heart, {learned} of {runs}"
        case Verdict.NOTHING_ELSE:
            return f"better on training images only, {learned} of {runs}"
        case Verdict.SOMETIMES:
            return f"not surely, {learned} of {runs}"
        case _:
            return f"still at chance, {learned} of {runs}"


def fine(case: Case) -> list[str]:
    """What was looked at and gave no reason to complain, a sentence each."""
    evidence, named = case.evidence, {suspect.cause.name for suspect in case.suspects}
    found = [] if case.remarks else ["Images: no copies, no contradictory labels, classes of similar size."]
    if evidence is None:
        return found
    if not {"inputs not scaled", "inputs scaled twice", "constant images"} & named and evidence.input_size > 0:
        found.append(f"Pixels are scaled: the first layer is given numbers of about {evidence.input_size:.2g}.")
    if not evidence.found:
        found.append("Output, loss and labels fit together; layers are trained; no static check complains.")
    dead = [layer for layer in evidence.layers if layer.dead is not None]
    if dead and "dead ReLU" not in named:
        most = max(layer.dead or 0.0 for layer in dead)
        found.append(f"Few ReLU units are dead: at most {100 * most:.0f} % of a layer.")
    gradients = [layer.gradient for layer in evidence.layers if layer.gradient is not None]
    if len(gradients) > 1 and "gradients vanish" not in named and all(map(math.isfinite, gradients)):
        found.append(f"Gradients arrive: {gradients[0]:.1g} in the first layer, {gradients[-1]:.1g} in the last.")
    if math.isfinite(evidence.learning_rate) and not any(name.startswith("learning rate") for name in named):
        found.append(f"The learning rate, {evidence.learning_rate:.3g}, moves weights neither too much nor too little.")
    penalty = evidence.penalty / (evidence.penalty + evidence.floor) if evidence.penalty >= 0 else math.nan
    if "regularisation too strong" not in named:
        found.append(f"Penalties are {100 * penalty:.0f} % of the loss after training." if penalty else "No penalties.")
    return found


def in_lines(case: Case) -> list[str]:
    """For the terminal."""
    k = len(case.classes)
    said = [headline(case)]
    for suspect in case.suspects:
        said += [
            f"  {suspect.cause.name}: {words.visible(suspect.cause.evidence)}",
            f"    by experiment: {confirmed(suspect)}",
        ]
    if case.tried:
        said += [
            "",
            f"one change at a time, {words.count(len(case.runs), 'training')} each, or given up after two at chance:",
        ]
        said += [
            f"  {words.number(mean_validation(one.runs), 2):>5}  {words.shortened(one.experiment.change, 60):<60}  "
            f"{outcome(one, k)}"
            for one in (*case.freeing, *case.failing)
        ]
    if case.left_out:
        said.append(f"  {untried(case)}")
    return said


def untried(case: Case) -> str:
    """What there was no time for, and how to give it time."""
    more = words.count(len(case.left_out), "change")
    named = _listed([one.change for one in case.left_out])
    return f"{more} more not tried for lack of time; with a larger --seconds: {named}"


# As data


def as_plain(case: Case) -> dict[str, Any]:
    """For --json. A number that is none is null."""
    return {
        "images": case.images,
        "model": case.model,
        "point": dict(case.point),
        "searched": case.count,
        "classes": list(case.classes),
        "floor": case.floor,
        "findings": list(case.remarks),
        "verdict": str(case.verdict),
        "answer": headline(case),
        "accuracy": _number(mean_validation(case.runs)),
        "loss": _number(case.evidence.loss) if case.evidence else None,
        "runs": [_plain_run(run) for run in case.runs],
        "layers": [_plain_layer(layer) for layer in case.evidence.layers] if case.evidence else [],
        "suspects": [
            {
                "cause": suspect.cause.name,
                "evidence": suspect.cause.evidence,
                "change": suspect.cause.change,
                "strength": suspect.cause.strength,
                "runs": suspect.runs,
                "experiments": suspect.tried,
                "freeing": suspect.freed,
            }
            for suspect in case.suspects
        ],
        "experiments": [
            {
                "topic": one.experiment.topic,
                "change": one.experiment.change,
                "line": one.experiment.line,
                "frees": one in case.freeing,
                "verdict": str(verdict(one.runs, len(case.classes))),
                "learned": runs_that_learn(one.runs, len(case.classes)),
                "runs": [_plain_run(run) for run in one.runs],
                "accuracy": _number(mean_validation(one.runs)),
            }
            for one in (*case.freeing, *case.failing)
        ],
        "not_tried": [one.change for one in case.left_out],
        "fine": fine(case),
    }


def _plain_run(run: Run) -> dict[str, Any]:
    return {
        "fold": run.fold,
        "training_accuracy": _number(run.training),
        "accuracy": _number(run.validation),
        "epochs": run.epochs,
        "signs": list(run.diagnosis.symptom.signs) if run.diagnosis else [],
        "failure": run.failure,
    }


def _plain_layer(layer: LayerEvidence) -> dict[str, Any]:
    return {key: _number(value) if isinstance(value, float) else value for key, value in vars(layer).items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


# As a page


def write(case: Case, path: Path) -> None:
    """Render the page and put it at `path` in one step."""
    put(render(case), path)


def render(case: Case) -> str:
    """The whole page."""
    page: str = (
        environment()
        .get_template("diagnose.html.j2")
        .render(
            case=case,
            words=words,
            policy=policy([]),
            style=Markup(asset("report.css") + asset("diagnose.css")),  # noqa: S704 - our own files
            headline=headline(case),
            learned=runs_that_learn(case.runs, len(case.classes)),
            reached=mean_validation(case.runs),
            suspects=[(suspect, confirmed(suspect)) for suspect in case.suspects],
            signal=signal(case),
            curves=_curves(case),
            groups=_groups(case),
            best=case.freeing[0].experiment.change if case.freeing else "",
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


def _groups(case: Case) -> list[tuple[str, list[_Row]]]:
    """The experiments by how they went, for the table."""
    k = len(case.classes)

    def row(one: Tried) -> _Row:
        reached = mean_validation(one.runs)
        above = (reached - 1 / k) / (1 - 1 / k) if math.isfinite(reached) else 0.0
        experiment = one.experiment
        return _Row(
            experiment.change,
            experiment.line,
            reached,
            100 * min(max(above, 0.0), 1.0),
            outcome(one, k),
            experiment.suspicion > 0,
        )

    made = (("These free it", [row(one) for one in case.freeing]), ("These do not", [row(o) for o in case.failing]))
    return [(title, rows) for title, rows in made if rows]


def _curves(case: Case) -> list[tuple[Panel, Markup]]:
    """Loss and accuracy of all runs over epochs, against chance, and those of the best change."""
    best = case.freeing[0] if case.freeing else None
    k, made = len(case.classes), []
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
            values = [value for _, _, of_one in series for value in of_one if math.isfinite(value)]
            top = max(min(max(values), 4 * reference), 1.15 * reference) if title == "Loss" else 1.0
            panel = Panel(title, trained, Limits(0.0, top), reference, name)
            made.append((panel, lines(panel, series, f"{title} by epoch. {name}.")))
    return made


_WIDE, _ROW, _LEFT, _RIGHT, _TOP = 760.0, 34.0, 190.0, 24.0, 16.0


def signal(case: Case) -> Markup | None:
    """How differently images come out of each layer, over how differently they went in, on a logarithmic scale."""
    evidence = case.evidence
    if evidence is None or not evidence.input_spread > 0:
        return None
    freed = next((run.evidence for one in case.freeing[:1] for run in one.runs if run.evidence), None)
    names = [layer.name for layer in _weighty(evidence)][:_MOST_LAYERS]
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
        parts.append(svg.text(_LEFT - 14, _at(place) + 4, words.shortened(name, 24), anchor="end"))
    for class_, title, shares in drawn:
        all_shares = {"images": 1.0, **shares}
        points = [(x(_log(all_shares[n])), _at(p)) for p, n in enumerate(rows) if n in all_shares]
        parts.append(svg.path(points, class_, title))
        parts += [svg.tag("circle", cx=px, cy=py, r=4.5, class_=class_) for px, py in points]
    last = _shares(evidence, start=True).get(names[-1])
    told = f" At the start {last:.1g} of it is left after {words.visible(names[-1])}." if last else ""
    label = f"Signal by layer, {words.count(len(names), 'layer')} with weights.{told}"
    return svg.picture(_WIDE, height, label, *parts, class_="signal")


def _at(place: int) -> float:
    return _TOP + _ROW * (place + 0.5)


def _weighty(evidence: Evidence) -> list[LayerEvidence]:
    """Layers with weights; the others hand on what they are given, more or less."""
    return [layer for layer in evidence.layers if layer.gradient is not None]


def _shares(evidence: Evidence, *, start: bool) -> Mapping[str, float]:
    """Layer -> spread over images, as a share of the input's."""
    found = {layer.name: layer.spread_at_start if start else layer.spread for layer in _weighty(evidence)}
    return {
        name: value / evidence.input_spread
        for name, value in found.items()
        if value is not None and math.isfinite(value) and evidence.input_spread > 0
    }


_LEAST = 1e-8  # what is less is drawn there


def _log(share: float) -> float:
    return math.log10(max(share, _LEAST))


def _decades(shares: Sequence[float]) -> tuple[int, int]:
    logs = [_log(share) for share in shares]
    return min(math.floor(min(logs)), -1), max(math.ceil(max(logs)), 1)


def _power(decade: int) -> str:
    if -3 <= decade <= 3:
        return f"{10.0**decade:g}"
    return "10" + str(decade).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
