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

_NAMED = 3  # causes and changes in the answer


def headline(case: Diagnosed) -> str:
    """The answer in one or two sentences."""
    runs, k = len(case.runs), len(case.classes)
    reached, chance = values.number(mean_validation(case.runs), 2), values.number(1 / k, 2)
    match case.verdict:
        case Verdict.LEARNS:
            return (
                f"Your network learns: accuracy {reached} on images that it was not trained on, where guessing has "
                f"{chance}, in {runs} of {values.count(runs, 'training')}. There is nothing to complain of."
            )
        case Verdict.BY_HEART:
            what = f"learns its training images by heart, and nothing that holds for others (accuracy {reached})"
        case Verdict.NOTHING_ELSE:
            trained = math.fsum(run.training for run in case.runs) / runs
            own = f" (accuracy {values.number(trained, 2)})" if math.isfinite(trained) else ""
            what = (
                f"learns something about its training images{own}, and nothing that clearly holds for others (accuracy "
                f"{reached}, where guessing has {chance})"
            )
        case Verdict.SOMETIMES:
            learned = runs_that_learn(case.runs, k)
            what = f"learns in {learned} of {runs} trainings only (accuracy {reached}, where guessing has {chance})"
        case _:
            what = _stuck(case, reached)
    return f"Your network {what}{_because(case)}.{_what_helps(case)}"


def _stuck(case: Diagnosed, reached: str) -> str:
    broken = sum(run.diagnosis is not None and run.diagnosis.symptom.name == BROKEN for run in case.runs)
    if 2 * broken > len(case.runs):
        return f"leaves the finite numbers: its loss is none any more in {broken} of {len(case.runs)} trainings"
    loss = "" if case.evidence is None else f", loss {values.number(case.evidence.loss)}{_floor(case)}"
    return f"stays at chance (accuracy {reached}{loss})"


def _floor(case: Diagnosed) -> str:
    """' = ln 2' where the loss is that of guessing."""
    assert case.evidence is not None  # noqa: S101 - its loss is being told
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
    free = case.fixes
    if not free:
        several = f"None of {len(case.tried)} single changes frees it."
        return f" {several if len(case.tried) > 1 else 'The one change that was tried does not free it.'}"
    best = free[0]
    reached = values.number(mean_validation(best.runs), 2)
    others = [result.experiment.change for result in _one_a_topic(free[1:], best)][: _NAMED - 1]
    rest = f" So does {_listed(others, 'or')}, alone." if others else ""
    vain = [result for result in case.no_fixes if result.experiment.suspicion > 0]
    named = [result.experiment.change for result in _one_a_topic(vain, *free)][:_NAMED]
    rest += f" Not enough alone: {_listed(named)}." if named else ""
    return f" Change one thing, {values.visible(best.experiment.change)}: it then reaches {reached}.{rest}"


def _one_a_topic(results: Sequence[ExperimentResult], *others: ExperimentResult) -> list[ExperimentResult]:
    """The first of each topic that none of the others is about."""
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
    return values.shortened(next((run.failure for run in runs if run.failure), "there was no training"), 300).rstrip(
        "."
    )


def confirmed(suspect: Suspect) -> str:
    """What the experiments say of a suspicion."""
    if not suspect.tried:
        return "no single change of this kind was tried"
    tried = values.count(suspect.tried, "change")
    if not suspect.freed:
        none = f"none of {tried} frees it" if suspect.tried > 1 else "the one change tried does not free it"
        return f"{none}: not the cause on its own"
    return f"{suspect.freed} of {tried} free it" if suspect.freed > 1 else f"1 of {tried} frees it"


def outcome(result: ExperimentResult, classes: int) -> str:
    """How an experiment went, in a few words."""
    if all(run.failure for run in result.runs):
        return "not possible: " + _failure(result.runs)
    learned, runs = runs_that_learn(result.runs, classes), len(result.runs)
    match verdict(result.runs, classes):
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


def fine(case: Diagnosed) -> list[str]:
    """What was looked at and gave no reason to complain, a sentence each."""
    evidence, named = case.evidence, {suspect.cause.name for suspect in case.suspects}
    facts = [] if case.remarks else ["Images: no copies, no contradictory labels, classes of similar size."]
    if evidence is None:
        return facts
    if not {"inputs not scaled", "inputs scaled twice", "constant images"} & named and evidence.input_size > 0:
        facts.append(f"Pixels are scaled: the first layer is given numbers of about {evidence.input_size:.2g}.")
    if not evidence.found:
        facts.append("Output, loss and labels fit together; layers are trained; no static check complains.")
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
    """What there was no time for, and how to give it time."""
    more = values.count(len(case.left_out), "change")
    named = _listed([one.change for one in case.left_out])
    return f"{more} more not tried for lack of time; with a larger --seconds: {named}"
