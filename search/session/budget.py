"""Whether a budget is used up, and how much time is reserved for finishing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from search.executors.devices import default_workers
from search.session.prices import SPEED, quickest, seconds_of_next
from search.session.references import references_left
from search.stats.evidence import Evidence, may_be_chosen
from search.stats.latency import Timed, together
from search.stats.ranking import ranked
from search.stats.selection import REPEATS, Member, finalists
from search.study import config as toml
from search.study.config import Config
from search.study.continuing import stored_command
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from search.text import duration_of
from spaces.backbones import Backbone
from storage import OUT_OF_TIME, Store, TrialRecord, TrialState, needs_upgrade

RESERVED = 0.25  # maximum share of a search's time that is reserved for finishing
CONFIRMING_SHARE = 0.1  # maximum share of it for training the finalists on new folds
LONG = 0.04  # share of it: a training on all images that takes longer is replaced by the models of the folds
PACKING = 2.5  # seconds for a network to become a part of the model, on a machine as fast as prices assume
HEAD = 0.3  # networks: a further head on passes that another one needs; 0.8 s where a network took 2.3
COMBINING = 0.75  # times PACKING to put a network into an ensemble: 2.1 s if another worker packed it, else 0.3
PACKING_SHARE = 0.1  # of a search's time: no more is kept back to make an ensemble of several networks
SAVING = 4.0  # seconds for combining models and loading the file that is tested
REPORTING = 3.0  # seconds for what the command does last: it reads all results again and writes the report
REPORTING_SHARE = 0.05  # of the time, at most
WITH_CARE = 1.2  # safety factor on the expected seconds of a refit

LEAST_SECONDS = 60.0  # of a larger budget that a message names: starting takes some of it
GRACE_SECONDS = 10.0  # for running folds when the search is asked to stop; if its time is over, at most
GRACE_SHARE = 0.02  # of its time
FIRST_FOLD = 15.0  # for the first fold run of a study: a model that comes late is worth more than none
RESTARTING = 5.0  # seconds until a worker that was ended has imported TensorFlow again


def reporting_seconds(budget: float) -> float:
    """What of a budget of so many seconds is kept back for the report, which comes after the session."""
    return min(REPORTING, REPORTING_SHARE * budget)


def grace(seconds: float) -> float:
    """Seconds for running folds to end when the `seconds` of a study are over."""
    return min(GRACE_SECONDS, GRACE_SHARE * seconds)


def patience(seconds: float, *, unsure: bool) -> float:
    """The same for what is running: a fold of which it is known about when it ends may have RESTARTING instead."""
    return grace(seconds) if unsure else max(grace(seconds), RESTARTING)


@dataclass(frozen=True)
class Reserve:
    """Seconds that are kept back for finishing."""

    making: float = 0.0  # the model
    confirming: float = 0.0  # the finalists on new folds
    grace: float = 0.0  # for running folds to end

    @property
    def total(self) -> float:
        """All of them."""
        return self.making + self.confirming + self.grace


def reserve(
    trials: Sequence[TrialRecord], metric: str, folds: int, images: int, seconds: float | None, slots: int
) -> Reserve:
    """What to reserve for finishing, estimated from the folds so far; nothing without a limit or a finished fold.

    `images`: number in the folds; `seconds`: of the whole study; `slots`: jobs at a time.
    """
    known = [trial for trial in ranked(trials, metric) if may_be_chosen(trial, metric)]
    if seconds is None or not known:
        return Reserve()
    by_number = {trial.number: trial for trial in known}
    new_folds = [by_number[number] for number in finalists(trials, metric, folds, images)]
    confirming = sum(REPEATS * folds * fold_seconds(trial) for trial in new_folds) / slots
    confirming = confirming if confirming <= CONFIRMING_SHARE * seconds else 0.0
    refits = [refit_seconds([trial], folds, slots) for trial in known[:5] if not is_long(trial, folds, seconds)]
    limit = RESERVED * seconds
    making = min(max(refits, default=SAVING), limit)
    return Reserve(making, min(confirming, limit - making), grace(seconds))


def refit_seconds(trials: Sequence[TrialRecord], folds: int, slots: int) -> float:
    """Expected seconds for training these trials on all images, `slots` at a time, and saving them."""
    each = [fold_seconds(trial) * folds / (folds - 1) for trial in trials]
    return SAVING + WITH_CARE * max(*each, sum(each) / slots)


def networks_of(passes: Iterable[Set[Hashable]]) -> float:
    """How many networks members with these `passes` are, see `Timed`: one that needs no other pass counts HEAD."""
    networks, known = 0.0, set[Hashable]()
    for of_member in passes:
        networks += HEAD if of_member and known >= of_member else 1.0
        known |= of_member
    return networks


def packing_seconds(networks: float, slowness: float) -> float:
    """Expected seconds to save so many trained networks, each a part of the model; see `Prices.slowness`."""
    return slowness * PACKING * networks


def combining_seconds(networks: float, slowness: float) -> float:
    """Expected seconds to make one model of several saved networks."""
    return COMBINING * packing_seconds(networks, slowness) if networks > 1 else 0.0


def ensemble_seconds(networks: float, slowness: float) -> float:
    """Expected seconds to make one model of so many trained networks: the two above."""
    return packing_seconds(networks, slowness) + combining_seconds(networks, slowness)


def predicting_seconds(evidence: Evidence, members: Sequence[Member], slowness: float) -> float:
    """Expected seconds to predict one image with all members, which share passes of a backbone.

    By what it was measured to take; where it was not, by the multiplications and `Prices.slowness`.
    """
    timed = []
    for row in (evidence.row(member.trial) for member in members):
        measured, assumed = evidence.milliseconds[row], 1000 * slowness * evidence.costs[row] / SPEED
        timed.append(Timed(assumed if np.isnan(measured) else measured, evidence.passes[row]))
    return together(timed) / 1000


def is_long(trial: TrialRecord, folds: int, seconds: float | None) -> bool:
    """Whether training the trial on all images takes so long that the models of its folds are kept instead."""
    return seconds is not None and fold_seconds(trial) * folds / (folds - 1) > LONG * seconds


def fold_seconds(trial: TrialRecord) -> float:
    """Median seconds of a fold: the first folds also traced graphs or computed features, which are cached now."""
    return float(np.median([fold.seconds for fold in trial.folds]))


@dataclass(frozen=True)
class UsedUp:
    """A budget that is used up."""

    words: str  # '3 of 3 trials are done'
    larger: tuple[str, str]  # the option with twice the budget, or more where more was used: ('--trials', '6')


def share_of_hours(config: Config, folds: int) -> Config:
    """With the hours of one search: nested cross-validation divides them equally among its searches."""
    if not config.nested or config.hours is None:
        return config
    return config.model_copy(update={"hours": config.hours / (1 + folds), "time": None})


def usable(trials: Sequence[TrialRecord], metric: str) -> bool:
    """Whether there is something to make a model of: a complete trial, or one that ran out of time after a fold."""
    return any(may_be_chosen(trial, metric) and trial.state != TrialState.RUNNING for trial in trials)


def budget_done(folder: StudyFolder, store: Store, config: Config, backbones: Sequence[Backbone] = ()) -> UsedUp | None:
    """The budget that is used up; None while something is left to do, also reference rows or the choice.

    `config`: with the hours of one search, see `share_of_hours`.
    """
    trials = store.trials(curves=False)
    if any(may_be_chosen(trial, config.metric) for trial in trials) and not folder.model_is_current(store):
        return None  # also of an open trial: its time is over, so the next session closes it
    if used := _hours_used(store, trials, config):
        return used
    if (used := _trials_used(trials, config)) and not references_left(store, backbones):
        return used
    return None


def _hours_used(store: Store, trials: Sequence[TrialRecord], config: Config) -> UsedUp | None:
    if config.hours is None:
        return None
    hours, assignment = store.spent_seconds() / 3600, store.split().assignment
    folds, images = int(assignment.max()) + 1, int((assignment >= 0).sum())
    # Finishing, which is done, may have needed less than was reserved for it.
    kept = reserve(trials, config.metric, folds, images, config.hours * 3600, default_workers()[0]).total
    left = 3600 * (config.hours - hours) - kept
    if left > 0 and left >= _least(trials, folds):
        return None
    rest = "" if kept <= 0 else f", and {duration_of(kept)} are kept back for finishing"
    rest += f"; the {duration_of(left)} that are left are too short for more" if left > 0 else ""
    searches = 1 + folds if config.nested else 1
    larger = max(2 * 3600 * config.hours, LEAST_SECONDS)
    while larger <= 3600 * hours:
        larger *= 2
    used = f"{duration_of(3600 * hours)} of {duration_of(3600 * config.hours)} are used{rest}"
    return UsedUp(used, ("--time", duration_of(larger * searches)))


def _least(trials: Sequence[TrialRecord], folds: int) -> float:
    """Seconds that more takes at least: another trial, or the next fold of one that could go on; 0: unknown."""
    open_ones = [trial for trial in trials if trial.state == TrialState.RUNNING or trial.cause == OUT_OF_TIME]
    slots = default_workers()[0]
    another = quickest(trials, folds, slots)
    return min([another or 0.0, *(seconds_of_next(trial, slots) or 0.0 for trial in open_ones)])


def _trials_used(trials: Sequence[TrialRecord], config: Config) -> UsedUp | None:
    closed = [t for t in trials if t.state != TrialState.RUNNING and t.cause != OUT_OF_TIME]
    if config.trials is None or len(closed) < config.trials:
        return None
    words = f"{len(closed)} of {config.trials} trials are done"
    if len(closed) > config.trials:
        words = f"{len(closed)} trials are done, {config.trials} were asked for in total"
    return UsedUp(words, ("--trials", str(2 * max(len(trials), config.trials))))


def larger_budgets(folder: StudyFolder, config: Config) -> list[tuple[str, str]]:
    """For each budget of a study that is used up, the option with a larger one; none before it has begun."""
    if not folder.begun or needs_upgrade(folder.database):
        return []
    with folder.read() as store:
        return [budget.larger for budget in _used(store, store.trials(curves=False), config)]


def _used(store: Store, trials: Sequence[TrialRecord], config: Config) -> list[UsedUp]:
    """The budgets that are used up; `config` with the hours of the whole study."""
    one_search = share_of_hours(config, int(store.split().assignment.max()) + 1)
    return [budget for budget in (_hours_used(store, trials, one_search), _trials_used(trials, config)) if budget]


def without_result(folder: StudyFolder, *options: str) -> str | None:
    """Why a begun study has nothing to make a model of, and the next step; None if a trial is complete.

    While another process searches, the step is to wait; else it is the command that continues. Budgets are totals:
    where one is used up, that command has a larger one. `options`: what else it has.
    """
    config = toml.read(folder.path)
    with folder.read() as store:
        trials = store.trials(curves=False)
        if usable(trials, config.metric):
            return None
        if who := folder.searcher:
            return f"{folder}: no trial is complete yet; the study is being searched by {who}: wait for it"
        used = _used(store, trials, config)
        larger = (word for budget in used for word in budget.larger)
        command = stored_command(folder, store, "resume", *larger, *options)
        study = store.study().config
    own = study["preset"] if study.get("model") else ""
    corrected = f"; a corrected {own} needs a study of its own (--dir)" if own and _all_failed(trials) else ""
    budgets = "".join(f", and {budget.words}" for budget in used)
    why = f"{budgets}{_most(trials)}{corrected}"
    return f"{folder}: no trial is complete, so there is no model{why}; go on with: {command}"


def _all_failed(trials: Sequence[TrialRecord]) -> bool:
    return bool(trials) and all(trial.state == TrialState.FAILED for trial in trials)


def _most(trials: Sequence[TrialRecord]) -> str:
    """How most trials ended, with the reason of the latest of them; empty without a closed trial."""
    closed = [trial for trial in trials if trial.state != TrialState.RUNNING]
    if not closed:
        return ""
    (state, cause), count = Counter((trial.state, trial.cause) for trial in closed).most_common(1)[0]
    latest = next(trial for trial in reversed(closed) if (trial.state, trial.cause) == (state, cause))
    reason = f": {latest.detail.splitlines()[0]}" if latest.detail else ""
    how = f"({cause}{reason})"
    if len(trials) == 1:
        return f"; it {'failed' if state == TrialState.FAILED else 'was stopped'} {how}"
    ended = "failed" if state == TrialState.FAILED else "were stopped"
    return f"; {count} of {len(trials)} trials {ended}, such as trial {latest.number} {how}"


def done_already(folder: StudyFolder, prepared: Prepared) -> UsedUp | None:
    """Compare with the stored study, without changing a file; returns the budget that is used up, or None.

    The run compares again while it holds the lock. A refusal here does not even touch the lock file.
    """
    if not folder.begun or needs_upgrade(folder.database):
        return None
    with folder.read() as store:
        if store.has_trials():
            check_same(store, prepared)
        return budget_done(folder, store, prepared.config, prepared.facts.backbones)
