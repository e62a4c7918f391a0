"""The commands as functions of Python, and a study as a value. Import it as `search`: `search.run`, `search.Study`.

These functions run the same code as the commands. They return what a command prints at its end. They raise UsageError
or RunError where a command fails, and KeyboardInterrupt after Ctrl-C, once running work has ended cleanly.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from reports import card, show
from reports.html import notebook
from reports.pages import write
from reports.terminal.display import TerminalDisplay
from search.commands import check as checking
from search.commands import compare as comparing
from search.commands import diagnose as diagnosing
from search.commands import explain as explaining
from search.commands import export as exporting
from search.commands import run as running
from search.commands.log import log_all
from search.commands.place import Place
from search.commands.report import pictures_of, summary_of
from search.commands.request import Settings
from search.commands.session import Session
from search.commands.values import (
    checked_list,
    checked_points,
    checked_seconds,
    checked_trial,
    checked_workers,
)
from search.data.findings import Findings
from search.diagnosis.result import Diagnosed
from search.errors import RunError, UsageError
from search.results.compare import Comparison
from search.results.explained import Explanation
from search.results.exported import Exported
from search.results.progress import Ending
from search.results.summary import StudySummary, TrialRow
from search.stats.estimate import Estimate
from search.study.continuing import as_typed
from search.study.folder import StudyFolder
from search.text import seconds_of
from storage import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

AnyPath: TypeAlias = str | os.PathLike[str]


class Study:
    """A study that has begun, in its folder. It caches nothing: every access reads the current database."""

    def __init__(self, folder: StudyFolder) -> None:
        """Use `open_study`, `run` or `resume` instead."""
        self._folder = folder

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self._folder.path

    @property
    def summary(self) -> StudySummary:
        """The content of the report, as a value. Raises StorageError."""
        return summary_of(self._folder)

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials in their order, with folds and curves. Raises StorageError."""
        with self._folder.read() as store:
            return store.trials()

    @property
    def best(self) -> TrialRow | None:
        """The leading complete trial; None before there is one. Its score is partly luck, see `estimate`."""
        return self.summary.best

    @property
    def estimate(self) -> Estimate | None:
        """The expected score on new images, with a 95 % interval; None before there is a complete trial."""
        return self.summary.estimate

    def leaderboard(self) -> pd.DataFrame | list[TrialRow]:
        """The trials, best first: a DataFrame if pandas is installed, else a list of values.

        One row per trial. A column `params_NAME` is empty in trials where that parameter is inactive.
        """
        rows = list(self.summary.rows)
        try:
            import pandas as pd
        except ImportError:
            return rows
        return pd.DataFrame([_as_record(row) for row in rows])

    def report(self, path: AnyPath | None = None) -> Path:
        """Write the report, one HTML file, and return its path. `path` None: `report.html` in the study.

        A `path` that ends in .md: the same as Markdown.

        Raises OSError.
        """
        page, summary = self._folder.report if path is None else Path(path), self.summary
        write(summary, page, pictures_of(self._folder, summary))
        return page

    def explain(
        self,
        *,
        start: int | None = None,
        goal: int | None = None,
        trials: int | None = None,
        time: str | None = None,
        workers: int | None = None,
        model: str | None = None,
        quiet: bool = False,
    ) -> Explanation:
        """`search explain`: which changes lead from trial `start` to trial `goal`. Writes no page.

        None: from trial 0 to the trial of the saved model. Trains the points between them that are not trained yet,
        on the same folds; `trials` and `time`, such as "10m", are totals over all calls with the same two trials.
        Raises UsageError if there is nothing to explain, RunError if it cannot go on, KeyboardInterrupt if it was
        stopped: the same call continues.
        """
        ends = {"start": start, "goal": goal}
        for name, number in ends.items():
            if number is not None:
                checked_trial(number, name)
        if trials is not None:
            checked_points(trials)
        call = _call("open_study", self.path, {}) + f".explain({', '.join(f'{k}={v}' for k, v in ends.items())})"
        session = Session(TerminalDisplay(quiet), call, None if workers is None else checked_workers(workers))
        seconds = _seconds(time, "time")
        result = explaining.explain(self.path, session, **ends, trials=trials, seconds=seconds, model=model)
        if result.ending is Ending.STOPPED:
            raise KeyboardInterrupt(f"stopped; what was stored stays. Go on with: {result.resume_command}")
        return result.explanation

    def model(self) -> Any:
        """The chosen model, a keras.Model that takes pixels 0..255; nothing in its file can run code.

        Raises UsageError where there is none yet.
        """
        model, warning = exporting.model_of(self.path)
        _warn(warning)
        return model

    def export(
        self,
        path: AnyPath,
        *,
        quantize: str | None = None,
        batch: int | None = None,
        model: str | None = None,
        quiet: bool = False,
    ) -> Exported:
        """`search export`: write the chosen model in the format that `path` asks for, and its card beside it.

        `quantize`: "float16" or "int8", of a .tflite file; `batch`: images that a converted model takes at once.
        `.agreement` of the result says how a converted model compares with the study's; a warning is raised where it
        costs accuracy. Raises UsageError for what cannot be written, RunError where a conversion fails.
        """
        call = _call("open_study", self.path, {}) + f".export({os.fspath(path)!r})"
        done = exporting.export(
            self.path,
            Path(path),
            Session(TerminalDisplay(quiet), call),
            model=model,
            conversion=exporting.Conversion(quantize, batch),
        )
        card.write(done)
        for sentence in show.export_warnings(done):
            _warn(sentence)
        return done

    def predict(self, paths: AnyPath | Iterable[AnyPath], *, unknown: bool = False) -> exporting.Predictions:
        """Classify pictures with the chosen model: files, or folders of them, read as in training.

        `.labels` of the result has the most probable class by path; with `unknown`, 'unknown' for a picture that is
        unlike all training images. Raises UsageError if there is no model yet or no
        such file. Files that cannot be read are named in the result.
        """
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        files = [Path(path) for path in given]
        predictions = exporting.predict(self.path, files, display=TerminalDisplay(), unknown=unknown)
        _warn(predictions.warning)
        return predictions

    def __repr__(self) -> str:
        return f"search.open_study({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return notebook.of_study(self.summary)


