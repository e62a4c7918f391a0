"""Whether a budget is used up, and how much time is reserved for finishing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.executors.devices import default_workers
from search.session.references import references_left
from search.stats.selection import REPEATS, complete, finalists
from search.study import config as toml
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from spaces.backbones import Backbone
from storage import OUT_OF_TIME, Store, TrialRecord, TrialState, needs_upgrade

RESERVED = 0.25  # maximum share of a search's time that is reserved for finishing
SAVING = 5.0  # seconds for combining models and predicting with them
WITH_CARE = 1.2  # safety factor on the expected seconds of a refit

GRACE_SECONDS = 10.0  # for running folds when the search is asked to stop or its time is over


def reserve(
    trials: Sequence[TrialRecord], metric: str, folds: int, images: int, seconds: float | None, slots: int
) -> float:
    """Seconds to reserve for finishing, estimated from the folds so far; 0 without a limit or a complete trial.

    They include GRACE_SECONDS for running folds to end. `images`: number in the folds; `seconds`: of the whole study;
    `slots`: jobs at a time.
    """
    known = complete(trials, metric)
    if seconds is None or not known:
        return 0.0
    by_number = {trial.number: trial for trial in known}
    new_folds = [by_number[number] for number in finalists(trials, metric, folds, images)]
    confirming = sum(REPEATS * folds * fold_seconds(trial) for trial in new_folds) / slots
    limit = RESERVED * seconds
    refits = (refit_seconds([trial], folds) for trial in known[:5])
    refit = max((needed for needed in refits if needed <= limit), default=limit)
    return min(refit + confirming, limit) + GRACE_SECONDS


def refit_seconds(trials: Sequence[TrialRecord], folds: int) -> float:
    """Expected seconds for training these trials on all images in parallel, and saving them."""
    return SAVING + WITH_CARE * max(fold_seconds(trial) for trial in trials) * folds / (folds - 1)


def fold_seconds(trial: TrialRecord) -> float:
    """Median seconds of a fold: the first folds also traced graphs or computed features, which are cached now."""
    return float(np.median([fold.seconds for fold in trial.folds]))


def budget_done(folder: StudyFolder, store: Store, config: Config, backbones: Sequence[Backbone] = ()) -> str | None:
    """Which budget is used up, in words; None while something is left to do, also reference rows or the choice."""
    trials = store.trials(curves=False)
    if complete(trials, config.metric) and not folder.model_is_current(store):
        return None
    if used := _hours_used(store, trials, config):
        return f"{used}; --hours raises the total"
    if (used := _trials_used(trials, config)) and not references_left(store, backbones):
        return f"{used}; --trials raises the total"
    return None


def _hours_used(store: Store, trials: Sequence[TrialRecord], config: Config) -> str:
    """That the hours are used up, in words; empty if they are not."""
    if config.hours is None:
        return ""
    hours, assignment = store.spent_seconds() / 3600, store.split().assignment
    folds, images = int(assignment.max()) + 1, int((assignment >= 0).sum())
    # Finishing, which is done, may have needed less than was reserved for it.
    kept = reserve(trials, config.metric, folds, images, config.hours * 3600, default_workers()[0])
    if hours < config.hours - kept / 3600:
        return ""
    rest = "" if kept <= 0 else f", and {kept / 3600:.2f} are kept back for finishing"
    return f"{hours:.2f} of {config.hours:g} hours are used{rest}"


def _trials_used(trials: Sequence[TrialRecord], config: Config) -> str:
    """Like `_hours_used`, for the trials."""
    closed = [t for t in trials if t.state != TrialState.RUNNING and t.cause != OUT_OF_TIME]
    if config.trials is None or len(closed) < config.trials:
        return ""
    if len(closed) > config.trials:
        return f"{len(closed)} trials are done, {config.trials} were asked for in total"
    return f"{len(closed)} of {config.trials} trials are done"


def without_result(folder: StudyFolder) -> str | None:
    """Why a begun study has nothing to make a model of, and the command that goes on; None where it has something.

    Budgets are totals: where one is used up, that command has a larger one.
    """
    config = toml.read(folder.path)
    with folder.read() as store:
        trials, study = store.trials(curves=False), store.study().config
        if complete(trials, config.metric):
            return None
        used = {
            f"--hours {max(1.0, 2 * (config.hours or 0)):g}": _hours_used(store, trials, config),
            f"--trials {2 * max(len(trials), config.trials or 0)}": _trials_used(trials, config),
        }
    more = [option for option, words in used.items() if words]
    why = "".join(f", and {words}" for words in used.values() if words)
    own = ["--model", f"PATH/{study['preset']}"] if study.get("model") else []
    command = folder.command("resume", *" ".join(more).split(), *own)
    return f"{folder}: no trial is complete, so there is no model{why}; go on with: {command}"


def done_already(folder: StudyFolder, prepared: Prepared) -> str | None:
    """Compare with the stored study, without changing a file; returns which budget is used up, or None.

    The run compares again while it holds the lock. A refusal here does not even touch the lock file.
    """
    if not folder.begun or needs_upgrade(folder.database):
        return None
    with folder.read() as store:
        if store.has_trials():
            check_same(store, prepared)
        return budget_done(folder, store, prepared.config, prepared.facts.backbones)
