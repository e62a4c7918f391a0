"""The loop: ask for a point, store it, train its folds one by one, commit each, close the trial, tell the proposer.

It alone writes the database. Decisions that need no effects are functions and values in other modules.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from search.data.folds import fold_rows
from search.errors import UsageError
from search.executors.base import Executor
from search.executors.drive import TICK_SECONDS
from search.jobs import (
    DescribeJob,
    Description,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    Outcome,
    ReferenceJob,
    ReferenceResult,
)
from search.results.progress import Ending, Observer, Progress
from search.samplers.base import Exhausted, Sampler
from search.seeds import derive
from search.session.budget import GRACE_SECONDS
from search.session.plan import Plan, still_to_try
from search.session.racer import Racer, races
from search.session.records import collapse, fold_record
from search.session.references import ReferenceQueue
from search.session.signals import StopRequest
from search.session.trials import SETUP_FAILURES, Trials
from search.stats.racing import BEHIND, BEHIND_EARLY
from spaces import Value
from spaces.parameters import format_value
from storage import OUT_OF_TIME, Closing, FoldRecord, LayerRecord, ReferenceRecord, Store, TrialRecord, TrialState
from storage.records import Origin

RESERVE_SECONDS = 5.0  # between two looks at how much time finishing will take
MAX_REDRAWS = 200
MAX_REDRAWS_FOR_NOVELTY = 20  # after that a point is tried again, with other seeds
MAX_FAILURES_IN_A_ROW = 5  # of the kinds `SETUP_FAILURES`; asked to go on nevertheless, a search has as many more

LEFT_OUT = {Origin.TRY: "point of [[try]]", Origin.START: "known-good point"}  # where they can't be trained; by origin


@dataclass
class Candidate:
    """A point asked for, not yet stored: first its model is described."""

    number: int
    params: dict[str, Value]
    origin: Origin
    redraws: int = 0


@dataclass
class Loop:
    """One session of a search. `run` may be called once."""

    plan: Plan
    store: Store
    run_id: int
    executor: Executor
    proposer: Sampler
    observer: Observer
    stop: StopRequest
    clock: Callable[[], float] = time.monotonic
    trials: Trials = field(init=False)
    pending: dict[Future[Outcome], Candidate | FoldJob | ReferenceJob] = field(default_factory=dict)
    session_folds: int = 0
    answered: bool = False  # by a worker, in this session
    queue: list[tuple[Origin, dict[str, Value]]] = field(default_factory=list)  # starts that are still to be tried
    said: set[str] = field(default_factory=set)  # notes of workers
    exhausted: bool = False  # the proposer has no further point
    ending: Ending = Ending.FINISHED

    def run(self) -> Ending:
        """Search until a budget is used up, somebody asks to stop, or nothing works."""
        self.load()
        if not self._time_is_over():
            self._reopen()
        self.proposer.replay(self.trials)
        if self._racing:
            self._racing.load(self.store, self.trials)
        self.queue = still_to_try(self.plan.starts, self.trials)
        self.observer.update(self.progress())
        while self._may_go_on():
            while len(self.pending) < self.executor.slots and self._submit_next():
                pass
            if not self.pending:
                break
            self._collect(TICK_SECONDS)
        self._drain()
        return self.ending

    def load(self) -> Ending:
        """Know what is stored, without searching on."""
        plan = self.plan
        self._started, self._spent_before, self._reserved = self.clock(), self.store.spent_seconds(), 0.0
        self._reserve_again = self._started
        known = self.store.references()
        self._references = ReferenceQueue(plan.references, plan.assignment, plan.folds, plan.seed, known)
        self._defaults = {p.name: p.default for p in plan.space.parameters}
        self.trials = Trials(plan.metric, self.store.trials(curves=False))
        self._racing = Racer(plan.race, plan.metric, plan.assignment) if plan.race else None
        return self.ending

    def progress(self) -> Progress:
        """The state now."""
        leader = self.trials.best
        return Progress(
            trials=tuple(self.trials),
            metric=self.plan.metric,
            folds=self.plan.folds,
            running=tuple((job.trial, job.fold) for job in self.pending.values() if isinstance(job, FoldJob)),
            best=None if leader is None else leader.number,
            spent_seconds=self.spent(),
            session_seconds=self.session_seconds(),
            session_folds=self.session_folds,
            trials_budget=self.plan.trials,
            seconds_budget=self.plan.seconds,
            eta_seconds=self._eta(),
            references=tuple(self._references.known),
            workers=self.executor.slots,
            defaults=self._defaults,
            answered=self.answered or self.executor.ready,
        )

    # Deciding

    def _may_go_on(self) -> bool:
        if self.stop.asked:
            self.ending = Ending.STOPPED
            self.observer.note(f"stopping: running folds get {GRACE_SECONDS:.0f} s to end; ask again to leave at once")
        return self.ending is Ending.FINISHED and not self._time_is_over()

    def _time_is_over(self) -> bool:
        if self.plan.seconds is None:
            return False
        if self.clock() >= self._reserve_again:  # not after every trial: of thousands it takes a while
            self._reserved, self._reserve_again = self.plan.reserve(self.trials), self.clock() + RESERVE_SECONDS
        return self.spent() >= self.plan.seconds - self._reserved

    def session_seconds(self) -> float:
        """Seconds of this session so far."""
        return self.clock() - self._started

    def spent(self) -> float:
        """Seconds of all sessions so far."""
        return self._spent_before + self.session_seconds()

    def _eta(self) -> float | None:
        """Seconds until a budget is used up, from the pace of this session."""
        over = None if self.plan.seconds is None else self.plan.seconds - self._reserved
        left = [] if over is None else [max(0.0, over - self.spent())]
        if self.plan.trials is not None:
            if not self.session_folds:
                return None
            still, closed = self.trials.open, len(self.trials) - len(self.trials.open)
            done = sum(len(t.folds) for t in self.trials) - sum(len(t.folds) for t in still)
            each = done / closed if self.plan.race and closed else self.plan.folds
            folds = (self.plan.trials - closed) * each - sum(len(t.folds) for t in still)
            left.append(max(0, folds) * self.session_seconds() / self.session_folds)
        return min(left, default=None)

    # Submitting

    def _submit_next(self) -> bool:
        """Submit the most useful job that is not running yet: a fold of the oldest open trial, else a new point.

        Between trial 0, the first result to believe, and all others come the reference rows. A trial of the
        sampler's that may be given up has one fold at a time, for the next may be for nothing; but for the last points,
        when nothing else is left.
        """
        if job := self._next_fold(patient=self._racing is not None):
            self._submit(job)
            return True
        if self.trials and (reference := self._references.next_job()):
            self._submit(reference)
            return True
        if any(isinstance(j, Candidate) for j in self.pending.values()):
            return False
        number = len(self.trials)
        if self.exhausted or (self.plan.trials is not None and number >= self.plan.trials):
            if job := self._next_fold(patient=False):
                self._submit(job)
            return job is not None
        try:
            self._submit(self._candidate(number))
        except Exhausted as end:
            self._no_point_left(end)
        return not self.exhausted

    def _next_fold(self, *, patient: bool) -> FoldJob | None:
        """The first fold of the oldest open trial that is not running yet.

        `patient`: of none of the sampler's while another of its folds is running, which may end it.
        """
        busy = {(j.trial, j.fold) for j in self.pending.values() if isinstance(j, FoldJob)}
        waiting = {number for number, _ in busy if patient and self.trials[number].origin == Origin.SAMPLER}
        for trial in self.trials.open:
            done = {f.fold for f in trial.folds}
            for fold in range(self.plan.folds):
                if fold not in done and (trial.number, fold) not in busy and trial.number not in waiting:
                    return self.fold_job(trial, fold)
        return None

    def _no_point_left(self, end: Exhausted) -> None:
        self.exhausted = True
        self.observer.note(f"{end}; the search is finished with trial {len(self.trials) - 1}.")

    def _submit(self, job: Candidate | FoldJob | ReferenceJob) -> None:
        future = self.executor.submit(DescribeJob(job.params) if isinstance(job, Candidate) else job)
        self.pending[future] = job

    def fold_job(self, trial: TrialRecord, fold: int, repeat: int = 0) -> FoldJob:
        """A trial's job on one fold; the rows are those of repeat 0."""
        train, validate = fold_rows(self.plan.assignment, fold)
        epochs = int(trial.params.get("epochs", self.plan.training.max_epochs))
        least = self._racing.thresholds(trial, fold) if self._racing and repeat == 0 else {}
        stops = races(trial) and repeat == 0  # what others are compared with is trained in full, and what confirms
        return FoldJob(
            trial=trial.number,
            repeat=repeat,
            fold=fold,
            params=trial.params,
            train=train,
            validate=validate,
            seed=derive(self.plan.seed, "fold", trial.number, repeat, fold),
            training=replace(self.plan.training, max_epochs=epochs, min_score_at=least, stop_collapsed=stops),
        )

    def _candidate(self, number: int) -> Candidate:
        if self.queue:
            origin, params = self.queue.pop(0)
            return Candidate(number, params, origin)
        candidate = Candidate(number, self.proposer.ask(number), Origin.SAMPLER)
        while self.trials.has(candidate.params) and candidate.redraws < MAX_REDRAWS_FOR_NOVELTY:
            self._redraw(candidate)
        return candidate

    def _redraw(self, candidate: Candidate) -> None:
        self.proposer.refuse(candidate.number)
        candidate.params = self.proposer.ask(candidate.number)
        candidate.redraws += 1

    # Collecting

    def _collect(self, timeout: float) -> None:
        """Take in what is done, waiting at most `timeout` seconds for something."""
        done, _ = wait(self.pending, timeout, FIRST_COMPLETED)
        for future in [f for f in self.pending if f in done]:  # in the order of submission, not of a set
            job = self.pending.pop(future)
            if future.cancelled():
                continue
            self.answered = True
            if isinstance(job, Candidate):
                self._on_described(job, future.result())
            elif isinstance(job, ReferenceJob):
                self._on_reference(job, future.result())
            else:
                self._on_fold(job, future.result())
        self.observer.update(self.progress())

    def _on_described(self, candidate: Candidate, outcome: Outcome) -> None:
        """Store the point as a trial, or draw another where its model cannot be."""
        refusal = self._refusal(outcome)
        if refusal and candidate.origin in LEFT_OUT:
            what = LEFT_OUT[candidate.origin]
            self.observer.note(f"a {what} is left out: {refusal} ({self._changes(candidate)})")
            return
        if refusal and candidate.origin == Origin.BASELINE:
            raise UsageError(
                f"trial {candidate.number}, the baseline, cannot be trained: {refusal}; "
                "change it in [space] of study.toml, or raise max_parameters"
            )
        if refusal and candidate.redraws >= MAX_REDRAWS:
            raise UsageError(
                f"{MAX_REDRAWS} points in a row could not be trained, the last because {refusal}; "
                "narrow the space in study.toml, or raise max_parameters"
            )
        if refusal:
            if not self.stop.asked:
                self._draw_anew(candidate)
            return
        if isinstance(outcome, Failure) and outcome.cause == FailureCause.STOPPED:
            return
        self._add_trial(candidate, outcome)

    def _changes(self, candidate: Candidate) -> str:
        default = self.plan.space.defaults()
        changed = (
            f"{n} = {format_value(v)}" for n, v in candidate.params.items() if n not in default or default[n] != v
        )
        return ", ".join(changed)

    def _draw_anew(self, candidate: Candidate) -> None:
        try:
            self._redraw(candidate)
            self._submit(candidate)
        except Exhausted as end:
            self._no_point_left(end)

    def _refusal(self, outcome: Outcome) -> str | None:
        if isinstance(outcome, Failure):
            return outcome.detail if outcome.cause == FailureCause.REFUSED else None
        assert isinstance(outcome, Description)  # noqa: S101 - the answer to a DescribeJob
        trained = outcome.parameters - outcome.pretrained  # from scratch
        if trained > self.plan.max_parameters:
            return f"its model has {trained:,} parameters, above max_parameters = {self.plan.max_parameters:,}"
        if outcome.training_bytes > self.plan.max_bytes:
            return (
                f"training it needs about {outcome.training_bytes / 1e9:.1f} GB, "
                f"and a worker has {self.plan.max_bytes / 1e9:.1f} GB"
            )
        return None

    def _add_trial(self, candidate: Candidate, outcome: Outcome) -> None:
        if candidate.origin != Origin.SAMPLER:  # not before: a refused one never comes to the proposer's notice
            self.proposer.ask(candidate.number, dict(candidate.params))
        known = outcome if isinstance(outcome, Description) else None
        trial = TrialRecord(
            number=candidate.number,
            params=candidate.params,
            origin=candidate.origin,
            parameters=known.parameters if known else None,
            layers=tuple(LayerRecord(**vars(layer)) for layer in known.layers) if known else (),
            redraws=candidate.redraws,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        # A model that cannot be built is no trial that a later session would train: stored and closed at once.
        closing = (TrialState.FAILED, outcome.cause, outcome.detail) if isinstance(outcome, Failure) else None
        self.store.add_trial(trial, run=self.run_id, seconds=self.session_seconds(), close=closing)
        self.trials.append(trial)
        if isinstance(outcome, Failure):
            self._failed(trial, outcome)

    def _on_fold(self, job: FoldJob, outcome: Outcome) -> None:
        """Commit a fold; close its trial where it was the last, was stuck at chance, or failed."""
        trial = self.trials[job.trial]
        if trial.state != TrialState.RUNNING:
            return  # another fold of it failed meanwhile
        if isinstance(outcome, Failure):
            if outcome.cause != FailureCause.STOPPED:
                how = (TrialState.FAILED, outcome.cause, outcome.detail)
                self.store.close_trial(trial.number, *how, run=self.run_id, seconds=self.session_seconds())
                self._failed(trial, outcome)
            return
        assert isinstance(outcome, FoldResult)  # noqa: S101 - the answer to a FoldJob
        self._say_once(outcome.notes)
        fold = fold_record(job, outcome)
        closing = self._closing(trial, job, fold, outcome)
        self.store.add_fold(fold, run=self.run_id, seconds=self.session_seconds(), close=closing)
        self.session_folds += 1
        folds = sorted((*trial.folds, replace(fold, probabilities=None, curve={})), key=lambda f: (f.repeat, f.fold))
        self.trials[job.trial] = replace(trial, folds=tuple(folds))
        if closing:
            self._on_closed(job.trial, *closing)

    def _closing(self, trial: TrialRecord, job: FoldJob, fold: FoldRecord, outcome: FoldResult) -> Closing | None:
        """How a trial ends with this fold; None where it goes on."""
        if self._racing:
            self._racing.note(fold)
        if closing := collapse(job, outcome):
            return closing
        if outcome.behind:
            bar = job.training.min_score_at[fold.epochs]
            missed = f"at epoch {fold.epochs} of its first fold it had not reached {bar:.3f}"
            return TrialState.PRUNED, BEHIND_EARLY, f"{missed}, as the best third of the trials before it had"
        if len(trial.folds) + 1 == self.plan.folds:
            return TrialState.COMPLETE, None, None
        why = self._racing.behind(trial, fold) if self._racing else None
        return (TrialState.PRUNED, BEHIND, why) if why else None

    def _say_once(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self.said:
                self.said.add(note)
                self.observer.note(note)

    def _on_reference(self, job: ReferenceJob, outcome: Outcome) -> None:
        """Commit a reference's fold. One that fails is left out: the search does not need it."""
        if isinstance(outcome, Failure):
            if outcome.cause != FailureCause.STOPPED and self._references.leave_out(job.name):
                name = job.name.replace("_", " ")
                self.observer.note(f"no reference row of {name}: {outcome.cause}: {outcome.detail}")
            return
        assert isinstance(outcome, ReferenceResult)  # noqa: S101 - the answer to a ReferenceJob
        record = ReferenceRecord(name=job.name, fold=job.fold, **vars(outcome))
        self.store.add_reference(record, run=self.run_id, seconds=self.session_seconds())
        self._references.known.append(record)

    def _failed(self, trial: TrialRecord, failure: Failure) -> None:
        self._on_closed(trial.number, TrialState.FAILED, failure.cause, failure.detail)
        if failure.cause in SETUP_FAILURES and self.trials.broken_in_a_row % MAX_FAILURES_IN_A_ROW == 0:
            self.ending = Ending.FAILED
            self.observer.note(
                f"{self.trials.broken_in_a_row} trials in a row failed, the last with: {failure.detail}. "
                "Something is wrong with the set-up rather than the points; the search ends here."
            )

    def _on_closed(
        self, number: int, state: TrialState, cause: str | None = None, detail: str | None = None, *, tell: bool = True
    ) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        trial = replace(self.trials[number], state=state, cause=cause, detail=detail, finished=now)
        self.trials[number] = trial
        if self._racing:
            self._racing.closed(trial)
        if tell:
            self.proposer.tell(trial)
        self.observer.trial_closed(trial, self.progress())

    # Starting and ending

    def _reopen(self) -> None:
        """Trials that ran out of time go on."""
        out_of_time = [trial for trial in self.trials if trial.cause == OUT_OF_TIME]
        for trial in out_of_time:
            self.store.reopen_trial(trial.number)
        if out_of_time:
            self.trials = Trials(self.plan.metric, self.store.trials(curves=False))

    def _drain(self) -> None:
        """Give running folds a moment to end, then drop them. Where time is over, close what is left open."""
        deadline = self.clock() + GRACE_SECONDS
        while self.pending and self.clock() < deadline and self.ending is not Ending.FAILED:
            self._collect(TICK_SECONDS)
        if self.ending is Ending.FINISHED and self._time_is_over():
            for trial in self.trials.open:
                done = (
                    f"its time was over after {len(trial.folds)} of {self.plan.folds} folds; more hours go on with it"
                )
                self.store.close_trial(trial.number, TrialState.PRUNED, OUT_OF_TIME, done)
                self._on_closed(trial.number, TrialState.PRUNED, OUT_OF_TIME, done, tell=False)