def open_study(path: AnyPath) -> Study:
    """The study in a folder. Raises UsageError where there is none, or it has not begun."""
    folder = StudyFolder.find(Path(path))
    summary_of(folder)
    return Study(folder)


def run(  # noqa: PLR0913 - the options of the command
    images: AnyPath | Sequence[AnyPath],
    *,
    trials: int | None = None,
    hours: float | None = None,
    time: str | None = None,
    folds: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    fold_limit: str | None = None,
    executor: str | None = None,
    address: str | None = None,
    precision: str | None = None,
    xla: bool | None = None,
    engine: str | None = None,
    sampler: str | None = None,
    second_objective: str | None = None,
    preset: str | None = None,
    backbones: Sequence[str] | None = None,
    model: str | None = None,
    warm_start: AnyPath | None = None,
    image_size: int | None = None,
    flip: bool | None = None,
    groups: str | None = None,
    labels: AnyPath | None = None,
    label_columns: str | None = None,
    label_pattern: str | None = None,
    classes: Sequence[str] = (),
    merge: Sequence[str] = (),
    lock_box: bool | None = None,
    nested: bool | None = None,
    storage: str | None = None,
    until_flat: bool | None = None,
    prefer: str | None = None,
    max_latency: float | None = None,
    directory: AnyPath | None = None,
    log: Sequence[str] = (),
    takeover: bool = False,
    quiet: bool = False,
) -> Study:
    """`search run`: start a study of a folder of images with one subfolder per class, or continue it.

    `images`: a folder, or a .zip or .tar of one; several are read as one set. `labels`: a table of path and label.
    The arguments are the command's options; None is the default. `trials` and `hours` are totals over all sessions;
    `time` is hours in words, such as "30m". `until_flat`: end when more search no longer pays.
    `prefer`: "best" or "small"; `max_latency`: milliseconds that the saved model may take for an image.
    `workers`: number of processes; 0 trains in this process. `fold_limit`: time that a fold run may take, such as
    "20m". `executor`: "local", or "ray" for the Ray cluster at `address`. `model`: "FILE.py:BUILD".
    `groups`: a table (.csv) or a pattern. `storage`: URL of a server for the results of a new study; None: in the
    study's folder. `directory`: of the study; None: IMAGES-study in the current folder. `log`: trackers, such as
    ["mlflow"], in which the study is written too; a warning says where one fails. `takeover`: stop the process that has
    the study. `quiet`: show no progress.
    Raises UsageError, StorageError or SpaceError if it cannot start, RunError if it ends without a model,
    KeyboardInterrupt if it was stopped: the same call continues the study.
    """
    first, also = _roots(images)
    settings = Settings(
        trials=trials,
        hours=hours,
        time=_in_words(time),
        folds=folds,
        epochs=epochs,
        precision=precision,
        xla=xla,
        seed=seed,
        engine=engine,
        sampler=sampler,
        second_objective=second_objective,
        preset=preset,
        backbones=backbones,
        image_size=image_size,
        flip=flip,
        groups=groups,
        also=also,
        labels=_path(labels),
        label_columns=label_columns,
        label_pattern=label_pattern,
        classes=classes,
        merge=merge,
        lock_box=lock_box,
        nested=nested,
        storage=storage,
        until_flat=until_flat,
        prefer=prefer,
        max_latency=max_latency,
    )
    given = {key: value for key, value in vars(settings).items() if key != "also" and value != ()}
    named = {"directory": directory, "model": model, "warm_start": warm_start, "log": log or None}
    call = _call("run", images, {**given, **named, "takeover": takeover or None})
    where = Place(workers, workers_per_gpu, executor, address)
    session = _session(call, where, fold_limit, log, takeover=takeover, quiet=quiet)
    place, other = _path(directory), _path(warm_start)
    ended = running.run(first, settings, session, directory=place, model=model, warm_start=other)
    return _study(ended, session, quiet=quiet)


