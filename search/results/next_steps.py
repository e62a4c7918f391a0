"""What to do next, decided from the evidence of a study; the sentences are in `reports/wording/next_steps.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np

from search.results.labels import accused
from search.results.more_pictures import Verdict
from search.results.recall import clearly_least, recalls
from search.results.standing import disagree
from search.results.summary import ReferenceRow, StudySummary, TrialRow
from search.stats.estimate import beats
from search.stats.metrics import METRICS
from storage.records import TrialState

MOST = 5  # more than that is no advice
FROM_NOTHING = ("cnn", "question")  # presets without pre-trained networks
WORSE = 0.02  # in accuracy: by so much the model is expected to be behind a plain method
MIN_CHANGES = 2  # with one change there is nothing to find out
FEW_TRIALS = 12  # fewer say little of what more would bring
_BEST_FEW = 3  # trials whose epochs decide whether more are needed


@dataclass(frozen=True)
class SetGroups:
    """Keep pictures of one thing together: the numbers are too good."""

    pattern: str  # for --groups


@dataclass(frozen=True)
class FindTheCause:
    """Nothing was learned that is clearly better than guessing: `search diagnose`."""


@dataclass(frozen=True)
class CheckLabels:
    """Look at labels that look wrong."""

    labels: int


@dataclass(frozen=True)
class LookAtTesting:
    """The testing pictures are clearly harder, or easier, than those of the folds."""

    harder: bool


@dataclass(frozen=True)
class FinishTrial:
    """A trial that may be the best lacks folds."""

    trial: int
    done: int  # folds
    folds: int  # of all
    seconds: float  # that the missing ones take, at the speed of those done
    out_of_time: bool  # else the search was stopped


@dataclass(frozen=True)
class RaiseEpochs:
    """The best trials were still getting better when their epochs ended."""

    cut: int  # fold runs
    runs: int  # of all fold runs of
    trials: int  # the best trials
    epochs: int  # the most allowed


@dataclass(frozen=True)
class HelpClass:
    """One class is found clearly less often than the others: more pictures of it."""

    label: int
    found: float  # share of its pictures
    low: float  # of the 95 % interval of that share (Wilson 1927)
    high: float
    others: float  # mean share of the other classes


@dataclass(frozen=True)
class AddPictures:
    """More pictures of every kind are expected to help clearly; see `MorePictures`."""


@dataclass(frozen=True)
class ChangeFamily:
    """A plain method is clearly better than every trial, so this kind of model is the wrong one."""

    name: str  # of the reference
    score: float
    pretrained: bool  # whether it stands on a pre-trained network, and the models searched do not


@dataclass(frozen=True)
class UsePlain:
    """A plain method is as good as the search, after many trials, or better than what it chose."""

    name: str  # of the reference
    score: float


@dataclass(frozen=True)
class Explain:
    """The saved trial is better than trial 0 fold by fold, and it is not known which change made it so."""

    changes: int  # parameters in which they differ


@dataclass(frozen=True)
class SearchOn:
    """There are few trials, or the best came late, so more of them may bring a better one."""

    trials: int
    best: int | None = None  # number of the trial that came late; None: there are few trials


@dataclass(frozen=True)
class StopHere:
    """Many trials after the best one brought nothing better."""

    best: int
    since: int  # trials after it


Step: TypeAlias = (
    SetGroups
    | FindTheCause
    | CheckLabels
    | LookAtTesting
    | FinishTrial
    | RaiseEpochs
    | HelpClass
    | AddPictures
    | ChangeFamily
    | UsePlain
    | Explain
    | SearchOn
    | StopHere
)


def next_steps(data: StudySummary) -> tuple[Step, ...]:
    """At most `MOST` steps: what makes the numbers wrong comes before what makes them better."""
    if data.best is None and data.estimate is None:
        return ()
    return tuple(islice(_without_contradictions(tuple(_steps(data))), MOST))


def _without_contradictions(steps: Sequence[Step]) -> Iterator[Step]:
    """Steps that do not speak against each other, nor say the same twice: the first of two that do stays."""
    kinds = {type(step) for step in steps}
    for step in steps:
        stops = isinstance(step, StopHere) and not kinds.isdisjoint({FinishTrial, UsePlain})
        goes_on = isinstance(step, SearchOn) and not kinds.isdisjoint({FinishTrial, UsePlain})
        if not stops and not goes_on:
            yield step


def _steps(data: StudySummary) -> Iterator[Step]:
    if data.siblings is not None and data.siblings.compared.clear:
        yield SetGroups(data.siblings.pattern)
    family = _family(data)
    if data.estimate is not None and not beats(data.estimate, data.chance):
        if family and family.pretrained:  # then the pictures can be told apart
            yield family
        yield FindTheCause()
        return  # nothing that follows means anything for a model that guesses
    if family:
        yield family
    elif wrong := accused(data.suspects):  # a model that is beaten is no judge of labels
        yield CheckLabels(wrong)
    if disagree(data) and data.chosen and data.chosen.test and data.estimate:
        yield LookAtTesting(data.ahead(data.chosen.test.value, data.estimate.value) < 0)
    steps = (_unfinished, _epochs, _weak_class, _pictures, *(() if family else (_plain, _search)), _explain)
    yield from filter(None, (step(data) for step in steps))


def _unfinished(data: StudySummary) -> FinishTrial | None:
    if data.searching or data.worth_finishing is None:
        return None
    trial = data.trial(data.worth_finishing)
    seconds = [fold.seconds for fold in trial.folds if fold.repeat == 0]
    missing = data.folds - len(seconds)
    needed = missing * float(np.mean(seconds))
    return FinishTrial(trial.number, len(seconds), data.folds, needed, trial.state != TrialState.RUNNING)


def _epochs(data: StudySummary) -> RaiseEpochs | None:
    training = data.study.config.get("training")
    most = training.get("max_epochs") if isinstance(training, dict) else None
    best = [row for row in data.rows if row.rank is not None and "epochs" not in row.params][:_BEST_FEW]
    best = [row for row in best if not data.near_chance(row)]  # at chance, "still getting better" means nothing
    ends = [pair for row in best for pair in zip(row.epochs, row.best_epochs, strict=True)]
    if not isinstance(most, int) or most < 2 or not ends:
        return None
    cut = sum(epochs >= most and best_epoch > 0.9 * most for epochs, best_epoch in ends)
    return RaiseEpochs(cut, len(ends), len(best), most) if cut > len(ends) / 2 else None


def _weak_class(data: StudySummary) -> HelpClass | None:
    rows = recalls(data.pooled.confusion) if data.pooled else ()
    least = clearly_least(rows)
    if least is None:
        return None
    others = [row.share for row in rows if row.images and row is not least]
    return HelpClass(least.label, least.share, least.low, least.high, float(np.mean(others)))


def _pictures(data: StudySummary) -> AddPictures | None:
    return AddPictures() if data.more is not None and data.more.verdict is Verdict.HELPS else None


def _best_plain(data: StudySummary) -> ReferenceRow | None:
    return next((row for row in data.references if row.score is not None and row.name != "majority"), None)


def _family(data: StudySummary) -> ChangeFamily | None:
    """A plain method that is clearly better than the best trial, and than what is expected of the saved model."""
    plain, metric = _best_plain(data), METRICS[data.metric]
    if plain is None or plain.score is None or data.best is None or not data.clearly_worse(data.best, plain.score):
        return None
    if data.estimate is not None and data.ahead(data.estimate.value, plain.score) > -WORSE * metric.scale:
        return None
    from_nothing = data.preset in FROM_NOTHING
    return ChangeFamily(plain.label, plain.score, plain.name == "linear_probe" and from_nothing)


def _plain(data: StudySummary) -> UsePlain | None:
    """A plain method that is as good: after many trials, or because the model is expected to be worse."""
    plain = _best_plain(data)
    if plain is None or plain.score is None or data.best is None:
        return None
    behind = -WORSE * METRICS[data.metric].scale
    expected = data.estimate if data.chosen else None
    worse = expected is not None and data.ahead(expected.value, plain.score) < behind
    if not worse and (data.compared < FEW_TRIALS or not data.not_clearly_better(data.best, plain.score)):
        return None
    return UsePlain(plain.label, plain.score)


def _search(data: StudySummary) -> SearchOn | StopHere | None:
    """Whether the last trials brought anything better; None if there are too few, or while the search goes on."""
    found = [data.best.number] if data.best else []
    if data.chosen is not None and data.chosen.current:
        found += [number for number, _ in data.chosen.members]
    leader = max(found, default=None)
    ended = [row for row in data.rows if row.state != TrialState.RUNNING]
    if leader is None or data.searching:
        return None
    since = sum(_after(row, leader) for row in ended)
    if since >= max(FEW_TRIALS, len(ended) / 2):
        return StopHere(leader, since)
    if len(ended) < FEW_TRIALS:
        return SearchOn(len(ended))
    return SearchOn(len(ended), leader) if since <= len(ended) / 4 else None


def _explain(data: StudySummary) -> Explain | None:
    """None where it is explained already, one change alone made it, or there is nothing to explain."""
    start, chosen = data.baseline, data.chosen
    if data.searching or data.explanation is not None or start is None or chosen is None or start.rank is None:
        return None
    goal = next((row for row in data.rows if row.number == chosen.trial), None)
    if goal is None or goal.rank is None or len(goal.changed) < MIN_CHANGES or data.tied(goal, start):
        return None
    return Explain(len(goal.changed)) if data.ahead(goal.score or 0.0, start.score or 0.0) > 0 else None


def _after(row: TrialRow, number: int) -> bool:
    return row.number > number and row.state != TrialState.FAILED
