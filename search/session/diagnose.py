"""`search diagnose`: one model is trained on a few folds, and again with one change at a time."""

from __future__ import annotations

import math
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search.data.check import notes_for_report
from search.data.folds import fold_rows
from search.data.origin import name_of_set
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
    Pixels,
    ReferenceJob,
    ReferenceResult,
    WorkerContext,
    possible,
)
from search.results.progress import Watched, unwatched
from search.seeds import derive
from search.session.plan import epochs_of
from search.stats.chance import entropy
from search.study.database import folds_of
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces import Value

RUNS = 3  # of the unchanged model and of each experiment, each on another fold with another seed
ENOUGH = 2  # unsuccessful runs, after which an experiment is abandoned
USUAL_SECONDS = 100.0  # of experiments, after which no new one is started
MIN_EXPERIMENTS = 4  # experiments that are run even if they take longer

AS_IT_IS, COMPARING, TRYING = "training the network as it is", "asking plain methods", "trying single changes"


def diagnose(
    asked: Prepared,
    *,
    workers: int | None = None,
    seconds: float | None = None,
    watched: Watched = unwatched,
) -> Diagnosed:
    """Train the model unchanged; if it does not learn, train it with one change at a time.

    `workers` None: one per GPU, else one per core; 0: in this process. `seconds` of experiments, after which no new
    one is started; None: USUAL_SECONDS. The first MIN_EXPERIMENTS are run even if they take longer.
    Raises RunError if the model cannot be trained at all.
    """
    seconds = USUAL_SECONDS if seconds is None else seconds
    name, model = asked.preset.name, asked.own.file if asked.own else None
    with (
        tempfile.TemporaryDirectory() as empty,  # for pixels and logs
        StudyFolder(Path(empty)).pixels_on_disk(asked.images.pixels) as pixels,
        open_executor(workers) as executor,  # last, so that workers end before their files are removed
    ):
        context = WorkerContext(
            Pixels(pixels),
            asked.images.labels,
            asked.facts,
            name,
            asked.config.metric,
            model,
            features=StudyFolder(Path(empty)).features,
        )
        executor.prepare(context, Path(empty))
        return _Bench(asked, executor, seconds, watched).case()


@dataclass
class _Bench:
    """Trains every variant with the same folds and seeds: those of trial 0 of a search with this seed."""

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
            images=name_of_set(prepared.config.origin(Path()).roots),
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
        tried = tuple(ExperimentResult(chosen[place], its_runs) for place, its_runs in sorted(done.items()))
        return replace(case, tried=tried, left_out=chosen[len(done) :])

    def _plain(self) -> Plain | None:
        """The best plain method on these folds; None if none could be fitted on all of them."""
        rows = {fold: fold_rows(self._assignment, fold) for fold in self._folds}
        judged = []
        self.watched(COMPARING, 0, 1)
        for name in possible(self.prepared.facts.backbones):
            seeds = {fold: derive(self.prepared.config.seed, "reference", name, fold) for fold in rows}
            jobs = [ReferenceJob(name, fold, *rows[fold], seeds[fold]) for fold in rows if name in PLAIN_WORDS]
            outcomes = [future.result() for future in map(self.executor.submit, jobs)]
            accuracies = [o.scores["balanced_accuracy"] for o in outcomes if isinstance(o, ReferenceResult)]
            if accuracies and len(accuracies) == len(rows):
                images = sum(len(validate) for _, validate in rows.values())
                judged.append(Plain(PLAIN_WORDS[name], float(np.mean(accuracies)), images))
        return max(judged, key=lambda plain: plain.accuracy, default=None)

    def _trained(
        self, chosen: Sequence[Experiment | None], most_seconds: float = math.inf
    ) -> dict[int, tuple[Run, ...]]:
        """Index of an experiment -> its runs, for as many experiments as there was time to start.

        An experiment that was started is finished, unless its first runs show that it does not help.
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
            left = len(drive.running) + len(queue)
            if chosen[0]:  # those that do not help are not trained on all folds
                self.watched(TRYING, done, done + left, at_most=bool(queue))
            else:
                self.watched(AS_IT_IS, done, done + left)

        drive = Drive(self.executor, lambda training: training[1], on_outcome, show)
        drive.run(next_training, lambda: True)
        return {place: tuple(its_runs[fold] for fold in sorted(its_runs)) for place, its_runs in runs.items()}

    def _in_order(self, chosen: Sequence[Experiment | None]) -> list[tuple[int, FoldJob]]:
        """(index, job): an experiment's later runs come after the first runs of the next, when its first are known."""
        jobs = [(place, job) for place, experiment in enumerate(chosen) for job in self._jobs(experiment)]
        return sorted(jobs, key=lambda pair: (pair[0] + (pair[1].fold >= ENOUGH), pair[1].fold >= ENOUGH))

    def _hopeless(self, runs: Mapping[int, Run]) -> bool:
        classes = len(self.prepared.images.classes)
        return len(runs) == ENOUGH and runs_that_learn([*runs.values()], classes) == 0

    def _jobs(self, experiment: Experiment | None) -> Iterator[FoldJob]:
        prepared, rules = self.prepared, self.prepared.config.training
        params = (experiment.params if experiment else None) or self._point
        most = prepared.max_epochs * (experiment.longer if experiment else 1)
        options = FitOptions(
            epochs_of(params, most, None if prepared.own else prepared.preset),
            rules.patience,
            rules.min_delta,
            stop_collapsed=experiment is not None,  # unchanged, it is trained in full, for its curve
            collect_evidence=True,
        )
        for fold in self._folds:
            train, validate = fold_rows(self._assignment, fold)
            yield FoldJob(
                trial=0,
                repeat=0,
                fold=fold,
                params=params,
                train=train,
                validate=validate,
                seed=derive(prepared.config.seed, "fold", 0, 0, fold),
                training=options,
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