def resume(  # noqa: PLR0913 - the options of the command
    study: Study | AnyPath,
    *,
    trials: int | None = None,
    hours: float | None = None,
    time: str | None = None,
    until_flat: bool | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    fold_limit: str | None = None,
    executor: str | None = None,
    address: str | None = None,
    model: str | None = None,
    log: Sequence[str] = (),
    takeover: bool = False,
    quiet: bool = False,
) -> Study:
    """`search resume`: continue a study; see `run`. Raises UsageError also if nothing is left to do."""
    path = study.path if isinstance(study, Study) else Path(study)
    settings = Settings(trials=trials, hours=hours, time=_in_words(time), until_flat=until_flat)
    named = {"trials": trials, "hours": hours, "time": settings.time, "model": model, "log": log or None}
    call = _call("resume", path, {**named, "takeover": takeover or None})
    where = Place(workers, workers_per_gpu, executor, address)
    session = _session(call, where, fold_limit, log, takeover=takeover, quiet=quiet)
    return _study(running.resume(path, settings, session, model=model), session, quiet=quiet)


def _session(
    call: str, where: Place, fold_limit: str | None, log: Sequence[str], *, takeover: bool, quiet: bool
) -> Session:
    here, cluster = where.chosen
    limit, trackers = _seconds(fold_limit), tuple(checked_list("log", log) or ())
    return Session(TerminalDisplay(quiet), call, here, limit, takeover=takeover, log=trackers, cluster=cluster)


def _seconds(limit: str | None, name: str = "fold_limit") -> float | None:
    try:
        return None if limit is None else seconds_of(limit)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _in_words(time: str | None) -> str | None:
    """The time itself, once it is known to be one."""
    _seconds(time, "time")
    return time


def check(  # noqa: PLR0913 - the options of the command
    images: AnyPath | Sequence[AnyPath],
    *,
    groups: str | None = None,
    labels: AnyPath | None = None,
    label_columns: str | None = None,
    label_pattern: str | None = None,
    classes: Sequence[str] = (),
    merge: Sequence[str] = (),
    folds: int | None = None,
    quiet: bool = False,
) -> Findings:
    """`search check`: check a folder of images: classes, copies, contradictory labels, files that are left out.

    Writes no page. `.problem` of the result says why the images cannot be searched; None if they can.
    Raises UsageError for images or groups that cannot be read.
    """
    first, also = _roots(images)
    settings = Settings(
        folds=folds,
        groups=groups,
        also=also,
        labels=_path(labels),
        label_columns=label_columns,
        label_pattern=label_pattern,
        classes=classes,
        merge=merge,
    )
    return checking.check(first, settings, display=TerminalDisplay(quiet)).findings


