"""What made the difference between two trials: the path that `search explain` trained, as a report shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.stats.ablation import ROUNDED, Gain, Known, Made, gain_of
from search.stats.ranking import best
from search.study.explanation import (
    Ends,
    Results,
    explain_command,
    explanations,
    last_asked,
    opened,
    results_of,
    saved_trials,
)
from search.study.folder import StudyFolder
from spaces import Value
from storage import StorageError, Store, TrialState


@dataclass(frozen=True)
class Change:
    """A parameter with its values before and after; None where it is not active."""

    name: str
    old: Value | None
    new: Value | None


@dataclass(frozen=True)
class Part:
    """Changes, and what they do to the score."""

    changes: tuple[Change, ...]  # made at once: usually one; several where no single one could be trained
    along: tuple[Change, ...]  # parameters that became active by them, or inactive
    score: float  # with them: mean over the finished folds; NaN if a fold has none
    gain: Gain  # to the point before, on the folds that both have
    folds: int  # finished

    @property
    def names(self) -> tuple[str, ...]:
        """Of the changes."""
        return tuple(change.name for change in self.changes)


@dataclass(frozen=True)
class Explanation:
    """The way from one trial to another. Scores are of the folds of the search."""

    start: int  # trials of the search
    goal: int
    saved: int | None  # the trial of the saved model, of an ensemble the member with the largest weight; None: no model
    ensemble: bool  # whether the saved model is made of several trials
    metric: str
    folds: int  # of each trial
    compared: int  # complete trials of the search
    best: int | None  # of them, the one with the best score; None: there is none
    start_score: float
    goal_score: float
    whole: Gain  # from the start to the goal
    steps: tuple[Part, ...]  # of the path, in order
    rest: Part | None  # what is between its end and the goal, if it is not known yet
    alone: tuple[Part, ...]  # each change alone on the start, best first; as far as it is known
    points: int  # that were trained for it
    failed: int  # of these, those that could not be trained
    trained: int  # fold runs
    seconds: float  # wall time of its sessions
    command: str  # that continues it

    @property
    def differing(self) -> int:
        """How many parameters differ that both trials have."""
        return sum(len(part.changes) for part in (*self.steps, *([self.rest] if self.rest else [])))


def last_explained(store: Store) -> tuple[Explanation | None, tuple[str, ...]]:
    """(The explanation that was asked for last, or None; a sentence on each that cannot be read)."""
    folder, study = StudyFolder(store.path.parent), store.study()
    asked: dict[tuple[int, int], str] = {}
    unread = []
    found = None
    for numbers in explanations(folder):
        try:
            if started := last_asked(folder, study, numbers):
                asked[numbers] = started
        except StorageError:
            unread.append(_unread(folder, numbers))
    for numbers in sorted(asked, key=lambda numbers: (asked[numbers], numbers), reverse=True):
        try:
            found = explained(store, numbers)
            break
        except StorageError:
            unread.append(_unread(folder, numbers))
    return found, tuple(unread)


def _unread(folder: StudyFolder, numbers: tuple[int, int]) -> str:
    file = folder.explanation(*numbers).relative_to(folder.path).as_posix()
    return (
        f"{file} cannot be read, so that explanation is left out; {folder.command('verify')} says why. Remove the "
        "file, and search explain makes it anew."
    )


def explained(store: Store, numbers: tuple[int, int]) -> Explanation | None:
    """The explanation of two trials of the study in `store`.

    None if there is none, or the trials have no results any more. Raises StorageError.
    """
    folder, study = StudyFolder(store.path.parent), store.study()
    by_number = {trial.number: trial for trial in store.trials(curves=False)}
    start, goal = (by_number.get(number) for number in numbers)
    if start is None or goal is None or not (start.folds and goal.folds):
        return None
    compared = sum(trial.state == TrialState.COMPLETE for trial in by_number.values())
    saved, leader = saved_trials(store), best(by_number.values(), study.metric)
    with opened(folder, study, numbers) as own:
        if own is None:
            return None
        trials = own.trials(curves=False)
        return _explanation(
            results_of(store, Ends(start, goal), own),
            numbers,
            saved=saved,
            compared=compared,
            leader=leader.number if leader else None,
            points=len(trials),
            failed=sum(trial.state == TrialState.FAILED for trial in trials),
            trained=sum(len(trial.folds) for trial in trials),
            seconds=own.spent_seconds(),
            command=explain_command(folder, store, numbers),
        )


def _explanation(  # noqa: PLR0913 - what is counted
    results: Results,
    numbers: tuple[int, int],
    *,
    saved: tuple[int, ...],
    compared: int,
    leader: int | None,
    points: int,
    failed: int,
    trained: int,
    seconds: float,
    command: str,
) -> Explanation:
    route, walked = results.route, results.walk()
    nothing, everything = frozenset[str](), frozenset(route.changes)
    steps = tuple(_part(results, step.before, step.after) for step in walked.steps)
    alone = [
        _part(results, nothing, frozenset([name]))
        for name in route.open(nothing)
        if results.at(frozenset([name])).scores
    ]
    return Explanation(
        start=numbers[0],
        goal=numbers[1],
        saved=saved[0] if saved else None,
        ensemble=len(saved) > 1,
        metric=results.study.metric,
        folds=results.folds,
        compared=compared,
        best=leader,
        start_score=_mean(results.at(nothing)),
        goal_score=_mean(results.at(everything)),
        whole=_gain(results, nothing, everything),
        steps=steps,
        rest=_part(results, walked.end, everything) if walked.needed and route.open(walked.end) else None,
        alone=tuple(sorted(alone, key=_by_gain)),
        points=points,
        failed=failed,
        trained=trained,
        seconds=seconds,
        command=command,
    )


def _part(results: Results, before: Made, after: Made) -> Part:
    moved = [Change(name, *values) for name, values in results.route.difference(before, after).items()]
    made = after - before
    known = results.at(after)
    return Part(
        changes=tuple(change for change in moved if change.name in made),
        along=tuple(change for change in moved if change.name not in made),
        score=_mean(known),
        gain=_gain(results, before, after),
        folds=len(known.scores),
    )


def _gain(results: Results, before: Made, after: Made) -> Gain:
    return gain_of(results.at(before), results.at(after), results.study.metric, results.folds, results.images)


def _mean(known: Known) -> float:
    return float(np.mean([*known.scores.values()])) if known.scores else math.nan


def _by_gain(part: Part) -> tuple[bool, float, float, Sequence[str]]:
    """Changes with all folds first, as the race stopped the others for being behind. Of equal ones the surer first."""
    gain, half = part.gain.mean, part.gain.half
    return half is None, -round(gain, ROUNDED) if math.isfinite(gain) else math.inf, half or 0.0, part.names
