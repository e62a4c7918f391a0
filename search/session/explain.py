"""`search explain`: points between two trials are trained on the folds of the search, until the path is known."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from search.errors import RunError
from search.executors.base import Executor
from search.executors.drive import Drive
from search.jobs import DescribeJob, Description, Failure, FailureCause, FoldJob, FoldResult, Job, Outcome
from search.results.progress import Ending, Watched, unwatched
from search.session.budget import GRACE_SECONDS
from search.session.plan import Plan, fold_job, make_plan, worker_context
from search.session.records import fold_record
from search.session.run import versions
from search.session.session import Asked
from search.session.signals import StopRequest, stop_on_signals
from search.session.trials import SETUP_FAILURES
from search.session.weight_files import saving_in, sweep_states
from search.stats.ablation import Made
from search.stats.racing import BEHIND
from search.study.explanation import Ends, Results, key_of, open_to_write, results_of
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.lease import leased
from search.study.prepared import Prepared
from spaces import Value
from storage import LayerRecord, Params, RunRecord, StorageError, Store, TrialRecord, TrialState
from storage.records import Origin

COMPARING = "comparing settings"  # the step that is shown
MAX_BROKEN = 5  # points in a row that cannot be trained for a cause that is rather the set-up's
SHARED = "shared"  # cause of a point that is closed without all folds: the search has the others


@dataclass(frozen=True)
class Budget:
    """Totals over all sessions of one explanation; None: no limit."""

    trials: int | None = None  # points that are trained
    seconds: float | None = None

    def is_used_up(self, store: Store, needed: Collection[Hashable]) -> bool:
        """Whether none of the `needed` points may be begun or trained further."""
        if self.seconds is not None and store.spent_seconds() >= self.seconds:
            return True
        trials = store.trials(curves=False)
        goes_on = any(trial.state == TrialState.RUNNING and key_of(trial.params) in needed for trial in trials)
        return self.trials is not None and len(trials) >= self.trials and not goes_on


@dataclass(frozen=True)
class Candidate:
    """A point that is not stored yet: first a worker describes its model."""

    point: dict[str, Value]


Work: TypeAlias = Candidate | FoldJob


def ask(folder: StudyFolder, ends: Ends, asked: Asked, watched: Watched = unwatched) -> None:
    """Note that an explanation was asked for that needs no training."""
    with (
        leased(folder.lock, takeover=asked.takeover, tell=lambda text: watched(text, 0, 0)) as waited,
        folder.read() as study,
        open_to_write(folder, study, ends) as store,
        _session(store, asked.after(waited)) as session,
    ):
        session.outcome = Ending.FINISHED


def explain(
    folder: StudyFolder,
    prepared: Prepared,
    ends: Ends,
    budget: Budget,
    *,
    executor: Executor,
    asked: Asked,
    goes_on: str,
    watched: Watched = unwatched,
) -> Ending:
    """Train the points that the path needs and that are not trained yet, until it is known or the budget is used up.

    `goes_on`: the command that continues. Raises UsageError or StorageError if it cannot start, RunError if it cannot
    go on.
    """
    lease = leased(folder.lock, takeover=asked.takeover, tell=lambda text: watched(text, 0, 0))
    with lease as waited, folder.read() as study:
        asked = asked.after(waited)
        check_same(study, prepared)
        plan = make_plan(prepared, study, executor.slots, executor.memory)
        try:
            with (
                open_to_write(folder, study, ends) as store,
                _session(store, asked) as run,
                stop_on_signals(goes_on) as stop,
                folder.pixels_on_disk(prepared.images.pixels) as pixels,
                contextlib.ExitStack() as always,
            ):
                # Workers that are still busy must end before the lock is freed.
                always.callback(executor.close, kill=True)
                folder.sweep()
                saving = saving_in(folder, folder.explained_states(*ends.numbers), store.study().fingerprint)
                sweep_states(saving, store, chosen=True)
                context = worker_context(pixels, folder.features, prepared, saving)
                plan = replace(plan, saving=saving)
                executor.prepare(replace(context, seed=store.study().seed), folder.logs)
                return _Training(
                    plan, store, run, executor, stop, results_of(study, ends, store), budget, watched
                ).run()
        except (StorageError, OSError) as error:
            raise RunError(
                f"{error}\nwhat is committed stays; once that is corrected, go on with: {goes_on}"
            ) from error


@dataclass
class _Session:
    """One session in the explanation's database."""

    number: int
    started: float
    before: float  # seconds of all sessions before
    outcome: Ending = Ending.FAILED

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


