"""The loop: ask for a point, store it, train its folds, commit each, close the trial, tell the sampler.

Only the loop writes the database. Decisions without effects are functions and values in other modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from search.executors.drive import Drive
from search.jobs import (
    BundleJob,
    BundleResult,
    Description,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    Outcome,
    ReferenceJob,
    folds_in,
)
from search.results.progress import Ending, Progress
from search.samplers.base import Sampler
from search.session.activity import Activities, replaced, unfinished
from search.session.admission import Admission, Verdict
from search.session.budget import GRACE_SECONDS, patience
from search.session.bundles import Bundles
from search.session.candidate import Candidate, Work, job_of
from search.session.describing import Describing
from search.session.plan import Plan, fold_job
from search.session.points import Points
from search.session.racer import Racer, races
from search.session.records import fold_record, stopped_early, trial_record
from search.session.references import KEPT_SHARE, ReferenceQueue, keep_outcome
from search.session.session import Session
from search.session.time_left import TimeLeft, out_of_time
from search.session.trials import Trials, too_many_failures
from search.session.under_way import UnderWay
from search.stats.metrics import METRICS
from search.stats.outlook import little_gain
from search.stats.racing import BEHIND
from storage import (
    OUT_OF_TIME,
    Closing,
    FoldRecord,
    Split,
    TrialRecord,
    TrialState,
)
from storage.records import Origin

SHORT = 120.0  # seconds: with less time left, what may be saved comes before reference rows
SPARED = 2.0  # seconds of a limited time at whose end no further part of the learning curve is begun


@dataclass
class Loop:
    """The search of one session. `run` may be called once."""

    plan: Plan
    session: Session
    sampler: Sampler

    def __post_init__(self) -> None:
        plan = self.plan
        self._store, self._observer = self.session.store, self.session.observer
        self._drive: Drive[Work] = Drive(
            self.session.executor, job_of, self._on_outcome, self.show, self._store.together
        )
        self._under_way = UnderWay()
        self._trials = Trials(plan.metric)
        self._points = Points(plan, self.session, self.sampler, self._trials)
        self._describing = Describing()
        saving = plan.saving
        self._bundles = Bundles(plan.side_by_side, lambda job: bool(saving and saving.files(job)))
        self.references = ReferenceQueue(plan.references, plan.assignment, plan.folds, plan.seed, plan.parts)
        self._time = TimeLeft(plan, self.session, lambda: self.kept_for_references)
        self._admission = Admission(plan, self.session, self._time)
        self._racer = Racer(plan.race, plan.metric, plan.assignment) if plan.race else None
        self._defaults = {parameter.name: parameter.default for parameter in plan.space.parameters}
        self._folds_done = 0  # in this session
        self._answered = False  # whether a worker returned an outcome in this session
        self._states_stored = 0  # of fold runs that ended because the session was asked to stop
        self._notes: set[str] = set()  # notes of workers that were shown already
        self.ended_by_time = False  # or because no point is left that fits the time
        self._ending = Ending.FINISHED

    def load(self) -> None:
        """Load the stored trials and reference rows."""
        self._trials = Trials(self.plan.metric, self._store.trials(curves=False))
        self.references.load(self._store.references())

    def run(self) -> Ending:
        """Search until a budget is used up, a signal asks to stop, or too many trials in a row failed."""
        self.load()
        if not self._time.is_over(self._trials):
            self._time.recall(self._trials, self.show)
            self._reopen()
        self.sampler.replay(self._trials)
        if self._racer:
            self._racer.load(self._store, self._trials)
        self._points = Points(self.plan, self.session, self.sampler, self._trials)
        self.show()
        self._drive.run(lambda: self._begun(self._next_work()), self._may_go_on)
        self._admission.tell_left_out()
        self._drain()
        return self._ending

    @property
    def needed(self) -> float:
        """Expected seconds for making the model of the trials there are; 0 without a limit."""
        return self._time.needed(self._trials)

    @property
    def kept_for_references(self) -> float:
        """Seconds of a limited time that are kept back for references, and the learning curve; 0 without a limit."""
        if self.plan.seconds is None:
            return 0.0
        most = KEPT_SHARE * self.plan.seconds
        return min(self.references.left_seconds(most, probe=self.can_probe), most)

    @property
    def can_probe(self) -> bool:
        """Whether the features of the linear probe are at hand, so that it takes a moment."""
        return self._time.has_features(self.plan.probe_views)

    @property
    def slowness(self) -> float:
        """See `Prices.slowness`."""
        return self._time.slowness

    @property
    def running(self) -> tuple[Work, ...]:
        """Submitted work without an outcome, in order of submission."""
        return self._drive.running

    def show(self) -> None:
        """Show the observer the progress of the search, and tell of workers that were replaced."""
        for one in self.session.executor.replaced():
            self._observer.note(replaced(one, self.plan))
        self._observer.update(self.progress())

    def progress(self) -> Progress:
        """The current state."""
        leader = self._trials.best
        return Progress(
            trials=self._trials,
            metric=self.plan.metric,
            folds=self.plan.folds,
            running=self._under_way.runs,
            best=None if leader is None else leader.number,
            spent_seconds=self.session.spent,
            session_seconds=self.session.seconds,
            session_folds=self._folds_done,
            trials_budget=self.plan.trials,
            seconds_budget=self.plan.seconds,
            eta_seconds=self._time.eta(self._trials, self._folds_done),
            references=tuple(self.references.known),
            workers=self.session.executor.slots,
            defaults=self._defaults,
            doing=Activities(lambda: self.session.executor.doing, self.plan),
            answered=self._answered or self.session.executor.ready,
        )

    # Deciding

    def _may_go_on(self) -> bool:
        if self.session.stop.asked:
            self._stop()
        if self._ending is not Ending.FINISHED:
            return False
        if self._time.is_over(self._trials, self._is_unsure):
            self.ended_by_time = True
            return False
        if self._points.starts or not self._time.is_flat(self._trials):
            return True
        little = f"{little_gain(self.plan.metric):g} of {METRICS[self.plan.metric].words}"
        self._observer.note(f"another hour is expected to bring less than {little}: the search ends here")
        return False

    def _is_unsure(self) -> bool:
        """Whether a fold is running of which it is only guessed when it ends."""
        return any(self._time.is_guessed(self._trials[number]) for number in self._under_way.trials)

    # Submitting

    def _begun(self, work: Work | None) -> Work | None:
        """The work, which is submitted now."""
        self._under_way.begun(folds_in(work))
        return work

    def _next_work(self) -> Work | None:
        """The most useful work that is not running yet: folds of the oldest open trial, else a new point.

        Reference rows come between trial 0 and all others; in a short time after the known-good points. If trials
        race, a trial of the sampler runs one fold at a time, because its next fold may not be needed, unless there is
        nothing else to do; side by side all its folds run at once.
        """
        if job := self._next_folds(patient=self._racer is not None):
            return job
        may_wait = self._points.starts and self._time.seconds < SHORT
        if self._trials and not may_wait and (reference := self.references.next_job() or self._next_part(free=False)):
            return reference
        if self._describing.is_full(self.session.executor.slots, self._points.starts):
            return self._next_part(free=True)
        return self._next_candidate() or self._next_folds(patient=False) or self._next_part(free=True)

    def _next_candidate(self) -> Candidate | None:
        """The next point; None if there is none, or no further trial is wanted."""
        number = len(self._trials) + len(self._describing)
        if self.plan.trials is not None and number >= self.plan.trials:
            return None
        if candidate := self._points.next(number):
            self._describing.add(candidate)
        return candidate

    def _next_part(self, *, free: bool) -> ReferenceJob | None:
        """A short fit for the learning curve; `free`: while other workers are busy with what the search waits for."""
        if free and all(isinstance(work, ReferenceJob) for work in self.running):
            return None
        return self.references.next_part(self._time.seconds - SPARED, free=free)

    def _next_folds(self, *, patient: bool) -> FoldJob | BundleJob | None:
        """What is missing of the oldest open trial for whose next fold there is time: a fold, or some side by side.

        `patient`: a trial of the sampler waits while another of its folds is under way, because that may end the trial.
        """
        trials = self._trials.open_and_free(self._under_way.trials) if patient else self._trials.open
        missing = self._missing(trials, self._time.has_fold)
        return self._bundles.next_of(missing, lambda number, n: self._time.has_folds(self._trials[number], n))

    def _missing(self, trials: Iterable[TrialRecord], has_time: Callable[[TrialRecord], bool]) -> Iterator[FoldJob]:
        """The jobs of `UnderWay.missing`."""
        missing = self._under_way.missing(trials, self.plan.folds, has_time)
        return (self._fold_job(trial, fold) for trial, fold in missing)

    def _fold_job(self, trial: TrialRecord, fold: int) -> FoldJob:
        thresholds = self._racer.thresholds(trial, fold) if self._racer else {}
        options = replace(
            self.plan.fit_options(trial.params),
            min_score_at=thresholds,
            stop_collapsed=races(trial),  # the baseline, which others are compared with, is trained in full
        )
        job = fold_job(trial, fold, Split(0, self.plan.assignment), seed=self.plan.seed, options=options)
        return replace(job, keep=self._time.where_to_keep(trial, fold))

    # Outcomes

    def _on_outcome(self, work: Work, outcome: Outcome) -> None:
        self._answered = True
        self._under_way.ended(folds_in(work))
        match work:
            case Candidate():
                for candidate, its_outcome in self._describing.answered(work, outcome):
                    if not self._on_described(candidate, its_outcome):
                        self._describing.drop()
            case ReferenceJob():
                keep_outcome(self.references, self.session, work, outcome)
            case FoldJob():
                self._on_fold(work, outcome)
            case BundleJob():
                self._on_bundle(work, outcome)

    def _on_described(self, candidate: Candidate, outcome: Outcome) -> bool:
        """Store the point as a trial, or draw another if its model cannot be trained; False if neither was done."""
        verdict = self._admission.of(candidate, outcome, self._trials)
        if verdict is Verdict.ADMITTED:
            self._points.begun(candidate)
            self._add_trial(candidate, outcome)
            return True
        if verdict is Verdict.END:
            self._points.exhausted = self.ended_by_time = True
        return verdict is Verdict.ANOTHER and self._draw_anew(candidate)

    def _draw_anew(self, candidate: Candidate) -> bool:
        if not self._points.draw_anew(candidate):
            return False
        self._describing.again(candidate)
        self._drive.submit(candidate)
        return True

    def _add_trial(self, candidate: Candidate, outcome: Outcome) -> None:
        """Store a candidate as a trial; if the outcome is a failure, as a failed one."""
        self._admission.tell_left_out()
        if candidate.origin != Origin.SAMPLER:  # only now: the sampler must not learn of a point that was refused
            self.sampler.ask(candidate.number, dict(candidate.params))
        trial = trial_record(candidate, outcome if isinstance(outcome, Description) else None)
        # Closed in the same commit: a later session must not train a model that cannot be built.
        closing = (TrialState.FAILED, outcome.cause, outcome.detail) if isinstance(outcome, Failure) else None
        self._store.add_trial(trial, run=self.session.run_id, seconds=self.session.seconds, close=closing)
        self._trials.append(trial)
        if isinstance(outcome, Description):
            self._time.begun(outcome)
        if isinstance(outcome, Failure):
            self._failed(trial, outcome)

    def _on_fold(self, job: FoldJob, outcome: Outcome) -> None:
        """Commit a fold; close its trial if the fold was the last, was stuck at chance, or failed."""
        # Its state is stored, and the next session goes on with it.
        if isinstance(outcome, Failure) and outcome.cause == FailureCause.STOPPED:
            self._states_stored += 1
            return
        trial = self._trials[job.trial]
        if trial.state == TrialState.RUNNING:  # else another fold of it failed meanwhile
            self._commit(trial, job, outcome)
        self._forget_state(job)

    def _forget_state(self, job: FoldJob | BundleJob) -> None:
        """Remove the state that a fold run stored on its way, once its results are committed."""
        if saving := self.plan.saving:
            self._store.on_commit(lambda: saving.forget(job))

    def _on_bundle(self, bundle: BundleJob, outcome: Outcome) -> None:
        """Commit fold runs that were trained side by side, in order; what failed so is tried once more, one by one."""
        if isinstance(outcome, Failure):
            if outcome.cause == FailureCause.STOPPED:
                self._states_stored += len(bundle.folds)
            else:
                self._observer.note(self._bundles.failed(bundle, outcome))
            return
        assert isinstance(outcome, BundleResult)  # noqa: S101 - the answer to a BundleJob
        for job, result in zip(bundle.folds, outcome.folds, strict=False):
            self._on_fold(job, result)
        if len(outcome.folds) < len(bundle.folds):
            self._bundles.apart(bundle)
        self._forget_state(bundle)

    def _commit(self, trial: TrialRecord, job: FoldJob, outcome: Outcome) -> None:
        """See `_on_fold`."""
        if isinstance(outcome, Failure):
            closed = (TrialState.FAILED, outcome.cause, outcome.detail)
            self._store.close_trial(trial.number, *closed, run=self.session.run_id, seconds=self.session.seconds)
            self._failed(trial, outcome)
            return
        assert isinstance(outcome, FoldResult)  # noqa: S101 - the answer to a FoldJob
        self._note_once(outcome.notes)
        fold = fold_record(job, outcome)
        self._time.trained(trial, outcome.seconds)
        closing = self._closing(trial, job, fold, outcome)
        self._store.add_fold(fold, run=self.session.run_id, seconds=self.session.seconds, close=closing)
        self._folds_done += 1
        folds = sorted((*trial.folds, replace(fold, probabilities=None, curve={})), key=lambda f: (f.repeat, f.fold))
        self._trials[job.trial] = replace(trial, folds=tuple(folds))
        if closing:
            self._on_closed(job.trial, *closing)

    def _closing(self, trial: TrialRecord, job: FoldJob, fold: FoldRecord, outcome: FoldResult) -> Closing | None:
        """How a trial ends with this fold; None if it continues."""
        if self._racer:
            self._racer.note(fold)
        if closing := stopped_early(job, outcome):
            return closing
        if len(trial.folds) + 1 == self.plan.folds:
            return TrialState.COMPLETE, None, None
        why = self._racer.behind(trial, fold) if self._racer else None
        return (TrialState.PRUNED, BEHIND, why) if why else None

    def _note_once(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                self._note(note)

    def _note(self, text: str) -> None:
        """Tell of something that was stored, once it is committed."""
        self._store.on_commit(lambda: self._observer.note(text))

    def _failed(self, trial: TrialRecord, failure: Failure) -> None:
        """Update the state after a stored trial failed; end the search after too many failures in a row."""
        self._on_closed(trial.number, TrialState.FAILED, failure.cause, failure.detail)
        self._points.failed(trial.number)
        if why := too_many_failures(self._trials, self._trials[trial.number]):
            self._ending = Ending.FAILED
            self._note(why)

    def _on_closed(
        self, number: int, state: TrialState, cause: str | None = None, detail: str | None = None, *, tell: bool = True
    ) -> None:
        """Update the state after a stored trial ended. `tell`: whether the sampler learns of it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        trial = replace(self._trials[number], state=state, cause=cause, detail=detail, finished=now)
        self._trials[number] = trial
        if self._racer:
            self._racer.closed(trial)
        if tell:
            self.sampler.tell(trial)
        progress = self.progress()
        self._store.on_commit(lambda: self._time.forget_weights(trial, self._trials))
        self._store.on_commit(lambda: self._observer.trial_closed(trial, progress))

    # Starting and ending

    def _reopen(self) -> None:
        """Reopen trials that ran out of time, if there is some now for their next fold."""
        out_of_time = [t for t in self._trials if t.cause == OUT_OF_TIME and self._time.has_fold(t)]
        for trial in out_of_time:
            self._store.reopen_trial(trial.number)
        if out_of_time:
            self._trials = Trials(self.plan.metric, self._store.trials(curves=False))

    def _drain(self) -> None:
        """Give running folds a grace period, then drop them. If no more time is left, close trials that are open.

        A session that is asked to stop meanwhile closes none: the next one goes on with their missing folds.
        """
        seconds = self.plan.seconds
        if self._ending is not Ending.FINISHED or seconds is None:
            self._wait_a_little()
            return
        self._wait(patience(seconds, unsure=self._is_unsure()))
        self._train_last_folds()
        if self.session.stop.asked:
            self._stop()
            self._wait_a_little()
            return
        with self._store.together():
            for trial in self._trials.open:
                detail = out_of_time(len(trial.folds), self.plan.folds)
                self._store.close_trial(trial.number, TrialState.PRUNED, OUT_OF_TIME, detail)
                self._on_closed(trial.number, TrialState.PRUNED, OUT_OF_TIME, detail, tell=False)

    def _stop(self) -> None:
        self._ending = Ending.STOPPED
        self._observer.note(f"stopping: running folds get {GRACE_SECONDS:.0f} s to end; ask again to leave at once")
        self.session.executor.save(GRACE_SECONDS)

    def _wait_a_little(self) -> None:
        self._wait(GRACE_SECONDS)
        if self._ending is Ending.STOPPED and (words := unfinished(self._states_stored, self.running)):
            self._observer.note(words)

    def _wait(self, seconds: float) -> None:
        """Wait for what is running, at most so long."""
        deadline = self.session.clock() + seconds
        self._drive.run(lambda: None, lambda: self.session.clock() < deadline and self._ending is not Ending.FAILED)

    def _train_last_folds(self) -> None:
        """Train missing folds of trials that could be chosen, before the time for confirming others is used."""
        numbers = () if self.running or self.session.stop.asked else self._time.last_folds(self._trials)

        def next_fold() -> FoldJob | None:
            trials = (trial for number in numbers if (trial := self._trials[number]).state == TrialState.RUNNING)
            fitting = self._missing(trials, lambda trial: self._time.has_last_fold(trial, self._trials))
            return next(fitting, None)

        def may_go_on() -> bool:
            running = [self._trials[number] for number in self._under_way.trials]
            return not self.session.stop.asked and self._time.until_last(self._trials, running) > 0

        if job := next_fold():
            self._observer.note(f"trial {job.trial} could be chosen: folds that it lacks come first")
            self._drive.run(lambda: self._begun(next_fold()), may_go_on)
