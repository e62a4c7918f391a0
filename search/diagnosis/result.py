"""Whether a network learns, and with which single changes it does. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.diagnosis.evidence import STUCK, UNSURE, Cause, Diagnosis, Evidence, Symptom
from search.diagnosis.experiments import TOPICS, Experiment, topic_of
from search.diagnosis.rules import DEAD, UNEXPLAINED, VAGUE, Plain, causes, clearly_above, known_by_heart, unexplained


class Verdict(StrEnum):
    """The result of all runs of one model."""

    LEARNS = "learns"  # it learns in every run, and generalizes
    SOMETIMES = "sometimes"  # it learns in some runs
    BY_HEART = "by heart"  # it memorizes its training images and does not generalize
    NOTHING_ELSE = "training images only"  # on these it is better than a guess, without memorizing; no better on others
    STUCK = "stuck at chance"  # it learns in no run
    FAILED = "failed"  # it could not be trained


@dataclass(frozen=True)
class Run:
    """One training on the images of all folds but one, validated on that one."""

    fold: int
    images: int  # number of training images
    validated: int  # number of validation images
    training: float  # balanced accuracy on training images in the last epoch; NaN if it is not known
    validation: float  # balanced accuracy on validation images, at the best epoch
    epochs: int
    curve: Mapping[str, tuple[float, ...]]  # per epoch, as in FoldResult
    seconds: float
    diagnosis: Diagnosis | None = None
    evidence: Evidence | None = None
    failure: str | None = None  # why it could not be trained

    def learned(self, classes: int) -> bool:
        """Whether the accuracy on training images is clearly better than guessing."""
        if self.failure is not None or (self.diagnosis is not None and self.diagnosis.collapsed):
            return False
        if math.isfinite(self.training):
            return clearly_above(self.training, classes, self.images)
        return clearly_above(self.validation, classes, self.validated)

    @property
    def by_heart(self) -> bool:
        """Whether the training images are memorized."""
        loss, floor = (self.evidence.loss, self.evidence.floor) if self.evidence else (math.nan, math.nan)
        return known_by_heart(self.training, loss, floor)


@dataclass(frozen=True)
class ExperimentResult:
    """An experiment and its runs."""

    experiment: Experiment
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Suspect:
    """A suspected cause, and the number of experiments about it."""

    cause: Cause
    runs: int  # number of runs with this cause
    freed: int  # experiments about it with which the network learns
    tried: int  # experiments about it
    settings: Mapping[str, object]  # the model's parameters that may be the reason, the most likely first


@dataclass(frozen=True)
class Diagnosed:
    """The diagnosis of one model."""

    images: str  # name of their folder
    model: str  # 'preset question', 'net.py:build'
    point: Mapping[str, object]
    count: int  # images to search
    classes: tuple[str, ...]
    floor: float  # nats: loss of a guess by class shares
    remarks: tuple[str, ...]  # sentences about the images
    runs: tuple[Run, ...]
    tried: tuple[ExperimentResult, ...] = ()
    left_out: tuple[Experiment, ...] = ()  # not tried, for lack of time
    plain: Plain | None = None  # the best plain method on these folds, if one was computed

    @property
    def verdict(self) -> Verdict:
        """The verdict on the unchanged model."""
        return verdict(self.runs, len(self.classes))

    @property
    def fixes(self) -> tuple[ExperimentResult, ...]:
        """Experiments in which the network learns in every run, the best first."""
        fixes = [result for result in self.tried if verdict(result.runs, len(self.classes)) is Verdict.LEARNS]
        return tuple(sorted(fixes, key=lambda result: -mean_validation(result.runs)))

    @property
    def no_fixes(self) -> tuple[ExperimentResult, ...]:
        """The other experiments: first those in which it learns in some runs, then by suspicion."""
        rest = [result for result in self.tried if result not in self.fixes]
        return tuple(sorted(rest, key=lambda result: -runs_that_learn(result.runs, len(self.classes))))

    @property
    def evidence(self) -> Evidence | None:
        """The evidence of the first run that has any."""
        return next((run.evidence for run in self.runs if run.evidence and run.evidence.layers), None)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Suspected causes, the likeliest first, each once; none if the model learns."""
        if self.verdict is Verdict.LEARNS:
            return ()
        suspects = suspected(self.runs, self.plain, len(self.classes))
        return tuple(self._suspect(cause, runs) for cause, runs in suspects)

    def _suspect(self, cause: Cause, runs: int) -> Suspect:
        freed, tried = (sum(_about(result, cause) for result in results) for results in (self.fixes, self.tried))
        about = sorted(
            (name for name in self.point if cause.name in TOPICS[topic_of(name)].cures),
            key=lambda name: list(TOPICS).index(topic_of(name)),
        )
        cleared = self._changed_in(self.tried) - self._changed_in(self.fixes)  # changing these was not enough
        kept = [name for name in about if name not in cleared] or about
        return Suspect(cause, runs, freed, tried, {name: self.point[name] for name in kept})

    def _changed_in(self, results: Sequence[ExperimentResult]) -> set[str]:
        """Names of the parameters for which experiments tried another value."""
        return {
            name
            for result in results
            for name, value in result.experiment.params.items()
            if name in self.point and value != self.point[name]
        }


