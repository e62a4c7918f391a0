"""After the search: confirm the best few on new folds, choose, train the choice on all images, save it as one model.

What is chosen follows from stored results alone (`stats/selection.py`); only how much there is time for is the clock's.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.data.folds import fold_rows
from search.executors.base import Executor
from search.executors.drive import TICK_SECONDS
from search.jobs import (
    ComposeJob,
    Failure,
    FailureCause,
    FitOptions,
    FoldJob,
    FoldResult,
    Outcome,
    RefitJob,
    SavedModel,
)
from search.manifest import PACKAGING
from search.seeds import derive
from search.session.budget import SAVING, WITH_CARE, fold_seconds, refit_seconds
from search.session.loop import Loop
from search.session.records import fold_record
from search.stats.estimate import MAX_TRIALS
from search.stats.selection import REPEATS, Member, best_together, better_in_folds, choose, complete, finalists
from search.study.folder import MODEL, is_current
from spaces.recipe import plateau_factor
from storage import ChoiceRecord, FoldRecord, Split, Store, TrialRecord

MAX_LOST = 3  # trials, after which no further one is tried
FEW_ROWS = 32  # that a refit is judged on, whose scores nobody reads

AnyJob = TypeVar("AnyJob", FoldJob, RefitJob, ComposeJob)


@dataclass
class Finish:
    """One finishing of a study. `run` may be called once."""

    loop: Loop  # whose search is over
    executor: Executor
    folder: Path  # of the study
    draw: Callable[[int], NDArray[np.int16]]  # the folds of a repeat
    labels: NDArray[np.int16]  # [images]
    testing: NDArray[np.bool_]  # [images]
    about: Mapping[str, Any]  # goes into the model's file
    running: dict[Future[Outcome], Any] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)  # trials that gave nothing usable when trained on all images

    def __post_init__(self) -> None:
        self.plan, self.store, self.note = self.loop.plan, self.loop.store, self.loop.observer.note

    def run(self) -> None:
        """Confirm, choose and ship, unless that is done. Where somebody asks to stop, what is stored stays."""
        trials = self.store.trials(curves=False)
        if not complete(trials, self.plan.metric) or is_current(self.store, self.folder):
            return
        self._confirm(trials)
        if not self.loop.stop.asked:
            self._ship(self.store.trials(curves=False))

    def _ship(self, trials: Sequence[TrialRecord]) -> None:
        """Make a model of the choice; where one of its trials is lost on all images, of the choice without it."""
        before = -1
        while before < len(self.lost) <= MAX_LOST and not self.loop.stop.asked:
            before = len(self.lost)
            choice = self._choose([trial for trial in trials if trial.number not in self.lost])
            if choice is None or self._make(*choice):
                return

    # Confirming

    def _confirm(self, trials: Sequence[TrialRecord]) -> None:
        """Train the finalists on new folds, as far as time allows."""
        plan, by_number = self.plan, {trial.number: trial for trial in trials}
        numbers = finalists(trials, plan.metric, plan.folds, int((plan.assignment >= 0).sum()))
        jobs = []
        for repeat in range(1, REPEATS + 1 if numbers else 0):
            if repeat >= len(self.store.splits()):
                self.store.add_split(Split(repeat, self.draw(repeat)))
            jobs += [job for number in numbers for job in self._missing(by_number[number], repeat)]
        if not jobs:
            return
        needed = refit_seconds(complete(trials, plan.metric)[:5], plan.folds)
        slowest = max(fold_seconds(by_number[number]) for number in numbers)
        runs = sum(fold_seconds(by_number[job.trial]) for job in jobs) / self.executor.slots
        if self._left() < needed + runs:
            self.note(f"too little time is left to confirm the best {len(numbers)} trials on new folds")
            return
        self.note(f"confirming the best {len(numbers)} trials on new folds, {len(jobs)} fold runs")
        self._do(jobs, self._confirmed, lambda: self._left() > needed + slowest)

    def _missing(self, trial: TrialRecord, repeat: int) -> list[FoldJob]:
        there = {fold.fold for fold in trial.folds if fold.repeat == repeat}
        assignment = self.store.split(repeat).assignment
        return [
            replace(self.loop.fold_job(trial, fold, repeat), train=train, validate=validate)
            for fold in range(self.plan.folds)
            if fold not in there
            for train, validate in [fold_rows(assignment, fold)]
        ]

    def _confirmed(self, job: FoldJob, outcome: Outcome) -> None:
        if isinstance(outcome, FoldResult):
            self.store.add_fold(fold_record(job, outcome), run=self.loop.run_id, seconds=self.loop.session_seconds())

    # Choosing and shipping

    def _make(self, trial: TrialRecord, pool: tuple[int, ...], members: tuple[Member, ...]) -> bool:
        """Train what is to be shipped, save it as one model, and store the choice; whether that was done."""
        started = time.monotonic()
        parts = {member: self._refit_job(self.store.trial(member.trial), member.fold) for member in members}
        longest_first = sorted(parts, key=lambda member: -fold_seconds(self.store.trial(member.trial)))
        jobs = [parts[member] for member in longest_first if not is_intact(parts[member].path)]
        names = ", ".join(str(number) for number in dict.fromkeys(member.trial for member in members))
        where = "on all images" if members[0].fold is None else "without each of its folds"
        self.note(f"training the choice, trial{'s' if members[-1].trial != members[0].trial else ''} {names}, {where}")
        if not self._do(jobs, self._saved):
            return False
        rows = np.flatnonzero(self.testing).astype(np.int32)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        members_of = [vars(member) for member in members]
        told = {**self.about, "made": made, "packaging": PACKAGING, "members": members_of}
        path = self.folder / "models" / MODEL
        found: list[SavedModel] = []
        compose = ComposeJob(tuple((parts[member].path, member.weight) for member in members), path, told, rows)

        def composed(job: ComposeJob, outcome: Outcome) -> None:
            if self._saved(job, outcome) and isinstance(outcome, SavedModel):
                found.append(outcome)

        if not self._do([compose], composed):
            return False
        record = ChoiceRecord(
            made=made,
            trial=trial.number,
            members=tuple((member.trial, member.weight) for member in members),
            pool=pool,
            folds=self.store.fold_runs(),
            seconds=time.monotonic() - started,
            probabilities=found[0].probabilities,
        )
        self.store.add_choice(record, run=self.loop.run_id, seconds=self.loop.session_seconds())
        return True

    def _choose(self, trials: Sequence[TrialRecord]) -> tuple[TrialRecord, tuple[int, ...], tuple[Member, ...]] | None:
        """The chosen trial, those that it was compared with, and it or an ensemble of them: what is shipped.

        Only what there is time for is compared.
        """
        plan, searched = self.plan, self.plan.assignment >= 0
        chosen = choose(trials, plan.metric, int(searched.sum()))
        if chosen is None:
            return None
        left = self._left() * WITH_CARE  # without that care: what was kept back was estimated in the same way
        affordable = [t for t in complete(trials, plan.metric) if refit_seconds([t], plan.folds) <= left]
        numbers = list(dict.fromkeys([*(t.number for t in affordable[:MAX_TRIALS]), chosen.number]))
        probabilities = np.stack([out_of_fold(self.store, number)[searched] for number in numbers])
        folds = plan.assignment[searched]
        members = best_together(chosen.number, numbers, probabilities, self.labels[searched], folds, plan.metric)
        if len(members) == 1:
            chosen = next(trial for trial in trials if trial.number == members[0].trial)
            if self._in_folds(chosen, left):
                members = tuple(Member(chosen.number, 1 / plan.folds, fold) for fold in range(plan.folds))
        return chosen, tuple(numbers), members

    def _in_folds(self, trial: TrialRecord, left: float) -> bool:
        """Whether the models of the trial's folds are better together, and there is time to train them again."""
        searched = self.plan.assignment >= 0
        repeats = [r for r in range(REPEATS + 1) if sum(f.repeat == r for f in trial.folds) == self.plan.folds]
        rounds = -(-self.plan.folds // self.executor.slots)
        if len(repeats) < 2 or SAVING + WITH_CARE * fold_seconds(trial) * rounds > left:
            return False
        said = np.stack([out_of_fold(self.store, trial.number, repeat)[searched] for repeat in repeats])
        return better_in_folds(said, self.labels[searched], self.plan.folds, self.plan.metric)

    def _refit_job(self, trial: TrialRecord, fold: int | None) -> RefitJob:
        """The trial on all images, or as in a fold; its file is named by all that decides what is in it."""
        job = self.loop.fold_job(trial, fold or 0)
        if fold is None:
            rows = np.flatnonzero(self.plan.assignment >= 0).astype(np.int32)
            seed = derive(self.plan.seed, "refit", trial.number)
            job = replace(
                job,
                train=rows,
                validate=rows[:FEW_ROWS],
                seed=seed,
                training=refit_options(trial.folds, self.plan.training),
            )
        else:
            alone = [found for found in trial.folds if (found.repeat, found.fold) == (0, fold)]
            job = replace(job, training=refit_options(alone, self.plan.training))
        key = [
            trial.number,
            dict(trial.params),
            job.seed,
            vars(job.training),
            self.store.study().fingerprint,
            PACKAGING,
        ]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        return RefitJob(job, (self.folder / "cache" / "refits" / f"trial-{trial.number}-{digest}.keras").absolute())

    def _saved(self, job: RefitJob | ComposeJob, outcome: Outcome) -> bool:
        if isinstance(outcome, Failure) and outcome.cause != FailureCause.STOPPED:
            what = f"trial {job.fold.trial}" if isinstance(job, RefitJob) else "the choice"
            self.note(f"no model is saved: {what}: {outcome.detail}")
            # Refused is what cannot be trained; a model that cannot be saved fails otherwise.
            if isinstance(job, RefitJob) and outcome.cause == FailureCause.REFUSED:
                self.lost.add(job.fold.trial)
        return isinstance(outcome, SavedModel)

    # Doing

    def _left(self) -> float:
        return float("inf") if self.plan.seconds is None else self.plan.seconds - self.loop.spent()

    def _do(
        self,
        jobs: Sequence[AnyJob],
        done: Callable[[AnyJob, Outcome], object],
        go_on: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Have all jobs done, as many at a time as there are slots; whether each one was, and none failed."""
        waiting, whole = list(reversed(jobs)), True
        while (waiting or self.running) and not self.loop.stop.asked:
            while waiting and len(self.running) < self.executor.slots and go_on():
                job = waiting.pop()
                self.running[self.executor.submit(job)] = job
            if not self.running:
                break
            finished, _ = wait(self.running, TICK_SECONDS, FIRST_COMPLETED)
            for future in [f for f in self.running if f in finished]:
                job, outcome = self.running.pop(future), future.result()
                whole = whole and not isinstance(outcome, Failure)
                done(job, outcome)
            self.loop.observer.update(self.loop.progress())
        return whole and not waiting and not self.running


def is_intact(model: Path) -> bool:
    """Whether the file is there and each of its parts has the checksum it was written with; if not, it is made anew."""
    try:
        with zipfile.ZipFile(model) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False


def refit_options(folds: Sequence[FoldRecord], training: FitOptions) -> FitOptions:
    """How long to train where nothing stops it: the mean of the folds' best epochs, at the rates of the fold nearest.

    `folds` of one trial, with their curves; of one alone it is that fold's training again.
    """
    epochs = max(1, round(float(np.mean([fold.best_epoch for fold in folds]))))
    usual = min(folds, key=lambda fold: (abs(fold.best_epoch - epochs), fold.repeat, fold.fold))
    factors, best, best_loss = [], 0, float("inf")
    for epoch, loss in enumerate(usual.curve.get("val_log_loss", ()), start=1):
        factors.append(plateau_factor(epoch - 1 - best))
        if loss < best_loss - training.min_delta:
            best, best_loss = epoch, loss
    whole = replace(training, patience=0, use_last_epoch=True, stop_collapsed=False)
    return replace(whole, max_epochs=epochs, lr_factors=tuple(factors))


def out_of_fold(store: Store, number: int, repeat: int = 0) -> NDArray[np.float32]:
    """[images, classes] probabilities of a trial for the images that its models did not train on; others are 0."""
    assignment = store.split(repeat).assignment
    found = np.zeros((len(assignment), len(store.study().classes)), np.float32)
    for fold, probabilities in store.probabilities(number, repeat).items():
        found[assignment == fold] = probabilities
    return found
