"""`search diagnose`: one model, trained on a few folds, then again with one thing otherwise, and again with another."""

from __future__ import annotations

import math
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search.data.check import notes_for_report
from search.data.folds import fold_rows
from search.diagnosis.experiments import Experiment, experiments
from search.diagnosis.result import Diagnosed, ExperimentResult, Run, Verdict, runs_that_learn
from search.diagnosis.rules import PLAIN_WORDS, UNEXPLAINED, Plain
from search.errors import RunError
from search.executors.base import Executor
from search.executors.drive import Drive
from search.executors.factory import open_executor
from search.jobs import (
    Failure,
    FitOptions,
    FoldJob,
    FoldResult,
    Outcome,
    ReferenceJob,
    ReferenceResult,
    WorkerContext,
    possible,
)
from search.seeds import derive
from search.stats.chance import entropy
from search.study.database import folds_of
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces import Value

RUNS = 3  # of the model as it is and of each experiment, each on another fold with a seed of its own
ENOUGH = 2  # runs without success, after which an experiment is given up
USUAL_SECONDS = 100.0  # of experiments, after which no other is begun
MIN_EXPERIMENTS = 4  # that are done however long they take

AS_IT_IS, COMPARING, TRYING = "training the network as it is", "asking plain methods", "trying single changes"
Watched = Callable[[str, int, int], None]
"""Told of (what is being done, trainings of it that are done, that are expected in all), several times a second."""


def diagnose(
    asked: Prepared,
    *,
    workers: int | None = None,
    seconds: float | None = None,
    watched: Watched = lambda _what, _done, _total: None,
) -> Diagnosed:
    """Train the model as it is; where it does not learn, train it with one thing otherwise, one after another.

    `workers` None: one a GPU, else one a core; 0: in this process. `seconds` of experiments, after which no other is
    begun; None: USUAL_SECONDS. The first MIN_EXPERIMENTS are done however long they take.
    Raises RunError where it cannot be trained at all.
    """
    seconds = USUAL_SECONDS if seconds is None else seconds
    name, model = asked.preset.name, asked.own.file if asked.own else None
    with (
        tempfile.TemporaryDirectory() as empty,  # for pixels and logs
        StudyFolder(Path(empty)).pixels_on_disk(asked.images.pixels) as pixels,
        open_executor(workers) as executor,  # last, so that workers end before what they read
    ):
        context = WorkerContext(pixels, asked.images.labels, asked.facts, name, asked.config.metric, model)
        executor.prepare(context, Path(empty))
        return _Bench(asked, executor, seconds, watched).case()


