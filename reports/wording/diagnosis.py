"""Why a network does not learn, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.wording import values
from search.diagnosis.evidence import BROKEN
from search.diagnosis.result import (
    Diagnosed,
    ExperimentResult,
    Run,
    Suspect,
    Verdict,
    mean_validation,
    runs_that_learn,
    verdict,
)
from search.diagnosis.rules import UNKNOWN

_NAMED = 3  # causes and changes listed in the answer


def headline(case: Diagnosed) -> str:
    """The answer in one or two sentences."""
    runs, k = len(case.runs), len(case.classes)
    reached, chance = values.number(mean_validation(case.runs), 2), values.number(1 / k, 2)
    match case.verdict:
        case Verdict.LEARNS:
            return (
                f"Your network learns: accuracy {reached} on images that it was not trained on, where guessing has "
                f"{chance}, in {runs} of {values.count(runs, 'training')}. No problem was found."
            )
        case Verdict.BY_HEART:
            what = f"memorizes its training images and does not generalize (accuracy {reached} on other images)"
        case Verdict.NOTHING_ELSE:
            trained = math.fsum(run.training for run in case.runs) / runs
            own = f" (accuracy {values.number(trained, 2)})" if math.isfinite(trained) else ""
            what = (
                f"learns something about its training images{own}, but does not clearly generalize (accuracy {reached} "
                f"on other images, where guessing has {chance})"
            )
        case Verdict.SOMETIMES:
            learned = runs_that_learn(case.runs, k)
            what = f"learns only in {learned} of {runs} trainings (accuracy {reached}, where guessing has {chance})"
        case _:
            what = _stuck(case, reached)
    return f"Your network {what}{_because(case)}.{_what_helps(case)}"


def _stuck(case: Diagnosed, reached: str) -> str:
    broken = sum(run.diagnosis is not None and run.diagnosis.symptom.name == BROKEN for run in case.runs)
    if 2 * broken > len(case.runs):
        return f"diverges: its loss becomes NaN or infinite in {broken} of {len(case.runs)} trainings"
    loss = "" if case.evidence is None else f", loss {values.number(case.evidence.loss)}{_floor(case)}"
    return f"stays at chance (accuracy {reached}{loss})"


def _floor(case: Diagnosed) -> str:
    """' = ln 2' if the loss is that of guessing."""
    assert case.evidence is not None  # noqa: S101 - the caller checked it
    if abs(case.evidence.loss - case.floor) >= 0.01:
        return f"; guessing has {values.number(case.floor)}"
    even = abs(case.floor - math.log(len(case.classes))) < 0.005
    return f" = ln {len(case.classes)}" if even else ", that of guessing"


def _because(case: Diagnosed) -> str:
    named = [
        suspect.cause.name + (f" ({values.params_words(suspect.settings)})" if suspect.settings else "")
        for suspect in case.suspects[:_NAMED]
        if suspect.cause.name != UNKNOWN
    ]
    return f"; suspected: {_listed(named)}" if named else f"; {UNKNOWN}" if case.suspects else ""


def _what_helps(case: Diagnosed) -> str:
    if not case.tried:
        return ""
    fixes = case.fixes
    if not fixes:
        several = f"It learns with none of {len(case.tried)} single changes."
        return f" {several if len(case.tried) > 1 else 'With the one change that was tried it does not learn either.'}"
    best = fixes[0]
    reached = values.number(mean_validation(best.runs), 2)
    others = [result.experiment.change for result in _one_a_topic(fixes[1:], best)][: _NAMED - 1]
    rest = f" It also learns with {_listed(others, 'or')} alone." if others else ""
    failed = [result for result in case.no_fixes if result.experiment.suspicion > 0]
    named = [result.experiment.change for result in _one_a_topic(failed, *fixes)][:_NAMED]
    rest += f" Not enough alone: {_listed(named)}." if named else ""
    return f" Change one thing, {values.visible(best.experiment.change)}: it then reaches {reached}.{rest}"


def _one_a_topic(results: Sequence[ExperimentResult], *others: ExperimentResult) -> list[ExperimentResult]:
    """The first result of each topic, without the topics of `others`."""
    seen, kept = {result.experiment.topic for result in others}, []
    for result in results:
        if result.experiment.topic not in seen:
            seen.add(result.experiment.topic)
            kept.append(result)
    return kept


def _listed(names: Sequence[str], last: str = "and") -> str:
    shown = [values.visible(name) for name in names]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _failure(runs: Sequence[Run]) -> str:
    return values.cut(next((run.failure for run in runs if run.failure), "there was no training"), 600).rstrip(".")


def confirmed(suspect: Suspect) -> str:
    """What the experiments say about a suspected cause."""
    if not suspect.tried:
        return "no single change of this kind was tried"
    tried = values.count(suspect.tried, "change")
    if not suspect.freed:
        none = f"it learns with none of {tried}" if suspect.tried > 1 else "it does not learn with the one change tried"
        return f"{none}: not the cause on its own"
    return f"it learns with {suspect.freed} of {tried}"


def outcome(result: ExperimentResult, classes: int) -> str:
    """How an experiment went, in a few words."""
    if all(run.failure for run in result.runs):
        return "not possible: " + _failure(result.runs)
    learned, runs = runs_that_learn(result.runs, classes), len(result.runs)
    match verdict(result.runs, classes):
        case Verdict.LEARNS:
            return f"learns, {learned} of {runs}"
        case Verdict.BY_HEART:
            return f"memorizes training images, {learned} of {runs}"
        case Verdict.NOTHING_ELSE:
            return f"better on training images only, {learned} of {runs}"
        case Verdict.SOMETIMES:
            return f"not reliably, {learned} of {runs}"
        case _:
            return f"still at chance, {learned} of {runs}"


def fine(case: Diagnosed) -> list[str]:
    """What was checked without finding a problem, one sentence each."""
    evidence, named = case.evidence, {suspect.cause.name for suspect in case.suspects}
    facts = [] if case.remarks else ["Images: no copies, no contradictory labels, classes of similar size."]
    if evidence is None:
        return facts
    if not {"inputs not scaled", "inputs scaled twice", "constant images"} & named and evidence.input_size > 0:
        facts.append(f"Pixels are scaled: the input of the first layer has values of about {evidence.input_size:.2g}.")
    if not evidence.found:
        facts.append("Output, loss and labels fit together, layers are trained, and no static check found a problem.")
    dead = [layer for layer in evidence.layers if layer.dead is not None]
    if dead and "dead ReLU" not in named:
        most = max(layer.dead or 0.0 for layer in dead)
        facts.append(f"Few ReLU units are dead: at most {100 * most:.0f} % of a layer.")
    gradients = [layer.gradient for layer in evidence.layers if layer.gradient is not None]
    if len(gradients) > 1 and "gradients vanish" not in named and all(map(math.isfinite, gradients)):
        facts.append(f"Gradients arrive: {gradients[0]:.1g} in the first layer, {gradients[-1]:.1g} in the last.")
    if math.isfinite(evidence.learning_rate) and not any(name.startswith("learning rate") for name in named):
        facts.append(f"The learning rate, {evidence.learning_rate:.3g}, moves weights neither too much nor too little.")
    penalty = evidence.penalty / (evidence.penalty + evidence.floor) if evidence.penalty >= 0 else math.nan
    if "regularisation too strong" not in named:
        facts.append(f"Penalties are {100 * penalty:.0f} % of the loss after training." if penalty else "No penalties.")
    return facts


def untried(case: Diagnosed) -> str:
    """The changes for which there was no time, and the option that gives more time."""
    more = values.count(len(case.left_out), "change")
    named = _listed([experiment.change for experiment in case.left_out])
    return f"{more} more not tried for lack of time; with a larger --seconds: {named}"
