"""After the search: confirm the best few on new folds, choose, train the choice on all images, save it as one model.

The choice depends on stored results only (`stats/selection.py`); the clock decides only how much of this is done.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.executors.drive import Drive
from search.jobs import (
    PROBE,
    ComposeJob,
    Failure,
    FailureCause,
    FitOptions,
    FoldJob,
    FoldResult,
    LookJob,
    Outcome,
    RefitJob,
    SavedModel,
)
from search.manifest import PACKAGING
from search.results.gradcam import write_looks
from search.results.read import read_telling
from search.seeds import derive
from search.session.budget import (
    GRACE_SECONDS,
    SAVING,
    WITH_CARE,
    combining_seconds,
    ensemble_seconds,
    fold_seconds,
    networks_of,
    predicting_seconds,
    refit_seconds,
    usable,
)
from search.session.gradcam import kept_for_looks, look_jobs, look_seconds, looking, looks_of
from search.session.plan import Plan, fold_job, fold_seed
from search.session.prices import SPEED
from search.session.records import fold_record
from search.session.session import Session
from search.session.testing import MIN_TESTED, rows_to_predict
from search.session.weight_files import forget, is_intact, model_of, sweep_states, weights_of
from search.stats.calibration import Correction, fitted
from search.stats.evidence import Evidence, candidates_of, cost
from search.stats.selection import CONFIRMING, REPEATS, Member, better_in_folds, decide, finalists
from search.study.evidence import stored_evidence
from search.study.folder import StudyFolder
from spaces.recipe import plateau_factor
from storage import ChoiceRecord, FoldRecord, Split, StorageError, Store, TrialRecord

MAX_UNUSABLE = 3  # unusable trials, after which no further one is tried
UNTRAINABLE = {FailureCause.REFUSED, FailureCause.OUT_OF_MEMORY, FailureCause.WORKER_DIED, FailureCause.HUNG}
"""What excludes a trial from the choice. A model that cannot be saved has another cause."""
FEW_ROWS = 32  # validation images of a refit; its scores are not used

AnyJob = TypeVar("AnyJob", FoldJob, RefitJob, ComposeJob, LookJob)


@dataclass
class Finish:
    """Finishes a study whose search is over. `run` may be called once."""

    plan: Plan
    session: Session
    show: Callable[[], object]  # called while jobs are waited for
    folder: StudyFolder
    draw: Callable[[int], NDArray[np.int16]]  # the folds of a repeat
    labels: NDArray[np.int16]  # [images]
    testing: NDArray[np.bool_]  # [images]
    about: Mapping[str, Any]  # goes into the model's file
    needed: float = 0.0  # seconds for making the model, as the search expects
    has_spare_time: bool = False  # whether the search left time that it had no use for
    slowness: float = 1.0  # see `Prices.slowness`

    def __post_init__(self) -> None:
        self._store, self._note = self.session.store, self.session.observer.note
        self._unusable: set[int] = set()  # trials that could not be trained on all images

    def run(self) -> None:
        """Confirm, choose and save the model, unless that is done. After a signal to stop, stored results stay."""
        trials = self._store.trials(curves=False)
        if not usable(trials, self.plan.metric) or self.folder.model_is_current(self._store):
            return
        self._confirm(trials)
        if not self.session.stop.asked:
            self._ship(self._store.trials(curves=False))

    def _ship(self, trials: Sequence[TrialRecord]) -> None:
        """Make a model of the choice; if a trial cannot be trained on all images, choose again without it."""
        evidence, unusable = stored_evidence(self._store, trials, confirmed=True, passes=self.plan.passes), -1
        while evidence and unusable < len(self._unusable) <= MAX_UNUSABLE and not self.session.stop.asked:
            unusable = len(self._unusable)
            members = self._choose(evidence, trials)
            if not members or self._make(evidence, members):
                return

    # Confirming

    def _confirm(self, trials: Sequence[TrialRecord]) -> None:
        """Train the finalists on new folds, the best first, as far as time allows."""
        plan, by_number = self.plan, {trial.number: trial for trial in trials}
        share = math.inf if self.has_spare_time else CONFIRMING
        numbers = finalists(trials, plan.metric, plan.folds, int((plan.assignment >= 0).sum()), share)
        of_trials: list[list[FoldJob]] = []  # those of each trial and repeat; part of a repeat would not count
        for repeat in range(1, REPEATS + 1 if numbers else 0):
            if repeat >= len(self._store.splits()):
                self._store.add_split(Split(repeat, self.draw(repeat)))
            of_trials += [jobs for number in numbers if (jobs := self._missing(by_number[number], repeat))]
        if not of_trials:
            return
        jobs, seconds = [], 0.0
        for of_one in of_trials:
            more = len(of_one) * fold_seconds(by_number[of_one[0].trial]) / self.session.executor.slots
            if seconds + more <= self._left() - self.needed:
                jobs, seconds = [*jobs, *of_one], seconds + more
        if not jobs:
            self._note(f"too little time is left to confirm the best {len(numbers)} trials on new folds")
            return
        confirmed = {job.trial for job in jobs}
        slowest = max(fold_seconds(by_number[number]) for number in confirmed)
        which = f"{len(confirmed)} trials" if len(confirmed) > 1 else "trial"
        self._note(f"confirming the best {which} on new folds, {len(jobs)} fold runs")
        self._do(jobs, self._on_confirmed, lambda: self._left() > self.needed + slowest)

    def _missing(self, trial: TrialRecord, repeat: int) -> list[FoldJob]:
        """The fold runs that a trial lacks in a repeat, each trained in full: trials do not race here."""
        done = {fold.fold for fold in trial.folds if fold.repeat == repeat}
        split = self._store.split(repeat)
        options = replace(self.plan.fit_options(trial.params), stop_collapsed=False)
        return [
            fold_job(trial, fold, split, seed=self.plan.seed, options=options)
            for fold in range(self.plan.folds)
            if fold not in done
        ]

    def _on_confirmed(self, job: FoldJob, outcome: Outcome) -> None:
        if isinstance(outcome, FoldResult):
            self._store.add_fold(fold_record(job, outcome), run=self.session.run_id, seconds=self.session.seconds)
            if self.plan.saving:
                self.plan.saving.forget(job)

    # Choosing and shipping

    def _make(self, evidence: Evidence, members: tuple[Member, ...]) -> bool:
        """Train the choice, save it as one model, and store the choice. Returns whether that succeeded."""
        started = self.session.clock()
        refits = {member: self._refit_job(self._store.trial(member.trial), member.fold) for member in members}
        longest_first = sorted(refits, key=lambda member: -fold_seconds(self._store.trial(member.trial)))
        jobs = [refits[member] for member in longest_first if not is_intact(refits[member].path)]
        self._note(_what_is_made(members, sum(job.weights is not None for job in jobs)))
        if not self._do(jobs, self._on_saved):
            return False
        made = datetime.now(UTC).isoformat(timespec="seconds")
        correction = _correction(evidence, members)
        about = {"made": made, "temperature": correction.temperature, "doubt": correction.doubt}
        rows = self._tested_rows(evidence, members)
        saved = self._compose([refits[member].path for member in members], members, about, rows)
        if saved is None:
            return False
        probabilities = None
        if saved.probabilities is not None:
            probabilities = np.full((self.testing.sum(), saved.probabilities.shape[1]), np.nan, np.float32)
            probabilities[np.isin(np.flatnonzero(self.testing), rows)] = saved.probabilities
        record = ChoiceRecord(
            made=made,
            trial=_leading(members),
            members=tuple((member.trial, member.weight) for member in members),
            left_out=tuple(member.fold for member in members),
            pool=evidence.numbers,
            folds=self._store.fold_runs(),
            seconds=self.session.clock() - started,
            probabilities=probabilities,
        )
        self._store.add_choice(record, run=self.session.run_id, seconds=self.session.seconds)
        forget(self.folder, evidence.numbers)
        sweep_states(self.plan.saving, self._store, chosen=True)
        self._look(record, members, {member: refits[member].path for member in members})
        return True

    def _look(self, choice: ChoiceRecord, members: Sequence[Member], paths: Mapping[Member, Path]) -> None:
        """Keep where the model looks in the images that a report shows, if there is time.

        The model and the choice are stored by now, so nothing that fails here ends the session.
        """
        try:
            wrong = self._looked(choice, members, paths)
        except (StorageError, OSError) as error:
            wrong = str(error)
        except Exception as error:  # noqa: BLE001 - see above
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            self._note(f"where the model looks is not shown: {wrong}")

    def _looked(self, choice: ChoiceRecord, members: Sequence[Member], paths: Mapping[Member, Path]) -> str | None:
        """See `_look`; returns what went wrong in a worker. Raises whatever reading and writing raises."""
        networks = looking(choice.trial, members)
        if self.session.stop.asked or self._look_seconds(members) > self._left():
            return None
        jobs = look_jobs(read_telling(self._store).examples, networks, paths, self.plan.assignment)
        outcomes: list[tuple[LookJob, Outcome]] = []
        self._do(jobs, lambda job, outcome: outcomes.append((job, outcome)), may_wait=lambda: self._left() > 0)
        looks = looks_of(choice, networks, outcomes)
        if looks.maps:
            write_looks(self.folder.looks, looks)
        wrong = [o.detail for _, o in outcomes if isinstance(o, Failure) and o.cause != FailureCause.STOPPED]
        wrong += ["the time was over before"] if len(outcomes) < len(jobs) and not self.session.stop.asked else []
        return wrong[0] if wrong else None

    def _tested_rows(self, evidence: Evidence, members: Sequence[Member]) -> NDArray[np.int32]:
        """The testing images that there is time to predict with the model."""
        if self.plan.seconds is None:
            return np.flatnonzero(self.testing).astype(np.int32)
        later = kept_for_looks(self._look_seconds(members), self.plan.seconds)
        later += max(self.slowness, 1.0) * SAVING
        passes = (evidence.passes[evidence.row(member.trial)] for member in members)
        later += combining_seconds(networks_of(passes), self.slowness)
        each = WITH_CARE * predicting_seconds(evidence, members, self.slowness)
        rows = rows_to_predict(
            self.testing, self.labels, self.plan.seed, (self._left() - later) / each if each else math.inf
        )
        if (tested := len(rows)) < (images := self.testing.sum()):
            self._note(f"the model is tested on {tested:,} of {images:,} testing images: there is no time for more")
        return rows

    def _look_seconds(self, members: Sequence[Member]) -> float:
        """Expected seconds to see where the model looks."""
        trial = _leading(members)
        predicting, networks = cost(self._store.trial(trial)) / SPEED, len(looking(trial, members))
        return max(self.slowness, 1.0) * look_seconds(predicting, networks)

    def _compose(
        self, paths: Sequence[Path], members: Sequence[Member], about: Mapping[str, Any], rows: NDArray[np.int32]
    ) -> SavedModel | None:
        """Save the members' models, in the files `paths`, as one, with more to say about it, and test it on `rows`.

        None if that failed.
        """
        about = {**self.about, **about, "packaging": PACKAGING, "members": [vars(member) for member in members]}
        job = ComposeJob(
            parts=tuple((path, member.weight) for path, member in zip(paths, members, strict=True)),
            path=self.folder.model,
            about=about,
            rows=rows,
        )
        saved: list[SavedModel] = []

        def on_outcome(job: ComposeJob, outcome: Outcome) -> None:
            self._on_saved(job, outcome)
            if isinstance(outcome, SavedModel):
                saved.append(outcome)

        self._do([job], on_outcome)
        return saved[0] if saved else None

    def _choose(self, evidence: Evidence, trials: Sequence[TrialRecord]) -> tuple[Member, ...]:
        """The models to make of what is chosen; empty without a choice.

        Only trials that there is time to train, or whose folds' models are kept, are compared. An ensemble must also
        predict a few testing images in time; a single trial does so in any case.
        """
        by_number, left = {trial.number: trial for trial in trials}, self._left()
        candidates = candidates_of(evidence, trials)
        candidates &= np.array([number not in self._unusable for number in evidence.numbers])
        affordable = np.array(
            [self._fits([by_number[n]], left) or bool(self._kept(by_number[n])) for n in evidence.numbers]
        )
        if (candidates & affordable).any():
            candidates &= affordable
        members = decide(evidence, candidates, self.plan.wish)
        if len(members) == 1 and self._in_folds(by_number[members[0].trial], left):
            return tuple(Member(members[0].trial, 1 / self.plan.folds, fold) for fold in range(self.plan.folds))
        few, predicting = min(self.testing.sum(), MIN_TESTED), partial(predicting_seconds, evidence)
        if len(members) > 1:
            several = self._in_time(members, by_number, left - few * predicting(members, self.slowness))
            if several and few * predicting(several, self.slowness) <= left:  # the kept models of folds share nothing
                return several
        return self._in_time(decide(evidence, candidates, self.plan.wish, alone=True), by_number, left)

    def _in_time(
        self, members: tuple[Member, ...], by_number: Mapping[int, TrialRecord], left: float
    ) -> tuple[Member, ...]:
        """The members, the longest replaced by the kept models of their folds until there is time for the others.

        Empty if there is no time for an ensemble.
        """
        longest_first = sorted(members, key=lambda member: -fold_seconds(by_number[member.trial]))
        made: list[Member] = []
        while longest_first and not self._fits([by_number[member.trial] for member in longest_first], left):
            member = longest_first.pop(0)
            kept = self._kept(by_number[member.trial])
            if not kept and len(members) > 1:
                return ()
            made += [Member(member.trial, member.weight / len(kept), fold) for fold in kept] or [member]
        return (*longest_first, *made)

    def _fits(self, trials: Sequence[TrialRecord], left: float) -> bool:
        """Whether there is time to train these trials on all images, and to make one model of them.

        A single one, without which there is no model, is made without a safety factor: the reserve had the same one.
        """
        training = refit_seconds(trials, self.plan.folds, self.session.executor.slots)
        if len(trials) == 1:
            return training <= left * WITH_CARE
        networks = networks_of(self.plan.passes(trial.params) for trial in trials)
        return training + ensemble_seconds(networks, self.slowness) <= left

    def _kept(self, trial: TrialRecord) -> list[int]:
        """The folds of the search whose trained weights are kept."""
        return [f.fold for f in trial.folds if f.repeat == 0 and is_intact(self._weights(trial, f.fold))]

    def _weights(self, trial: TrialRecord, fold: int) -> Path:
        seed, fingerprint = self.plan.seed, self._store.study().fingerprint
        return weights_of(
            self.folder, trial.number, fold, fold_seed(seed, trial.number, 0, fold), trial.params, fingerprint
        )

    def _in_folds(self, trial: TrialRecord, left: float) -> bool:
        """Whether the models of the trial's folds are better as an ensemble, and there is time to train them again."""
        searched = self.plan.assignment >= 0
        repeats = [r for r in range(REPEATS + 1) if sum(f.repeat == r for f in trial.folds) == self.plan.folds]
        rounds = -(-self.plan.folds // self.session.executor.slots)
        networks = networks_of([self.plan.passes(trial.params)] * self.plan.folds)
        training = SAVING + WITH_CARE * fold_seconds(trial) * rounds
        if len(repeats) < 2 or training + ensemble_seconds(networks, self.slowness) > left:
            return False
        probabilities = np.stack([out_of_fold(self._store, trial.number, repeat)[searched] for repeat in repeats])
        return better_in_folds(probabilities, self.labels[searched], self.plan.folds, self.plan.metric)

    def _refit_job(self, trial: TrialRecord, fold: int | None) -> RefitJob:
        """The job that trains the trial on all images, or as in a fold. Its file name has a hash of all its inputs."""
        like = [f for f in trial.folds if fold is None or (f.repeat, f.fold) == (0, fold)]
        options = refit_options(like, self.plan.fit_options(trial.params))
        if fold is None:
            rows = np.flatnonzero(self.plan.assignment >= 0).astype(np.int32)
            job = FoldJob(
                trial=trial.number,
                repeat=0,
                fold=0,
                params=trial.params,
                train=rows,
                validate=rows[:FEW_ROWS],
                seed=derive(self.plan.seed, "refit", trial.number),
                training=options,
            )
        else:
            split = Split(0, self.plan.assignment)
            job = fold_job(trial, fold, split, seed=self.plan.seed, options=options)
        weights = None if fold is None else self._weights(trial, fold)
        path = model_of(self.folder, job, options, self._store.study().fingerprint)
        kept = weights if weights and is_intact(weights) else None
        probed = any(reference.name == PROBE for reference in self._store.references())
        return RefitJob(job, path, kept, self.plan.assignment[job.train], probed)

    def _on_saved(self, job: RefitJob | ComposeJob, outcome: Outcome) -> None:
        """Report why a model was not saved."""
        if isinstance(outcome, Failure) and outcome.cause != FailureCause.STOPPED:
            model = f"trial {job.fold.trial}" if isinstance(job, RefitJob) else "the choice"
            self._note(f"no model is saved: {model}: {outcome.detail}")
            if isinstance(job, RefitJob) and outcome.cause in UNTRAINABLE:
                self._unusable.add(job.fold.trial)

    # Doing

    def _left(self) -> float:
        limit = self.plan.limit
        return float("inf") if limit is None else limit - self.session.spent

    def _do(
        self,
        jobs: Sequence[AnyJob],
        done: Callable[[AnyJob, Outcome], object],
        go_on: Callable[[], bool] = lambda: True,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Run all jobs, as many at a time as there are slots. Returns whether all were run and none failed.

        No further job is started once `go_on` returns False. Running ones are ended, and all workers with them, once
        `may_wait` returns False: only for what comes last. At a stop, trainings have a little time, as in the search.
        """
        waiting, succeeded = deque(jobs), 0

        def on_outcome(job: AnyJob, outcome: Outcome) -> None:
            nonlocal succeeded
            succeeded += not isinstance(outcome, Failure)
            done(job, outcome)

        drive: Drive[AnyJob] = Drive(self.session.executor, lambda job: job, on_outcome, self.show)
        drive.run(
            lambda: waiting.popleft() if waiting and go_on() else None,
            lambda: not self.session.stop.asked and may_wait(),
        )
        if self.session.stop.asked and any(isinstance(job, FoldJob | RefitJob) for job in drive.running):
            self.session.executor.save(GRACE_SECONDS)
            deadline = self.session.clock() + GRACE_SECONDS
            drive.run(lambda: None, lambda: self.session.clock() < deadline)
        if drive.running and not may_wait():
            self.session.executor.close(kill=True)
        return succeeded == len(jobs)


def _leading(members: Sequence[Member]) -> int:
    """The trial whose models weigh most."""
    return max(members, key=lambda m: sum(other.weight for other in members if other.trial == m.trial)).trial


def _correction(evidence: Evidence, members: Sequence[Member]) -> Correction:
    """Of the members' predictions for images that they were not trained on; none if there are none."""
    mean = evidence.mean([(member.trial, member.weight) for member in members])
    if mean is None:
        return Correction()
    known = ~np.isnan(mean).any(axis=1)
    return fitted(evidence.labels[known], mean[known])


def _what_is_made(members: Sequence[Member], kept: int) -> str:
    """A note on what is trained."""
    names = ", ".join(str(number) for number in dict.fromkeys(member.trial for member in members))
    which = f"trial{'s' if ',' in names else ''} {names}"
    if kept:
        return f"making the model of {which}; {kept} networks of folds are used as they are"
    where = "on all images" if all(member.fold is None for member in members) else "without each of its folds"
    return f"training the choice, {which}, {where}"


def refit_options(folds: Sequence[FoldRecord], training: FitOptions) -> FitOptions:
    """Options to train as `folds` of one trial, given with their curves, were trained up to their best epochs.

    The number of epochs is the mean of their best epochs; the learning rates are those of the fold whose best epoch is
    nearest to it. For one fold, this repeats its training. Nothing stops the training earlier.
    """
    epochs = max(1, round(float(np.mean([fold.best_epoch for fold in folds]))))
    nearest = min(folds, key=lambda fold: (abs(fold.best_epoch - epochs), fold.repeat, fold.fold))
    factors, best, best_loss = [], 0, float("inf")
    for epoch, loss in enumerate(nearest.curve.get("val_log_loss", ()), start=1):
        factors.append(plateau_factor(epoch - 1 - best))
        if loss < best_loss - training.min_delta:
            best, best_loss = epoch, loss
    return replace(
        training,
        max_epochs=epochs,
        patience=0,
        use_last_epoch=True,
        lr_factors=tuple(factors),
        stop_collapsed=False,
    )


def out_of_fold(store: Store, number: int, repeat: int = 0) -> NDArray[np.float32]:
    """[images, classes] out-of-fold probabilities of a trial; 0 for images in no fold."""
    assignment = store.split(repeat).assignment
    probabilities = np.zeros((len(assignment), len(store.study().classes)), np.float32)
    for fold, of_fold in store.probabilities(number, repeat).items():
        probabilities[assignment == fold] = of_fold
    return probabilities