@contextlib.contextmanager
def _session(store: Store, asked: Asked) -> Iterator[_Session]:
    """Store that a session began, and how it ended."""
    record = RunRecord(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=asked.command,
        versions=versions(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    before = store.spent_seconds()
    started = time.monotonic() if asked.started is None else asked.started
    session = _Session(store.start_run(record), started, before)
    try:
        yield session
    except BaseException:
        with contextlib.suppress(StorageError):  # another error is being raised
            store.end_run(session.number, Ending.FAILED.value, session.seconds)
        raise
    store.end_run(session.number, session.outcome.value, session.seconds)


@dataclass
class _Training:
    """The loop of one session. What is trained next follows from stored results alone; see `stats.ablation.walk`."""

    plan: Plan
    store: Store
    session: _Session
    executor: Executor
    stop: StopRequest
    results: Results
    budget: Budget
    watched: Watched

    def __post_init__(self) -> None:
        trials = self.store.trials(curves=False)
        self._count = len(trials)
        # Point -> its trial, while it is open.
        self._open = {key_of(trial.params): trial for trial in trials if trial.state == TrialState.RUNNING}
        self._split, self._seed = self.store.split(), self.store.study().seed
        self._done = 0  # fold runs in this session
        self._broken: list[str] = []  # failures in a row that are rather the set-up's
        self._walk = self.results.walk()
        self._drive: Drive[Work] = Drive(self.executor, _job_of, self._on_outcome, self._show)

    def run(self) -> Ending:
        self._show()
        self._drive.run(self._next_work, self._may_go_on)
        if self.stop.asked:
            self.executor.save(GRACE_SECONDS)
        deadline = time.monotonic() + GRACE_SECONDS
        self._drive.run(lambda: None, lambda: time.monotonic() < deadline and not self._is_broken)
        if self._is_broken:
            raise RunError(
                f"{len(self._broken)} points in a row could not be trained, the last with: {self._broken[-1]}. "
                "Something is wrong with the set-up rather than the points; once it is corrected, remove "
                f"{self.store.path}, in which they are noted, and explain again"
            )
        if (lost := self.results.lost_end()) is not None:
            raise RunError(lost_words(lost))
        if not self._walk.needed:
            self._close_the_rest()
        is_stopped = self.stop.asked and self._walk.needed
        self.session.outcome = Ending.STOPPED if is_stopped else Ending.FINISHED
        return self.session.outcome

    # Deciding

    def _may_go_on(self) -> bool:
        spent, limit = self.session.before + self.session.seconds, self.budget.seconds
        return not (self.stop.asked or self._is_broken or (limit is not None and spent >= limit))

    @property
    def _is_broken(self) -> bool:
        return len(self._broken) >= MAX_BROKEN

    def _next_work(self) -> Work | None:
        """The first fold that is needed and is not running; a point that is new is described first, one at a time.

        So points are numbered in the order in which they are needed, whatever the number of workers.
        """
        running = self._drive.running
        busy = {(work.trial, work.fold) for work in running if isinstance(work, FoldJob)}
        describing = any(isinstance(work, Candidate) for work in running)
        for made, fold in self._walk.needed:
            point = self.results.route.point(made)
            if self.results.of(point).failed:
                continue  # one of the two ends, without which there is no path
            trial = self._open.get(key_of(point))
            if trial is not None and (trial.number, fold) not in busy:
                options = self.plan.fit_options(point)
                return fold_job(trial, fold, self._split, seed=self._seed, options=options)
            if trial is None and not describing and not self._has_all_points:
                return Candidate(point)
        return None

    @property
    def _has_all_points(self) -> bool:
        return self.budget.trials is not None and self._count >= self.budget.trials

    def _show(self) -> None:
        left = self._walk.left
        self.watched(COMPARING, self._done, self._done + left, at_most=left > len(self._walk.needed))

    # Outcomes

    def _on_outcome(self, work: Work, outcome: Outcome) -> None:
        if isinstance(outcome, Failure) and outcome.cause == FailureCause.STOPPED:
            return
        if isinstance(work, Candidate):
            self._on_described(work.point, outcome)
        else:
            self._on_fold(work, outcome)
            if self.plan.saving:
                self.plan.saving.forget(work)
        self._walk = self.results.walk()

    def _on_described(self, point: dict[str, Value], outcome: Outcome) -> None:
        """Store the point as a trial; as a failed one if its model cannot be trained."""
        description = outcome if isinstance(outcome, Description) else None
        trial = TrialRecord(
            number=self._count,
            params=point,
            origin=Origin.EXPLAIN,
            parameters=description.parameters if description else None,
            layers=tuple(LayerRecord(**vars(layer)) for layer in description.layers) if description else (),
        )
        failure = outcome if isinstance(outcome, Failure) else None
        if description and (too_large := self.plan.too_large(description)):
            failure = Failure(FailureCause.REFUSED, too_large)
        closing = (TrialState.FAILED, failure.cause, failure.detail) if failure else None
        self.store.add_trial(trial, run=self.session.number, seconds=self.session.seconds, close=closing)
        self._count += 1
        if failure:
            self._failed(point, failure)
        else:
            self._open[key_of(point)] = trial

    def _on_fold(self, job: FoldJob, outcome: Outcome) -> None:
        trial = self._open.get(key_of(job.params))
        if trial is None:
            return  # another fold of it failed meanwhile
        seconds = self.session.seconds
        if isinstance(outcome, Failure):
            closing = (TrialState.FAILED, outcome.cause, outcome.detail)
            self.store.close_trial(trial.number, *closing, run=self.session.number, seconds=seconds)
            self._failed(job.params, outcome)
            return
        assert isinstance(outcome, FoldResult)  # noqa: S101 - the answer to a FoldJob
        self._broken.clear()
        fold = fold_record(job, outcome)
        is_last = len(trial.folds) + 1 == self.plan.folds
        close = (TrialState.COMPLETE, None, None) if is_last else None
        self.store.add_fold(fold, run=self.session.number, seconds=seconds, close=close)
        self.results.add(job.params, fold, outcome.probabilities)
        self._done += 1
        if is_last:
            del self._open[key_of(job.params)]
        else:
            self._open[key_of(job.params)] = replace(trial, folds=(*trial.folds, replace(fold, probabilities=None)))

    def _failed(self, point: Params, failure: Failure) -> None:
        self._open.pop(key_of(point), None)
        self.results.fail(point)
        if failure.cause in SETUP_FAILURES:
            self._broken.append(failure.detail)
        else:
            self._broken.clear()

    def _close_the_rest(self) -> None:
        """The path is known: close the trials that have not all folds."""
        on_path = {key_of(self.results.route.point(step.after)) for step in self._walk.steps}
        on_path.add(key_of(self.results.route.start))
        for key, trial in self._open.items():
            folds = f"{len(trial.folds)} of {self.plan.folds} folds"
            closing = (BEHIND, f"another change was clearly better after {folds}")
            if key in on_path:
                closing = (SHARED, f"it has {folds}, and the search has the others")
            self.store.close_trial(trial.number, TrialState.PRUNED, *closing)


def lost_words(lost: Made) -> str:
    """That an end of the path cannot be trained: the start, without a change made, or the goal."""
    which = "--to" if lost else "--from"
    return f"{which}: this trial lacks folds, and cannot be trained again; name another (`search report` lists them)"


def _job_of(work: Work) -> Job:
    return DescribeJob(work.point) if isinstance(work, Candidate) else work
