"""The time of a trial without training in studies of up to 100,000 trials, and of a report of 10,000.

Nothing is trained: results are random, and as large as those of real fold runs. The studies search `auto`, the default,
on 160 images in 5 folds.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from sqlalchemy import Connection, insert, select

from reports.terminal.live import LiveTable
from search.jobs import DescribeJob, Description, FitOptions, FoldJob, FoldResult, Job, Outcome
from search.results.progress import Observer, Progress
from search.samplers.base import Sampler
from search.samplers.optuna_sampler import OptunaSampler
from search.session.loop import Loop
from search.session.plan import Plan, Start
from search.session.racer import RaceTerms
from search.session.records import fold_record
from search.session.session import Session
from search.session.signals import StopRequest
from search.stats.metrics import METRICS
from search.stats.racing import Schedule
from search.study.config import Config
from spaces import Value
from spaces.layers import Layer
from spaces.presets import EXAMPLE, preset
from storage import FoldRecord, ImageRecord, LayerRecord, RunRecord, Split, Store, StudyRecord, TrialRecord, TrialState
from storage.records import Origin
from storage.rows import fold_values, trial_values
from storage.schema import STUDY_ID, fold_run, trial
from tests.search.session.instant import Instant

T = TypeVar("T")

IMAGES, FOLDS, EPOCHS, SEED = 160, 5, 25, 7
ASSIGNMENT = (np.arange(IMAGES) % FOLDS).astype(np.int16)
SPACE = preset("auto").space(EXAMPLE)
RUN = RunRecord("2026-01-01T00:00:00+00:00", "search run", {}, "here", 1)
LAYERS = tuple(Layer(f"conv_{n}", "Conv2D", (32, 32, 16), 448, "16 @ 3x3, relu") for n in range(12))
SERIES = ("loss", "balanced_accuracy", "accuracy", "val_loss", "val_log_loss", "val_balanced_accuracy")
SIZES = (100, 1_000, 10_000, 100_000)  # stored trials
REPORTED = 10_000
SAMPLERS = ("tpe", "random")
MEASURED = 100  # trials
DIFFERENT = 500  # trials whose fold runs are drawn anew
MEMORY = """
import json, resource, sys, time
from pathlib import Path
from reports.html.study import write
from search.commands.report import summary_of
from search.study.folder import StudyFolder
started = time.perf_counter(), time.process_time()
folder = StudyFolder(Path(sys.argv[1]))
write(summary_of(folder), folder.report)
taken = time.perf_counter() - started[0], time.process_time() - started[1]
print(json.dumps([*taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
"""A report made by a separate process: [wall s, CPU s, maximum memory in MiB]."""


def result(params: dict[str, Value], seed: int) -> FoldResult:
    """A random result of a fold run, better for a larger learning rate of any family."""
    luck = np.random.default_rng(seed)
    rates = [float(value) for name, value in params.items() if name.endswith("learning_rate")]
    score = float(np.clip(0.8 + 0.03 * np.log10(max(rates, default=1e-3)) + luck.normal(0, 0.05), 0, 1))
    predictions = luck.dirichlet(np.ones(2), IMAGES // FOLDS).astype(np.float32)
    curve = {name: tuple(luck.random(EPOCHS).tolist()) for name in SERIES}
    return FoldResult(dict.fromkeys(METRICS, score), EPOCHS, 20, curve, predictions, 5376, 1.0)


def answer(job: Job) -> Outcome:
    """The answer of a worker, without delay."""
    if isinstance(job, DescribeJob):
        return Description(5376, 86016, LAYERS)
    assert isinstance(job, FoldJob)
    return result(dict(job.params), job.seed)


def stored_study(path: Path, trials: int) -> Path:
    """A study of so many complete trials with random points."""
    images = [ImageRecord(row, f"{row % 2}/{row}.png", row % 2, False, f"{row:064x}") for row in range(IMAGES)]
    config = {**Config(images="pictures").identity(), "folds": FOLDS, "preset": "auto"}
    classes, shape = ("a", "b"), (EXAMPLE.height, EXAMPLE.width, EXAMPLE.channels)
    record = StudyRecord(
        "bench", RUN.started, SEED, "balanced_accuracy", classes, shape, "f" * 64, config, SPACE.to_json()
    )
    luck, ended = np.random.default_rng(SEED), {"state": TrialState.COMPLETE.value, "finished": RUN.started}
    with Store.create(path, record, images, [Split(0, ASSIGNMENT)]) as store:
        common = {"study": STUDY_ID, "run": store.start_run(RUN)}
        for start in range(0, trials, DIFFERENT):
            several = [a_trial(number, luck) for number in range(start, min(start + DIFFERENT, trials))]
            with store._writing() as connection:  # `add_trial` and `add_fold`, but hundreds at once
                connection.execute(insert(trial), [{**common, **trial_values(t), **ended} for t in several])
                if start:
                    _repeat_folds(connection, several)
                    continue
                connection.execute(insert(fold_run), [{**common, **fold_values(f)} for t in several for f in t.folds])
    return path


def _repeat_folds(connection: Connection, trials: Sequence[TrialRecord]) -> None:
    """Store copies of the fold runs of the trials DIFFERENT before these: half a million different ones take long."""
    names = [column.name for column in fold_run.columns]
    copied = [fold_run.c[name] + DIFFERENT if name == "trial" else fold_run.c[name] for name in names]
    before = fold_run.c.trial.between(trials[0].number - DIFFERENT, trials[-1].number - DIFFERENT)
    connection.execute(insert(fold_run).from_select(names, select(*copied).where(before)))


def a_trial(number: int, luck: np.random.Generator) -> TrialRecord:
    """A trial at a random point, its folds complete; without them from number DIFFERENT on."""
    params = SPACE.sample(luck) if number else SPACE.defaults()
    layers = tuple(LayerRecord(**vars(layer)) for layer in LAYERS)
    origin = Origin.SAMPLER if number else Origin.BASELINE
    results = (result(params, FOLDS * number + fold) for fold in range(FOLDS if number < DIFFERENT else 0))
    folds = tuple(a_fold(number, fold, each) for fold, each in enumerate(results))
    return TrialRecord(number, params, origin, parameters=5376, layers=layers, started=RUN.started, folds=folds)


def a_fold(number: int, fold: int, outcome: FoldResult) -> FoldRecord:
    """What is stored of it."""
    rows = np.arange(IMAGES, dtype=np.int32)
    return fold_record(FoldJob(number, 0, fold, {}, rows, rows, fold, FitOptions(EPOCHS)), outcome)


class Clocked:
    """A sampler that adds up its wall and CPU seconds."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.wall = self.processor = 0.0

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Sampler; not counted."""
        self._sampler.replay(trials)

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """See Sampler."""
        return self._counted(lambda: self._sampler.ask(number, fixed))

    def refuse(self, number: int) -> None:
        """See Sampler."""
        self._counted(lambda: self._sampler.refuse(number))

    def tell(self, trial: TrialRecord) -> None:
        """See Sampler."""
        self._counted(lambda: self._sampler.tell(trial))

    def _counted(self, work: Callable[[], T]) -> T:
        started = time.perf_counter(), time.process_time()
        result = work()
        self.wall += time.perf_counter() - started[0]
        self.processor += time.process_time() - started[1]
        return result


class Begun:
    """An Observer that records when the first trial is asked for, and forwards all events to the live table."""

    def __init__(self, table: Observer) -> None:
        self._table = table
        self.at: tuple[float, float] | None = None

    def note(self, text: str) -> None:
        """See Observer."""
        self._table.note(text)

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
        """See Observer."""
        self._table.trial_closed(trial, progress)

    def update(self, progress: Progress) -> None:
        """See Observer."""
        self.at = self.at or (time.perf_counter(), time.process_time())
        self._table.update(progress)


def a_plan(trials: int) -> Plan:
    """A raced search over `SPACE` until there are so many trials."""
    return Plan(
        seed=SEED,
        metric="balanced_accuracy",
        folds=FOLDS,
        assignment=ASSIGNMENT,
        fit_options=lambda _params: FitOptions(EPOCHS, 0),
        space=SPACE,
        starts=[Start(Origin.BASELINE, SPACE.defaults())],
        max_parameters=10**7,
        max_bytes=10**10,
        trials=trials,
        seconds=None,
        race=RaceTerms(
            "paired", (np.arange(IMAGES) % 2).astype(np.int16), lambda _params: Schedule("constant", EPOCHS)
        ),
    )


def a_session(database: Path, trials: int, sampler: str, measured: int = MEASURED) -> str:
    """The time of some more trials after `trials` stored ones, as a row of the table."""
    plan = a_plan(trials + measured)
    clocked = Clocked(OptunaSampler(SPACE, plan.metric, sampler, SEED))
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    with Store.open(database) as store, LiveTable(console) as table:
        begun = Begun(table)
        loop = Loop(plan, Session(store, store.start_run(RUN), Instant(answer), begun, StopRequest()), clocked)
        started = time.perf_counter()
        loop.run()
        ended = time.perf_counter(), time.process_time()
    assert begun.at is not None
    wall, processor = ((end - start) * 1000 / measured for start, end in zip(begun.at, ended, strict=True))
    asking, asking_processor = (1000 * each / measured for each in (clocked.wall, clocked.processor))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {sampler} | {trials:,} | {begun.at[0] - started:.1f} | {asking:.1f} | {wall - asking:.1f} | "
        f"{asking_processor:.1f} | {processor - asking_processor:.1f} | {memory:,.0f} | "
        f"{database.stat().st_size / 2**20:,.0f} |"
    )


def measure(folder: Path, sizes: Sequence[int] = SIZES) -> Iterator[str]:
    """Lines of Markdown: the loop at each size, and the report of a large study."""
    yield f"A trial without its training, over `auto`, {FOLDS} folds, raced, its live table drawn; of {MEASURED} trials"
    yield "each, in a process of its own (at 100,000 stored trials at most twice the time at 1,000 is the target):"
    yield ""
    yield (
        "| sampler | stored trials | s to begin | ms to ask | ms for all else | processor: ms to ask | "
        "ms for all else | MiB of memory | MiB on disk |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for trials in sizes:
        study = folder / f"{trials}-trials"
        study.mkdir()
        database = stored_study(study / "study.db", trials)
        if trials == REPORTED:
            shutil.copytree(study, folder / "reported")
        for place, sampler in enumerate(SAMPLERS):
            # A process of its own: its memory is that of this session alone.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
                yield apart.submit(a_session, database, trials + place * MEASURED, sampler).result()
        shutil.rmtree(study)
    if REPORTED in sizes:
        yield ""
        yield a_report(folder / "reported")


def a_report(study: Path) -> str:
    """The time and memory of a report."""
    line = [sys.executable, "-c", MEMORY, str(study)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wall, processor, memory = json.loads(done.stdout)
    return (
        f"The report of {REPORTED:,} trials: {wall:.1f} s ({processor:.1f} s of the processor), "
        f"{memory:.0f} MiB of memory at most (<= 20 s and 1,000 MB: "
        f"{'met' if wall <= 20 and memory * 2**20 <= 1e9 else 'missed'})."
    )
