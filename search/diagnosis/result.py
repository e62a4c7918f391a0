"""Whether a network learns, and what of its single changes frees it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.diagnosis.evidence import STUCK, UNSURE, Cause, Diagnosis, Evidence, Symptom
from search.diagnosis.experiments import TOPICS, Experiment, topic_of
from search.diagnosis.rules import DEAD, UNEXPLAINED, VAGUE, Plain, causes, clearly_above, known_by_heart, unexplained


class Verdict(StrEnum):
    """Of the runs of one model."""

    LEARNS = "learns"  # in every run, and what it learned holds for other images
    SOMETIMES = "sometimes"  # in some runs
    BY_HEART = "by heart"  # it knows its training images, and no others
    NOTHING_ELSE = "training images only"  # it is better than a guess on those, without knowing them, and on no others
    STUCK = "stuck at chance"  # in no run
    FAILED = "failed"  # it could not be trained


@dataclass(frozen=True)
class Run:
    """One training on the images of all folds but one, judged on that one."""

    fold: int
    images: int  # for training
    validated: int  # images for validation
    training: float  # balanced accuracy on training images in the last epoch; NaN where that is not known
    validation: float  # balanced accuracy on the others, of the epoch that counts
    epochs: int
    curve: Mapping[str, tuple[float, ...]]  # per epoch, as in FoldResult
    seconds: float
    diagnosis: Diagnosis | None = None
    evidence: Evidence | None = None
    failure: str | None = None  # why there is none of this

    def learned(self, classes: int) -> bool:
        """Whether training images are told apart clearly better than by guessing."""
        if self.failure is not None or (self.diagnosis is not None and self.diagnosis.collapsed):
            return False
        if math.isfinite(self.training):
            return clearly_above(self.training, classes, self.images)
        return clearly_above(self.validation, classes, self.validated)

    @property
    def by_heart(self) -> bool:
        """Whether training images are known one by one."""
        loss, floor = (self.evidence.loss, self.evidence.floor) if self.evidence else (math.nan, math.nan)
        return known_by_heart(self.training, loss, floor)


@dataclass(frozen=True)
class ExperimentResult:
    """An experiment and how it went."""

    experiment: Experiment
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Suspect:
    """A cause that the evidence speaks for, and what the experiments say to it."""

    cause: Cause
    runs: int  # in which it was found
    freed: int  # experiments about it that free the network
    tried: int  # experiments about it
    settings: Mapping[str, object]  # of the model's parameters, those that it may come from, the most telling first


@dataclass(frozen=True)
class Diagnosed:
    """All that was found out about one model."""

    images: str  # name of their folder
    model: str  # 'preset question', 'net.py:build'
    point: Mapping[str, object]
    count: int  # images to search
    classes: tuple[str, ...]
    floor: float  # nats: loss of a guess by class shares
    remarks: tuple[str, ...]  # of the look at the images, sentences
    runs: tuple[Run, ...]
    tried: tuple[ExperimentResult, ...] = ()
    left_out: tuple[Experiment, ...] = ()  # for which there was no time
    plain: Plain | None = None  # the best plain method on these folds, where it was asked

    @property
    def verdict(self) -> Verdict:
        """Of the model as it is."""
        return verdict(self.runs, len(self.classes))

    @property
    def fixes(self) -> tuple[ExperimentResult, ...]:
        """Experiments in which the network learns in every run, the best first."""
        freeing = [one for one in self.tried if verdict(one.runs, len(self.classes)) is Verdict.LEARNS]
        return tuple(sorted(freeing, key=lambda one: -mean_validation(one.runs)))

    @property
    def no_fixes(self) -> tuple[ExperimentResult, ...]:
        """The other experiments: those that free it in some runs first, then by suspicion."""
        rest = [one for one in self.tried if one not in self.fixes]
        return tuple(sorted(rest, key=lambda one: -runs_that_learn(one.runs, len(self.classes))))

    @property
    def evidence(self) -> Evidence | None:
        """Of the first run that has any."""
        return next((run.evidence for run in self.runs if run.evidence and run.evidence.layers), None)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Causes of not learning, the likeliest first, each once; none where it learns."""
        if self.verdict is Verdict.LEARNS:
            return ()
        suspects = suspected(self.runs, self.plain, len(self.classes))
        return tuple(self._suspect(cause, runs) for cause, runs in suspects)

    def _suspect(self, cause: Cause, runs: int) -> Suspect:
        freed, tried = (sum(_about(one, cause) for one in these) for these in (self.fixes, self.tried))
        about = sorted(
            (name for name in self.point if cause.name in TOPICS[topic_of(name)].cures),
            key=lambda name: list(TOPICS).index(topic_of(name)),
        )
        cleared = self._changed_in(self.tried) - self._changed_in(self.fixes)  # where another does free it
        kept = [name for name in about if name not in cleared] or about
        return Suspect(cause, runs, freed, tried, {name: self.point[name] for name in kept})

    def _changed_in(self, these: Sequence[ExperimentResult]) -> set[str]:
        """Names of the parameters of which experiments tried another value."""
        return {
            name
            for one in these
            for name, value in one.experiment.params.items()
            if name in self.point and value != self.point[name]
        }


