"""From stored records to the summary that a report shows. All computation is here; views only show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.rules import PLAIN_WORDS, Plain
from search.results.backbones import BackboneRow, backbone_rows
from search.results.calibrated import Calibrated, calibrated
from search.results.confusions import confusions
from search.results.expected import expected, expected_best, gain_of_another_hour, several, worth_finishing
from search.results.explained import Explanation
from search.results.failures import Cause, Diagnosed, causes, diagnosed
from search.results.labels import SuspectLabel, suspect_labels
from search.results.more_pictures import MorePictures, more_pictures
from search.results.nested import Nested
from search.results.shipped import OutOfFold, Telling, out_of_fold, telling
from search.results.siblings import NamedSiblings, named_siblings
from search.results.spent import Part, spent
from search.results.stored import StoredStudy
from search.stats.estimate import Estimate, beats
from search.stats.metrics import METRICS, better, confusion, scores
from search.stats.racing import RaceSavings, saved
from search.stats.ranking import SECOND_OBJECTIVES, pareto_front, ranked
from search.stats.ranking import best as best_of
from search.stats.selection import interval, tied, ties
from spaces import Space, SpaceError
from storage.records import (
    Origin,
    Params,
    ReferenceRecord,
    RunRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
)

REFERENCE_WORDS = {"majority": "majority class", **PLAIN_WORDS}
FROM_FOLDER, DRAWN = "testing folder", "lock-box"
"""Where testing images come from: from the user, or drawn from all images before the search."""

RUNGS = "Rungs of hyperband are trained anew, not continued: a point that rises begins again, with more epochs."


@dataclass(frozen=True)
class TrialRow:
    """One trial as a line of the leaderboard. Scores are of repeat 0, the search itself."""

    number: int
    rank: int | None  # 1 is best; None unless complete with a finite score
    state: TrialState
    cause: str | None
    detail: str | None
    origin: Origin
    params: Params
    changed: Params  # its active parameters that differ from trial 0's, in the order of the space
    score: float | None  # mean over the finished folds; None before the first, or if it is not finite
    spread: float | None  # sample standard deviation over folds; None with fewer than two
    low: float | None  # worst and
    high: float | None  # best of the fold scores, as numbers
    fold_scores: tuple[float, ...]  # in fold order; may hold NaN
    epochs: tuple[int, ...]
    best_epochs: tuple[int, ...]
    parameters: int | None
    seconds: float
    latency: float | None = None  # milliseconds per image to predict; None if it was not measured
    pareto: bool = False  # whether it is on the Pareto front of two objectives; False with one objective


@dataclass(frozen=True)
class ReferenceRow:
    """A plain method on the folds of the search, as a line of the leaderboard. It is not a trial and has no rank."""

    name: str
    score: float | None  # mean over the folds; None unless all folds are known and finite
    spread: float | None  # sample standard deviation over folds; and
    low: float | None  # worst and
    high: float | None  # best of the fold scores, as numbers; all None if the score is None
    fold_scores: tuple[float, ...]  # in fold order; may hold NaN
    seconds: float

    @property
    def label(self) -> str:
        """Its name for people."""
        return REFERENCE_WORDS.get(self.name, self.name)


@dataclass(frozen=True)
class Pooled:
    """What the saved model says of images that its networks did not train on, all folds together; see `out_of_fold`."""

    members: tuple[tuple[int, float], ...]  # the (trial, weight) that these predictions are of
    confusion: NDArray[np.int64]  # [classes, classes]: true class in rows
    metrics: Mapping[str, float]  # all of METRICS
    images: int
    folds: int  # number of folds with predictions


@dataclass(frozen=True)
class Tested:
    """The score of the choice on the testing images, with a 95 % interval."""

    value: float
    low: float
    high: float
    images: int  # fewer than the testing images where there was no time for all: drawn from each class at random
    times: int  # how many choices they were used for; after the first, the score is no longer unbiased
    source: str = FROM_FOLDER


@dataclass(frozen=True)
class Chosen:
    """The choice, trained again and saved as a model."""

    trial: int
    members: tuple[tuple[int, float], ...]  # (trial, weight) of each model
    current: bool  # whether it was chosen from all trials that are stored now
    outdated: bool  # whether its file was made by an earlier release
    made: str  # when
    test: Tested | None  # None without testing images
    left_out: int = 0  # of the members' networks, how many were trained without a fold
    judged: int = 0  # folds that all its members have
    leader: int | None = None  # the trial with the best expectation; it is another one if that is dearer
    missing: bool = False  # whether its file is not there, as after a copy from a server
    loss: float = 0.0  # how much worse than the leader a single chosen trial is expected to be, in the metric

    @property
    def together(self) -> bool:
        """Whether it is an ensemble of several trials."""
        return several(self.members)

    @property
    def in_folds(self) -> bool:
        """Whether it consists of models of several folds of one trial."""
        return len(self.members) > 1 and not self.together


@dataclass(frozen=True)
class StudySummary:
    """All that a report shows of a study."""

    study: StudyRecord
    preset: str
    engine: str
    sampler: str
    folds: int
    images: int  # including testing images
    class_counts: tuple[int, ...]  # images in the folds, by class
    testing_images: int
    majority: float  # share of the largest class among the images in the folds
    chance: float  # the metric of a guess that ignores the images
    rows: tuple[TrialRow, ...]  # best first
    counts: Mapping[TrialState, int]  # of every state
    best: TrialRow | None
    baseline: TrialRow | None  # trial 0
    causes: tuple[Cause, ...]  # failures first, most frequent first
    pooled: Pooled | None
    spent_seconds: float  # wall time of all sessions
    trained_seconds: float  # fold runs, added up
    versions: Mapping[str, str]  # of the last session
    commands: tuple[str, ...]  # as typed, without repetitions, oldest first
    runs: tuple[RunRecord, ...]
    trials: tuple[TrialRecord, ...]  # in order of number, for curves, layers and plots
    saved: RaceSavings  # by the race
    second_objective: str | None = None  # 'parameters' or 'latency', if the study minimises one of them
    searching: bool = False  # whether a process holds the study, so that open trials are running, not unfinished
    has_settings: bool = True  # whether there is a study.toml
    notes: tuple[str, ...] = ()
    references: tuple[ReferenceRow, ...] = ()  # best first, those without a score last
    estimate: Estimate | None = None  # of the choice, or of the trial that would be chosen, on new images
    gain_of_another_hour: float | None = None  # by how much the result is expected to be better; None: unknown
    worth_finishing: int | None = None  # a trial without all its folds that may be the best
    ties: tuple[int, ...] = ()  # the leader, and the trials that are not clearly worse
    chosen: Chosen | None = None
    diagnoses: tuple[Diagnosed, ...] = ()  # in order of trial
    nested: Nested | None = None  # of the whole procedure, with `--nested`
    backbones: tuple[BackboneRow, ...] = ()  # best first; empty unless there are two to compare
    siblings: NamedSiblings | None = None  # pictures that may show one thing, by their names
    telling: Telling = field(default_factory=Telling)  # images that the saved model mistakes, or is least sure of
    suspects: tuple[SuspectLabel, ...] = ()  # labels in doubt, most suspect first
    explanation: Explanation | None = None  # what made the difference between two trials, if it was asked for
    confusions: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)  # of the best trials, see `confusions`
    spent: tuple[Part, ...] = ()  # where the time went
    more: MorePictures | None = None  # whether more pictures would help
    calibrated: Calibrated | None = None  # how far one can believe the probabilities of the saved model
    pictures: tuple[Path, ...] = ()  # as typed in the study's folder; empty: unknown, or their paths do not say it all

    @property
    def metric(self) -> str:
        """The metric that trials are ranked by."""
        return self.study.metric

    @property
    def compared(self) -> int:
        """The number of trials with a rank, of which the best is one."""
        return sum(row.rank is not None for row in self.rows)

    def trial(self, number: int) -> TrialRecord:
        """The record of one trial."""
        if number < len(self.trials) and self.trials[number].number == number:  # so unless trials are missing
            return self.trials[number]
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def drawn(self) -> bool:
        """Whether the testing images were drawn from all images, not given by the user."""
        return bool(self.testing_images) and testing_from(self.study) == DRAWN

    @property
    def searched_images(self) -> int:
        """The number of images in the folds, without testing images."""
        return sum(self.class_counts)

    def near_chance(self, row: TrialRow) -> bool:
        """Whether a score is not clearly better than guessing. For the best trial, the estimate must be better too."""
        unbiased = self._estimate_of(row)
        return (unbiased is not None and not beats(unbiased, self.chance)) or self.not_clearly_better(row, self.chance)

    def not_clearly_better(self, row: TrialRow, level: float) -> bool:
        """Whether a score is less than two standard errors better than `level`, another score of the metric.

        The error is that over the folds, but at least `Metric.error` for the number of images: five folds that all have
        0.52 do not prove that the trial is better than chance, 0.50. The estimated optimism of the best score is
        subtracted first.
        """
        if row.score is None:
            return False
        unbiased = self._estimate_of(row)
        ahead = self.ahead(row.score, level) - (max(unbiased.optimism, 0.0) if unbiased else 0.0)
        return ahead <= 0 or ahead < 2 * self._error(row, level)

    def clearly_worse(self, row: TrialRow, level: float) -> bool:
        """Whether a score is at least two standard errors, see `not_clearly_better`, worse than `level`."""
        if row.score is None or (ahead := self.ahead(row.score, level)) >= 0:
            return False
        return ahead <= -2 * max(self._error(row, level), self._error(row, row.score))  # at level 1 there is no error

    def _error(self, row: TrialRow, level: float) -> float:
        """The standard error of a score, at least that of `level` for the number of images."""
        error = (row.spread or 0.0) / math.sqrt(max(len(row.fold_scores), 1))
        return max(error, METRICS[self.metric].error(level, sum(self.class_counts)))

    def _estimate_of(self, row: TrialRow) -> Estimate | None:
        """The estimate if `row` has the best score. Other scores have no selection bias."""
        return self.estimate if self.best and row.number == self.best.number else None

    def ahead(self, score: float, level: float) -> float:
        """By how much a score is better than `level`; negative if it is worse."""
        return METRICS[self.metric].gain(score - level)

    def with_references(self, rows: Sequence[TrialRow]) -> list[TrialRow | ReferenceRow]:
        """`rows`, the first of the leaderboard, with each reference after the rows that are as good or better."""
        merged: list[TrialRow | ReferenceRow] = list(rows)
        for reference in self.references:
            if reference.score is not None:
                place = sum(self._as_good(row, reference.score) for row in merged)
                merged.insert(place, reference)
        return merged

    def _as_good(self, row: TrialRow | ReferenceRow, score: float) -> bool:
        unranked = isinstance(row, TrialRow) and row.rank is None
        return not unranked and row.score is not None and self.ahead(row.score, score) >= 0

    def folds_won(self, row: TrialRow, other: TrialRow) -> int | None:
        """The number of folds on which `row` is better than `other`; None if they do not have the same folds."""
        if len(row.fold_scores) != len(other.fold_scores):
            return None
        pairs = zip(row.fold_scores, other.fold_scores, strict=True)
        return sum(better(self.metric, a, b) for a, b in pairs)

    def tied(self, row: TrialRow, other: TrialRow) -> bool:
        """Whether neither of two trials with the same folds is clearly worse; see `selection.tied`."""
        if len(row.fold_scores) != len(other.fold_scores):
            return False
        a, b, images = self.trial(row.number), self.trial(other.number), self.searched_images
        return tied(a, b, self.metric, images) and tied(b, a, self.metric, images)


def summarise(stored: StoredStudy) -> StudySummary:
    """Compute the summary of a study."""
    study, config, assignment = stored.study, stored.study.config, stored.split.assignment
    trials = tuple(sorted(stored.trials, key=lambda trial: trial.number))
    winner = best_of(trials, study.metric)
    baseline = next((trial for trial in trials if trial.number == 0), None)
    second = config.get("second_objective")
    second = second if second in SECOND_OBJECTIVES else None
    front = pareto_front(trials, study.metric, second) if second else frozenset()
    ordered = ranked(trials, study.metric)
    rows = _rows(ordered, study, baseline.params if baseline else {}, front)
    by_number = {row.number: row for row in rows}
    labels, searched, classes = stored.labels, int((assignment >= 0).sum()), len(study.classes)
    counted = np.bincount(labels[assignment >= 0] if len(labels) else labels, minlength=classes)
    folds = _folds(config.get("folds"), assignment)
    plain = _plain(stored.references, folds, searched)
    predictions, estimate = out_of_fold(stored), expected(stored)
    chance = METRICS[study.metric].chance(counted)
    learned = estimate is None or beats(estimate, chance)
    return StudySummary(
        study=study,
        preset=str(config.get("preset", "")),
        engine=str(config.get("engine", "")),
        sampler=str(config.get("sampler", "")),
        folds=folds,
        images=len(stored.images),
        class_counts=tuple(int(n) for n in counted),
        testing_images=sum(image.testing for image in stored.images),
        majority=float(counted.max() / counted.sum()) if counted.sum() else float("nan"),
        chance=chance,
        rows=rows,
        counts={state: sum(trial.state == state for trial in trials) for state in TrialState},
        best=by_number[winner.number] if winner else None,
        baseline=by_number.get(0),
        causes=causes(trials),
        pooled=_pooled(predictions, classes),
        spent_seconds=float(sum(run.seconds for run in stored.runs)),
        trained_seconds=float(sum(trial.seconds for trial in trials)),
        versions=dict(stored.runs[-1].versions) if stored.runs else {},
        commands=tuple(dict.fromkeys(run.command for run in stored.runs)),
        runs=stored.runs,
        trials=trials,
        searching=stored.searching,
        has_settings=stored.has_settings,
        second_objective=second,
        notes=(*study.notes, *stored.notes, *([RUNGS] if config.get("sampler") == "hyperband" else [])),
        references=_references(stored.references, study.metric, folds),
        estimate=estimate,
        gain_of_another_hour=gain_of_another_hour(stored),
        worth_finishing=worth_finishing(stored),
        ties=ties(trials, study.metric, searched),
        chosen=_chosen(stored),
        diagnoses=tuple(why for trial in trials if (why := diagnosed(trial, plain, classes))),
        saved=saved(trials, folds),
        nested=stored.nested,
        explanation=stored.explanation,
        backbones=backbone_rows(str(config.get("preset", "")), ordered, study.metric),
        siblings=named_siblings(stored),
        telling=telling(stored, predictions),
        suspects=suspect_labels(stored, predictions) if learned else (),
        confusions=confusions(stored, ordered),
        spent=spent(stored),
        more=more_pictures(stored, folds),
        calibrated=calibrated(stored, predictions),
    )


def _chosen(stored: StoredStudy) -> Chosen | None:
    last = stored.choice
    if last is None:
        return None
    tested = None
    if last.probabilities is not None:
        labels, seen = stored.labels[np.array([image.testing for image in stored.images])], last.tested
        bounds = interval(last.probabilities[seen], labels[seen], stored.study.metric)
        times = sum(choice.probabilities is not None for choice in stored.choices)
        tested = Tested(*bounds, int(seen.sum()), times, testing_from(stored.study))
    current = last.folds == sum(len(trial.folds) for trial in stored.trials)
    members = {number for number, _ in last.members}
    folds = [{f.fold for f in trial.folds if f.repeat == 0} for trial in stored.trials if trial.number in members]
    leader, losses = expected_best(stored) or (None, {})
    return Chosen(
        trial=last.trial,
        members=last.members,
        current=current,
        outdated=stored.outdated,
        missing=stored.missing,
        made=last.made,
        test=tested,
        left_out=sum(fold is not None for fold in last.left_out),
        judged=len(set.intersection(*folds)) if folds else 0,
        leader=leader,
        loss=losses.get(last.trial, 0.0),
    )


def testing_from(study: StudyRecord) -> str:
    """Where the testing images of a study come from: FROM_FOLDER or DRAWN."""
    return DRAWN if study.config.get("lock_box") else FROM_FOLDER


def finite(value: float | None) -> float | None:
    """`value` if it is a finite number, else None."""
    return value if value is not None and math.isfinite(value) else None


def _rows(
    ordered: Sequence[TrialRecord], study: StudyRecord, baseline: Params, front: frozenset[int]
) -> tuple[TrialRow, ...]:
    metric, defaults = study.metric, _defaults(study)
    rows: list[TrialRow] = []
    for place, trial in enumerate(ordered, start=1):
        folds = [fold for fold in trial.folds if fold.repeat == 0]
        fold_scores = trial.scores(metric)
        known = [score for score in fold_scores if math.isfinite(score)]
        score = finite(trial.score(metric))
        has_spread = score is not None and len(known) > 1
        rows.append(
            TrialRow(
                number=trial.number,
                # complete trials come first in the ranking, finite scores before NaN: the place is the rank
                rank=place if trial.state == TrialState.COMPLETE and score is not None else None,
                state=trial.state,
                cause=trial.cause,
                detail=trial.detail,
                origin=trial.origin,
                params=dict(trial.params),
                changed=changed_from(baseline, trial.params, defaults),
                score=score,
                spread=float(np.std(known, ddof=1)) if has_spread else None,
                low=min(known, default=None),
                high=max(known, default=None),
                fold_scores=fold_scores,
                epochs=tuple(fold.epochs for fold in folds),
                best_epochs=tuple(fold.best_epoch for fold in folds),
                parameters=trial.parameters,
                seconds=trial.seconds,
                latency=trial.latency,
                pareto=trial.number in front,
            )
        )
    return tuple(rows)


def _references(records: Sequence[ReferenceRecord], metric: str, folds: int) -> tuple[ReferenceRow, ...]:
    by_name: dict[str, list[ReferenceRecord]] = {}
    for record in sorted(records, key=lambda record: record.fold):
        by_name.setdefault(record.name, []).append(record)
    rows = []
    for name, of_name in sorted(by_name.items()):
        scores_ = tuple(record.scores.get(metric, math.nan) for record in of_name)
        complete = [record.fold for record in of_name] == list(range(folds)) and all(map(math.isfinite, scores_))
        rows.append(
            ReferenceRow(
                name=name,
                score=float(np.mean(scores_)) if complete else None,
                spread=float(np.std(scores_, ddof=1)) if complete and folds > 1 else None,
                low=min(scores_) if complete else None,
                high=max(scores_) if complete else None,
                fold_scores=scores_,
                seconds=float(sum(record.seconds for record in of_name)),
            )
        )
    gain = METRICS[metric].gain
    return tuple(sorted(rows, key=lambda row: math.inf if row.score is None else -gain(row.score)))


def _plain(records: Sequence[ReferenceRecord], folds: int, images: int) -> Plain | None:
    """The reference with the best balanced accuracy, of those with all folds and without the majority class."""
    rows = [row for row in _references(records, "balanced_accuracy", folds) if row.name != "majority"]
    known = [Plain(row.label, row.score, images) for row in rows if row.score is not None]
    return max(known, key=lambda plain: plain.accuracy, default=None)


def changed_from(baseline: Params, params: Params, defaults: Params) -> dict[str, Any]:
    """The active parameters of a point that differ from the baseline, or from their default if the baseline lacks them.

    `defaults`: of all parameters of the space, by name. A parameter that became active with another one (a family has
    many) and has its default is no change.
    """
    usual = {**defaults, **baseline}
    return {
        name: value
        for name, value in params.items()
        if name not in usual or (type(usual[name]), usual[name]) != (type(value), value)
    }


def _defaults(study: StudyRecord) -> Params:
    try:
        return {p.name: p.default for p in Space.from_json(study.space).parameters}
    except SpaceError:  # the rest of the database can still be shown
        return {}


def _pooled(predictions: OutOfFold | None, classes: int) -> Pooled | None:
    if predictions is None:
        return None
    return Pooled(
        members=predictions.members,
        confusion=confusion(predictions.labels, predictions.probabilities.argmax(axis=1), classes),
        metrics=scores(predictions.labels, predictions.probabilities),
        images=len(predictions.labels),
        folds=predictions.folds,
    )


def _folds(asked: object, assignment: NDArray[np.int16]) -> int:
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked
    return int(assignment.max(initial=-1)) + 1
