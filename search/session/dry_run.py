"""What a session would do first, and what it would cost: networks are described by a worker, and none is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search.data.images import FEW_IMAGES
from search.executors.base import Executor
from search.jobs import DescribeJob, Description, Outcome
from search.results.dry_run import DryRun, PlannedPoint
from search.results.progress import Watched
from search.session.budget import done_already
from search.session.image_size import planned
from search.session.plan import Plan, Start, make_plan, still_to_try, worker_context
from search.session.prices import Prices
from search.session.time_left import RECALLED
from search.study.database import create
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces.parameters import in_words
from spaces.presets import Auto
from spaces.presets.auto import FAMILY
from storage import TrialRecord, TrialState, needs_upgrade
from storage.records import Params


def dry_run(
    folder: StudyFolder,
    prepared: Prepared,
    executor: Executor,
    *,
    workers: int,
    memory: int | None = None,
    watched: Watched,
) -> DryRun:
    """What a session with `workers` would do now. Writes nothing but in a temporary folder.

    `executor` describes networks; `memory`: bytes that each of the workers may take, None: see Executor.
    Raises UsageError or StorageError where it could not begin.
    """
    used_up = done_already(folder, prepared)
    begun = folder.begun and not needs_upgrade(folder.database)
    with ExitStack() as stack:
        apart = StudyFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        pixels = stack.enter_context(apart.pixels_on_disk(prepared.images.pixels))
        stack.callback(executor.close, kill=True)  # before its files are removed
        here = replace(prepared, config=prepared.config.model_copy(update={"storage": None}))  # and on no server
        store = stack.enter_context(folder.read() if begun else create(apart, here))
        executor.prepare(worker_context(pixels, apart.features, prepared), apart.logs)
        plan, trials = make_plan(prepared, store, workers, memory), store.trials(curves=False)
        spent = store.spent_seconds()
        starts = [] if used_up else still_to_try(plan.starts, trials)
        describing = _Describing(plan, executor, workers)
        points = describing.priced(starts, _recent(trials), watched)
    images, config = prepared.images, prepared.config
    counts = np.bincount(images.labels[plan.assignment >= 0], minlength=len(images.classes))
    height, width, channels = images.pixels.shape[1:]
    families = prepared.space.by_name.get(FAMILY) if isinstance(prepared.preset, Auto) and not prepared.own else None
    return DryRun(
        study=str(folder),
        begun=bool(trials),
        nothing_left=used_up.words if used_up else "",
        images=int(counts.sum()),
        testing=plan.testing,
        image_shape=(height, width, channels),
        class_counts=dict(zip(images.classes, counts.tolist(), strict=True)),
        folds=plan.folds,
        metric=plan.metric,
        preset=plan.model,
        families=tuple(map(str, getattr(families, "values", ()))),
        parameters=tuple(parameter.name for parameter in prepared.space.parameters),
        engine=config.engine,
        sampler=config.chosen_sampler,
        workers=workers,
        trials=plan.trials,
        trials_done=sum(trial.state != TrialState.RUNNING for trial in trials),
        seconds=plan.seconds,
        seconds_spent=spent,
        points=tuple(points),
        few_images=tuple(name for name, of in zip(images.classes, counts, strict=True) if of < FEW_IMAGES),
        comparing="" if begun else planned(prepared),
        measured=describing.measured,
    )


def _recent(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The latest trials of each family that have more than one fold run: by the others a machine tells its speed."""
    by_family: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if len(trial.folds) > 1:
            by_family.setdefault(_family(trial.params), []).append(trial)
    return [trial for of in by_family.values() for trial in of[-RECALLED:]]


def _family(params: Params) -> str:
    return str(params.get(FAMILY, ""))


@dataclass
class _Describing:
    """Networks described by workers, and priced as a session prices them."""

    plan: Plan
    executor: Executor
    workers: int
    measured: bool = False  # whether stored fold runs have told how fast this machine is

    def priced(self, starts: Sequence[Start], known: Sequence[TrialRecord], watched: Watched) -> list[PlannedPoint]:
        """The points of `starts`; `known`: trials by whose fold runs the prices are measured."""
        points = [dict(trial.params) for trial in known] + [dict(start.point) for start in starts]
        outcomes: list[Outcome] = []
        for future in [self.executor.submit(DescribeJob(point)) for point in points]:
            watched("describing networks", len(outcomes), len(points))
            outcomes.append(future.result())
        images = int((self.plan.assignment >= 0).sum())
        prices = Prices(images - images // self.plan.folds, images // self.plan.folds, self.workers)
        for number, (point, outcome) in enumerate(zip(points, outcomes, strict=True)):
            if isinstance(outcome, Description):
                most, trains = self.plan.fit_options(point).max_epochs, self.plan.trains(point)
                name = known[number].number if number < len(known) else -1 - number
                prices.describe(name, _family(point), outcome, most, trains=trains)
        for trial, outcome in zip(known, outcomes, strict=False):
            if isinstance(outcome, Description):
                prices.begun(outcome)
                prices.recall(trial)
                self.measured = True
        places = range(len(known), len(points))
        return [self._point(starts[n - len(known)], outcomes[n], prices, -1 - n) for n in places]

    def _point(self, start: Start, outcome: Outcome, prices: Prices, number: int) -> PlannedPoint:
        defaults = {parameter.name: parameter.default for parameter in self.plan.space.parameters}
        words = in_words(start.point, defaults)
        if not isinstance(outcome, Description):
            return PlannedPoint(start.origin, dict(start.point), words, left_out=getattr(outcome, "detail", ""))
        if too_large := self.plan.too_large(outcome):
            return PlannedPoint(start.origin, dict(start.point), words, outcome.parameters, left_out=too_large)
        seconds = prices.folds(number, self.plan.folds)
        return PlannedPoint(start.origin, dict(start.point), words, outcome.parameters, seconds)