def _about(result: ExperimentResult, cause: Cause) -> bool:
    return cause.name in TOPICS[result.experiment.topic].cures


def runs_that_learn(runs: Sequence[Run], classes: int) -> int:
    """The number of runs that learned at least their training images."""
    return sum(run.learned(classes) for run in runs)


def mean_validation(runs: Sequence[Run]) -> float:
    """Mean balanced accuracy on validation images; NaN if no run could be trained."""
    known = [run.validation for run in runs if run.failure is None]
    return math.fsum(known) / len(known) if known else math.nan


def verdict(runs: Sequence[Run], classes: int) -> Verdict:
    """By the rule `clearly_above`: for training images per run, for validation images over all runs together.

    For the few validation images of a single fold the rule would be too strict.
    """
    if all(run.failure is not None for run in runs):
        return Verdict.FAILED
    learned = runs_that_learn(runs, classes)
    if not learned:
        return Verdict.STUCK
    if not clearly_above(mean_validation(runs), classes, sum(run.validated for run in runs)):
        if learned < len(runs):
            return Verdict.SOMETIMES
        return Verdict.BY_HEART if all(run.by_heart for run in runs) else Verdict.NOTHING_ELSE
    return Verdict.LEARNS if learned == len(runs) else Verdict.SOMETIMES


def suspected(runs: Sequence[Run], plain: Plain | None = None, classes: int = 0) -> list[tuple[Cause, int]]:
    """(cause with its strongest evidence, number of runs with it), the likeliest first.

    Runs at chance that were not stopped count too. Consequences come after their causes, and "no known cause" is left
    out if there is another. `plain`: as in `Diagnosed`.
    """
    by_name: dict[str, list[Cause]] = {}
    for run in runs:
        for cause in _causes_in(run, plain, classes):
            by_name.setdefault(cause.name, []).append(cause)
    strongest = [(max(same, key=lambda cause: cause.strength), len(same)) for same in by_name.values()]
    last = _consequences(runs)
    ordered = sorted(strongest, key=lambda pair: (pair[0].name in last, -pair[0].strength * pair[1]))
    known = [pair for pair in ordered if pair[0].strength > VAGUE]
    return known or ordered[:2]


def _consequences(runs: Sequence[Run]) -> set[str]:
    """Names of causes that may be consequences of others. Units that are dead from the start are no consequence."""
    layers = [layer for run in runs if run.evidence for layer in run.evidence.layers]
    from_the_start = any((layer.dead_at_start or 0.0) >= DEAD for layer in layers)
    return {"gradients vanish", *(() if from_the_start else ("dead ReLU",))}


def _causes_in(run: Run, plain: Plain | None, classes: int) -> tuple[Cause, ...]:
    if run.diagnosis is not None:
        symptom, suspects = run.diagnosis.symptom, run.diagnosis.causes
    elif run.evidence is not None:
        generalizes = clearly_above(run.validation, classes, run.validated)
        symptom = Symptom(UNSURE if run.learned(classes) and not generalizes else STUCK, ())
        suspects = causes(symptom, run.evidence, run.curve.get("loss", ()))
    else:
        return ()
    if plain is None:
        return suspects
    informed = unexplained(symptom.name, plain, classes)
    return tuple(informed if cause.name in UNEXPLAINED else cause for cause in suspects)