@dataclass
class _Bench:
    """The same folds and seeds for everything that is tried: those of trial 0 of a search with this seed."""

    prepared: Prepared
    executor: Executor
    seconds: float
    watched: Watched

    def __post_init__(self) -> None:
        self._assignment = folds_of(self.prepared, 0)
        self._folds = range(min(RUNS, self.prepared.folds))
        self._point: Mapping[str, Value] = self.prepared.space.defaults()

    def case(self) -> Diagnosed:
        self.watched(AS_IT_IS, 0, len(self._folds))
        runs = self._trained([None])[0]
        prepared = self.prepared
        counts = np.bincount(prepared.images.labels[self._assignment >= 0])
        shares = counts[counts > 0] / counts.sum()
        case = Diagnosed(
            images=Path(prepared.config.images).name,
            model=prepared.own.file.name if prepared.own else f"preset {prepared.preset.name}",
            point=self._point,
            count=int(counts.sum()),
            classes=tuple(prepared.images.classes),
            floor=entropy(shares),
            remarks=notes_for_report(prepared.images, prepared.checked),
            runs=runs,
        )
        if case.verdict is Verdict.LEARNS:
            return case
        evidence = case.evidence
        if evidence is None:
            if all(run.failure for run in runs):
                raise RunError(f"{case.model} cannot be trained: {runs[0].failure}")
            return case
        if any(suspect.cause.name in UNEXPLAINED for suspect in case.suspects):
            case = replace(case, plain=self._plain())
        causes = [suspect.cause for suspect in case.suspects]
        chosen = experiments(prepared.space, self._point, evidence, causes)
        done = self._trained(chosen, self.seconds)
        tried = tuple(ExperimentResult(chosen[place], of_one) for place, of_one in sorted(done.items()))
        return replace(case, tried=tried, left_out=chosen[len(done) :])

    def _plain(self) -> Plain | None:
        """The best that a plain method reaches on these folds; None where none could be asked on all of them."""
        rows = {fold: fold_rows(self._assignment, fold) for fold in self._folds}
        known = []
        self.watched(COMPARING, 0, 1)
        for name in possible(self.prepared.facts.backbones):
            seeds = {fold: derive(self.prepared.config.seed, "reference", name, fold) for fold in rows}
            jobs = [ReferenceJob(name, fold, *rows[fold], seeds[fold]) for fold in rows if name in PLAIN_WORDS]
            found = [future.result() for future in map(self.executor.submit, jobs)]
            reached = [one.scores["balanced_accuracy"] for one in found if isinstance(one, ReferenceResult)]
            if reached and len(reached) == len(rows):
                images = sum(len(validate) for _, validate in rows.values())
                known.append(Plain(PLAIN_WORDS[name], float(np.mean(reached)), images))
        return max(known, key=lambda plain: plain.accuracy, default=None)

    def _trained(
        self, chosen: Sequence[Experiment | None], most_seconds: float = math.inf
    ) -> dict[int, tuple[Run, ...]]:
        """Place of an experiment -> its runs, for the first of them, as many as there was time to begin.

        What is begun is brought to its end, unless its first runs show that it does not free the network.
        """
        started, end = time.monotonic(), len(chosen)  # places before `end` are trained
        runs: dict[int, dict[int, Run]] = {}  # by place, then by fold
        queue = deque(self._in_order(chosen))

        def next_training() -> tuple[int, FoldJob] | None:
            nonlocal end
            while queue:
                place, job = queue.popleft()
                late = time.monotonic() - started > most_seconds and place >= MIN_EXPERIMENTS
                end = min(end, place) if late and job.fold == 0 else end
                hopeless = chosen[place] is not None and self._hopeless(runs.get(place, {}))
                if place < end and not (hopeless and job.fold >= ENOUGH):
                    return place, job
            return None

        def on_outcome(training: tuple[int, FoldJob], outcome: Outcome) -> None:
            place, job = training
            runs.setdefault(place, {})[job.fold] = _run(job, outcome)

        def show() -> None:
            done = sum(map(len, runs.values()))
            self.watched(TRYING if chosen[0] else AS_IT_IS, done, done + len(drive.running) + len(queue))

        drive = Drive(self.executor, lambda training: training[1], on_outcome, show)
        drive.run(next_training, lambda: True)
        return {place: tuple(of_place[fold] for fold in sorted(of_place)) for place, of_place in runs.items()}

    def _in_order(self, chosen: Sequence[Experiment | None]) -> list[tuple[int, FoldJob]]:
        """(place, job): an experiment's later runs come after the next one's first, when its own first are known."""
        jobs = [(place, job) for place, experiment in enumerate(chosen) for job in self._jobs(experiment)]
        return sorted(jobs, key=lambda pair: (pair[0] + (pair[1].fold >= ENOUGH), pair[1].fold >= ENOUGH))

    def _hopeless(self, runs: Mapping[int, Run]) -> bool:
        classes = len(self.prepared.images.classes)
        return len(runs) == ENOUGH and runs_that_learn([*runs.values()], classes) == 0

    def _jobs(self, experiment: Experiment | None) -> Iterator[FoldJob]:
        rules, epochs = self.prepared.config.training, self.prepared.max_epochs
        for fold in self._folds:
            train, validate = fold_rows(self._assignment, fold)
            yield FoldJob(
                trial=0,
                repeat=0,
                fold=fold,
                params=(experiment.params if experiment else None) or self._point,
                train=train,
                validate=validate,
                seed=derive(self.prepared.config.seed, "fold", 0, 0, fold),
                training=FitOptions(
                    epochs * (experiment.longer if experiment else 1),
                    rules.patience,
                    rules.min_delta,
                    stop_collapsed=experiment is not None,  # as it is, it is trained in full, for its curve
                    collect_evidence=True,
                ),
                edit=experiment.edit if experiment else None,
            )


def _run(job: FoldJob, outcome: Outcome) -> Run:
    if isinstance(outcome, Failure):
        nothing = Run(job.fold, len(job.train), len(job.validate), math.nan, math.nan, 0, {}, 0.0)
        return replace(nothing, failure=outcome.detail)
    assert isinstance(outcome, FoldResult)  # noqa: S101 - the answer to a FoldJob
    trained = outcome.curve.get("balanced_accuracy", ())
    return Run(
        fold=job.fold,
        images=len(job.train),
        validated=len(job.validate),
        training=trained[-1] if trained else math.nan,
        validation=outcome.scores["balanced_accuracy"],
        epochs=outcome.epochs,
        curve=outcome.curve,
        seconds=outcome.seconds,
        diagnosis=outcome.diagnosis,
        evidence=outcome.evidence,
    )