def _about(one: ExperimentResult, cause: Cause) -> bool:
    return cause.name in TOPICS[one.experiment.topic].cures


def runs_that_learn(runs: Sequence[Run], classes: int) -> int:
    """In how many runs training images are told apart."""
    return sum(run.learned(classes) for run in runs)


def mean_validation(runs: Sequence[Run]) -> float:
    """Mean balanced accuracy on images that a run was not trained on; NaN without any."""
    known = [run.validation for run in runs if run.failure is None]
    return math.fsum(known) / len(known) if known else math.nan


def verdict(runs: Sequence[Run], classes: int) -> Verdict:
    """By the project's rule `clearly_above`: each run on its training images, all together on the others.

    Of a single fold's few validation images the rule would ask too much.
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
    """(cause with its strongest evidence, runs in which it was found), the likeliest first.

    A run that is at chance without having been stopped for it counts too. What follows from other causes comes after
    them, and the cause that stands for knowing nothing is left out where there is another. `plain`: as of `Diagnosed`.
    """
    found: dict[str, list[Cause]] = {}
    for run in runs:
        for cause in _causes_in(run, plain, classes):
            found.setdefault(cause.name, []).append(cause)
    strongest = [(max(of_one, key=lambda cause: cause.strength), len(of_one)) for of_one in found.values()]
    last = _consequences(runs)
    ordered = sorted(strongest, key=lambda pair: (pair[0].name in last, -pair[0].strength * pair[1]))
    worth = [pair for pair in ordered if pair[0].strength > VAGUE]
    return worth or ordered[:2]


def _consequences(runs: Sequence[Run]) -> set[str]:
    """Causes that others bring about in time; units that are dead from the start are none of them."""
    layers = [layer for run in runs if run.evidence for layer in run.evidence.layers]
    from_the_start = any((layer.dead_at_start or 0.0) >= DEAD for layer in layers)
    return {"gradients vanish", *(() if from_the_start else ("dead ReLU",))}


def _causes_in(run: Run, plain: Plain | None, classes: int) -> tuple[Cause, ...]:
    if run.diagnosis is not None:
        symptom, found = run.diagnosis.symptom, run.diagnosis.causes
    elif run.evidence is not None:
        held = clearly_above(run.validation, classes, run.validated)
        symptom = Symptom(UNSURE if run.learned(classes) and not held else STUCK, ())
        found = causes(symptom, run.evidence, run.curve.get("loss", ()))
    else:
        return ()
    if plain is None:
        return found
    return tuple(unexplained(symptom.name, plain, classes) if one.name in UNEXPLAINED else one for one in found)
