"""Which fold runs of a trial are trained side by side, with `--xla`: as many as can be.

The race decides after each fold all the same: they are stored in order, as if they had been trained one by one, and
what was trained after the fold that ended its trial is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile

from search.jobs import BundleJob, Failure, FoldJob

MAX_FAILED = 2  # trials whose fold runs failed side by side, after which all are trained one by one: it is the machine


def together(missing: Iterable[FoldJob], begun: Callable[[FoldJob], bool]) -> tuple[FoldJob, ...]:
    """The first of a trial's missing fold runs, in order, and those that follow it and can be trained beside it. Pure.

    Those with as many training images, since their steps are as large: stratified folds have at most two sizes, the
    larger ones first. A fold run that was `begun` before, and has stored its state, goes on alone.
    """
    jobs = iter(missing)
    if (first := next(jobs, None)) is None:
        return ()
    if begun(first):
        return (first,)
    return (first, *takewhile(lambda job: len(job.train) == len(first.train) and not begun(job), jobs))


@dataclass
class Bundles:
    """What is trained side by side in a session."""

    wanted: bool  # whether anything is
    begun: Callable[[FoldJob], bool] = lambda _: False  # whether a fold run has stored its state
    _alone: set[int] = field(default_factory=set)  # trials whose fold runs are trained one by one
    _failed: int = 0  # trials whose fold runs failed side by side

    def next_of(self, missing: Iterable[FoldJob], has_time: Callable[[int, int], bool]) -> FoldJob | BundleJob | None:
        """The next job of a trial's missing fold runs, in order; None if there are none.

        `has_time`: whether there is time for so many fold runs of the trial of this number.
        """
        jobs = iter(missing)
        first = next(jobs, None)
        if first is None or not self.wanted or first.trial in self._alone:
            return first
        bundle = together((first, *jobs), self.begun)
        return BundleJob(bundle) if len(bundle) > 1 and has_time(first.trial, len(bundle)) else first

    def apart(self, bundle: BundleJob) -> None:
        """Train what the trial lacks one by one."""
        self._alone.add(bundle.folds[0].trial)

    def failed(self, bundle: BundleJob, failure: Failure) -> str:
        """Note that its fold runs have to be tried once more, one by one. Returns that in words."""
        self.apart(bundle)
        self._failed += 1
        self.wanted = self.wanted and self._failed < MAX_FAILED
        what = f"{len(bundle.folds)} folds of trial {bundle.folds[0].trial} side by side"
        them = "they" if self.wanted else "they, and those of all trials from now on,"
        return f"{what}: {failure.cause} ({failure.detail}); {them} are trained one by one"