def diagnose(  # noqa: PLR0913 - the options of the command
    images: AnyPath | Sequence[AnyPath],
    *,
    model: str | None = None,
    preset: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    groups: str | None = None,
    labels: AnyPath | None = None,
    label_columns: str | None = None,
    label_pattern: str | None = None,
    classes: Sequence[str] = (),
    merge: Sequence[str] = (),
    seconds: float | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Diagnosed:
    """`search diagnose`: why does a network not learn? It is trained unchanged, then with one change at a time.

    The network is that of `model`, "FILE.py:BUILD", else that of the preset, 'question' or 'cnn'. Writes no page.
    Raises UsageError as `run` does, RunError if the network cannot be trained at all.
    """
    first, also = _roots(images)
    settings = Settings(
        preset=preset,
        epochs=epochs,
        seed=seed,
        groups=groups,
        also=also,
        labels=_path(labels),
        label_columns=label_columns,
        label_pattern=label_pattern,
        classes=classes,
        merge=merge,
    )
    return diagnosing.diagnose(
        first,
        settings,
        model=model,
        seconds=None if seconds is None else checked_seconds(seconds),
        workers=None if workers is None else checked_workers(workers),
        display=TerminalDisplay(quiet),
    ).diagnosed


def compare(studies: Iterable[AnyPath | Study]) -> Comparison:
    """`search compare`: two or more studies side by side; see `search.results.compare.Comparison`.

    `.versus` of the result has, of each study but the first, the paired difference of what was chosen: out of fold and
    on the testing images, or why there is none. Raises UsageError for fewer than two studies, or one that has not
    begun.
    """
    return comparing.compare([study.path if isinstance(study, Study) else Path(study) for study in studies])


def _study(ended: running.RunResult, session: Session, *, quiet: bool) -> Study:
    folder = ended.folder
    log_all(folder.path, session.log, partial(_warn, depth=5))
    if ended.ending is Ending.STOPPED:
        model = f", model={as_typed(ended.own)!r}" if ended.own else ""
        raise KeyboardInterrupt(f"stopped; what was stored stays. Go on with: search.resume({str(folder)!r}{model})")
    if ended.problem:
        raise RunError(ended.problem)
    if ended.ending is Ending.FAILED:
        raise RunError(f"{folder}: too many trials in a row failed; see the messages above, and {folder.logs}")
    if ended.nothing_left and not quiet:
        show.lines(ended.nothing_left)
    return Study(folder)


def _roots(images: AnyPath | Sequence[AnyPath]) -> tuple[Path, tuple[Path, ...]]:
    """The first folder of images, and the others. Raises UsageError if there is none."""
    given = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not given:
        raise UsageError("images: name one folder of images at least")
    return Path(given[0]), tuple(Path(path) for path in given[1:])


def _call(name: str, first: AnyPath | Sequence[AnyPath], named: dict[str, Any]) -> str:
    """The call as Python code, for the study's record."""
    given = {key: value for key, value in named.items() if value is not None}
    plain = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in given.items()}
    keywords = [f"{key}={value!r}" for key, value in plain.items()]
    shown = os.fspath(first) if isinstance(first, str | os.PathLike) else [os.fspath(path) for path in first]
    return f"search.{name}({', '.join([repr(shown), *keywords])})"


def _path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)


def _warn(sentence: str | None, depth: int = 3) -> None:
    if sentence:
        warnings.warn(sentence, stacklevel=depth)


def _as_record(row: TrialRow) -> dict[str, Any]:
    """A trial as a row of a table: its results, then its parameters."""
    names = ("number", "rank", "origin", "score", "spread", "low", "high", "parameters", "seconds", "latency", "cause")
    record = {name: getattr(row, name) for name in names}
    return {**record, "state": str(row.state), **{f"params_{name}": value for name, value in row.params.items()}}
