"""What workers do now, and what became of them, in words for observers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import overload

from search.executors.base import Doing, Replaced
from search.jobs import (
    BundleJob,
    ComposeJob,
    DescribeJob,
    DiscoverJob,
    FoldJob,
    Job,
    LookJob,
    ReferenceJob,
    RefitJob,
    Step,
    folds_in,
)
from search.results.progress import Activity
from search.session.plan import Plan


class Activities(Sequence[Activity]):
    """What the workers do now, each in words. Folds are counted from 1, as everywhere in words.

    They are asked once somebody looks, and only those that are looked at are put into words: there may be a thousand,
    and a table shows three, a few times a second.
    """

    def __init__(self, doing: Callable[[], Sequence[Doing]], plan: Plan) -> None:
        """`doing`: asks the workers."""
        self._ask, self._plan = doing, plan

    @cached_property
    def _doing(self) -> Sequence[Doing]:
        return self._ask()

    def __len__(self) -> int:
        return len(self._doing)

    @overload
    def __getitem__(self, place: int) -> Activity: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Activity]: ...
    def __getitem__(self, place: int | slice) -> Activity | Sequence[Activity]:
        if isinstance(place, slice):
            part = self._doing[place]
            return Activities(lambda: part, self._plan)
        one = self._doing[place]
        return Activity(_what(one.job, self._plan), _how_far(one.step), importing=one.importing)


def replaced(one: Replaced, plan: Plan) -> str:
    """That a worker was replaced, and why, in one line."""
    return f"a worker {one.how}; a new one does its job once more: {_what(one.job, plan)}"


def unfinished(stored: int, running: Sequence[object]) -> str:
    """What becomes of fold runs that did not end before a stop; empty if all did.

    `stored`: how many have stored their state; `running`: what still runs, of which fold runs begin again.
    """
    cut = sum(len(folds_in(work)) for work in running)
    kept = f"{_runs(stored)} in progress: the state is stored, and the next session goes on from it" if stored else ""
    lost = f"{_runs(cut)} in progress did not end: what was trained since it last stored its state is done again"
    return "; ".join(part for part in (kept, lost if cut else "") if part)


def _runs(number: int) -> str:
    return f"{number} fold run{'s' if number > 1 else ''}"


def _what(job: Job, plan: Plan) -> str:
    match job:
        case DescribeJob():
            what = "describing a model" if job.trial is None else f"describing trial {job.trial}"
        case FoldJob():
            again = " on new folds" if job.repeat else ""
            what = f"{_trial(job, plan)}{again}, {_fold(job.fold, plan)}"
        case BundleJob():
            folds = ", ".join(str(fold.fold + 1) for fold in job.folds)
            what = f"{_trial(job.folds[0], plan)}, folds {folds} of {plan.folds} side by side"
        case ReferenceJob():
            what = f"reference {job.name.replace('_', ' ')}, {_fold(job.fold, plan)}"
        case RefitJob():
            what = f"{_trial(job.fold, plan)} on all images"
        case ComposeJob():
            what = "saving the model"
        case LookJob():
            what = "finding where the model looks"
        case DiscoverJob():
            what = "finding the parameters of your model"
    return what


def _trial(job: FoldJob, plan: Plan) -> str:
    family = job.params.get("family", plan.model)
    return f"trial {job.trial} ({family})" if family else f"trial {job.trial}"


def _fold(fold: int, plan: Plan) -> str:
    return f"fold {fold + 1} of {plan.folds}"


def _how_far(step: Step | None) -> str:
    return "" if step is None else f"{step.what} {step.number} of {step.of}"
