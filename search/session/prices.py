"""What a fold run costs before it is trained, and which trials are worth beginning in the time that is left.

The arithmetic of the network is known from its description. How fast this machine does it is known from the fold runs
so far; before the first one of a family it is assumed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from search.jobs import Description
from storage.records import TrialRecord, TrialState

SPEED = 1e10  # multiplications a second of one thread, until this machine's are known
FIRST = 6.0  # seconds more of a trained network's first fold run: its graphs are traced
FIRST_HEAD = 1.5  # the same of a network on features: 2.5 to 3.2 s where other fold runs took twice the assumed time
BUILDING = 1.5  # seconds to build a pre-trained network that is trained on, for all folds of a trial
USEFUL_FOLDS = 2  # a trial that cannot have so many folds, or all, in the time that is left is not begun
COMPUTES = 0.5  # seconds, assumed, from which a fold run tells something about speed
MAX_FACTOR = 8.0  # between assumed and measured seconds; more is an accident, such as a machine that slept


@dataclass
class Prices:
    """Expected seconds of fold runs. It learns from those that end."""

    train: int  # images of a fold run, and
    validate: int  # images that it predicts after each epoch
    slots: int = 1  # fold runs at a time
    _described: dict[int, tuple[str, float, float]] = field(default_factory=dict)  # family, seconds once, each time
    _macs: dict[int, float] = field(default_factory=dict)  # multiplications of a prediction, all views
    _factors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # measured / assumed
    _short: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, where COMPUTES is more
    _passed: set[str] = field(default_factory=set)  # views whose features are computed already, or being computed
    _views: dict[int, tuple[str, ...]] = field(default_factory=dict)  # of a described trial
    _computed: set[str] = field(default_factory=set)  # views that a whole fold run has used

    def describe(self, number: int, family: str, description: Description, epochs: int, *, trains: bool = True) -> None:
        """Note a trial's description before its first fold. `epochs`: the most of a fold run.

        `trains`: whether a network is trained, rather than a head fitted at once.
        """
        views, trained = max(1, len(description.views)), description.training_macs > 0
        new = sum(view not in self._passed for view in description.views)
        tracing = FIRST if trained else FIRST_HEAD if trains else 0.0
        building = BUILDING if trained and description.pretrained else 0.0
        once = (self.train + self.validate) * new * description.macs / SPEED + tracing + building
        epoch = self.train * description.training_macs + self.validate * views * description.macs
        self._described[number] = family, once, trained * epochs * epoch / SPEED
        self._macs[number], self._views[number] = description.macs * views, tuple(description.views)

    def begun(self, description: Description) -> None:
        """Its features will be at hand for other trials."""
        self._passed |= set(description.views)

    def has_features(self, views: Iterable[str]) -> bool:
        """Whether the features of these views are at hand."""
        return self._computed.issuperset(views)

    def note(self, trial: TrialRecord, seconds: float) -> None:
        """Learn from a fold run of `trial`, given without it."""
        known = self._described.get(trial.number)
        if known is None:
            return
        self._computed |= set(self._views[trial.number])
        family, once, each = known
        assumed = each + (0.0 if trial.folds else once)
        if assumed > COMPUTES:  # shorter ones tell nothing about speed
            self._factors[family].append(float(np.clip(seconds / assumed, 1 / MAX_FACTOR, MAX_FACTOR)))
        else:
            self._short[family].append(seconds)

    def recall(self, trial: TrialRecord) -> None:
        """Learn from the stored fold runs of a trial that was described.

        Not from the first one: whether its features were at hand then is not known any more.
        """
        folds = tuple(fold for fold in trial.folds if fold.repeat == 0)
        self._computed |= set(self._views[trial.number]) if folds else set()
        for done in range(1, len(folds)):
            self.note(replace(trial, folds=folds[:done]), folds[done].seconds)

    def fold(self, trial: TrialRecord) -> float:
        """Expected seconds of the next fold run of a trial; 0 if nothing is known of it."""
        own, described = seconds_of_next(trial, self.slots), trial.number in self._described
        if own is None:
            return self.folds(trial.number, 1) if described else 0.0
        if len(_of_search(trial)) > self.slots or not described:
            return own
        family, once, each = self._described[trial.number]  # each of them also did what is done once
        return min(own, max(own * each / (once + each) if once + each else own, self._least(family)))

    def folds(self, number: int, folds: int) -> float:
        """Expected seconds of the first `folds` fold runs of a trial that was described, one after another.

        None takes less than those of the family that hardly compute, such as the fit of a head.
        """
        family, once, each = self._described[number]
        factor = self._factor(family)
        return once * factor + folds * max(each * factor, self._least(family))

    @property
    def slowness(self) -> float:
        """Measured seconds by assumed ones, of all fold runs: above 1 on a slow or busy machine."""
        return self._factor("")

    def has_backbone(self, number: int) -> bool:
        """Whether a trial's head is trained on features: for the model a pre-trained network is built and saved."""
        return bool(self._views.get(number))

    def predicting(self, number: int) -> float:
        """Expected seconds to predict one image with a trial's model; 0 if nothing is known of it."""
        return self._macs.get(number, 0.0) / SPEED

    def _least(self, family: str) -> float:
        """Seconds of fold runs of the family that hardly compute; 0 before the first."""
        short = self._short.get(family)
        return float(np.median(short)) if short else 0.0

    def _factor(self, family: str) -> float:
        """Measured seconds by assumed ones: of the family, else of all fold runs, which tell the machine's speed."""
        known = self._factors.get(family) or [factor for factors in self._factors.values() for factor in factors]
        return float(np.median(known)) if known else 1.0


def seconds_of_next(trial: TrialRecord, slots: int) -> float | None:
    """Expected seconds of the next fold run of a trial, by its own; None before the first.

    Without the first in each of the `slots`, which also traced graphs or waited for features, if there are others.
    """
    own = _of_search(trial)
    return float(np.median(own[slots:] or own)) if own else None


def quickest(trials: Sequence[TrialRecord], folds: int, slots: int) -> float | None:
    """Seconds in which one more trial like the quickest so far would have USEFUL_FOLDS of its `folds`, or all.

    None before a trial has so many. `slots`: fold runs at a time. Trials that failed or collapsed are left out, because
    they were stopped early.
    """
    least = min(USEFUL_FOLDS, folds)
    ended = (trial for trial in trials if trial.state != TrialState.FAILED and not trial.collapsed)
    known = [seconds_of_next(trial, slots) or 0.0 for trial in ended if len(_of_search(trial)) >= least]
    return -(-least // slots) * min(known) if known else None


def _of_search(trial: TrialRecord) -> list[float]:
    """Seconds of each fold run of the search itself."""
    return [fold.seconds for fold in trial.folds if fold.repeat == 0]


def too_long(prices: Prices, number: int, folds: int, left: float, slots: int) -> str | None:
    """Why a described trial cannot have so many folds with `left` seconds; None if it can."""
    needed = prices.folds(number, -(-folds // slots))
    if needed <= left:
        return None
    return f"{folds} of its folds need about {needed:.0f} s, and {max(left, 0):.0f} s are left"
