"""One session of `search run`: lease, executor, loop, finish."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from search.errors import RunError, UsageError
from search.executors.base import Executor
from search.results.progress import Ending, Observer
from search.samplers.factory import make_sampler
from search.session.finish import Finish
from search.session.loop import Loop
from search.session.plan import make_plan, worker_context
from search.session.signals import stop_on_signals
from search.study.database import create, folds_of, open_begun
from search.study.folder import pixels_on_disk, resume_command, sweep
from search.study.lease import leased
from search.study.prepared import Prepared
from storage import RunRecord, StorageError, Store

PACKAGES = (
    "smallsearch",
    "tensorflow",
    "keras",
    "optuna",
    "keras-tuner",
    "numpy",
    "pillow",
    "scikit-learn",
    "sqlalchemy",
)


def run(
    folder: Path,
    prepared: Prepared,
    observer: Observer,
    *,
    executor: Executor,
    command: str,
    begin: Callable[[], None] = lambda: None,
) -> Ending:
    """Start the study in `folder`, or go on with it, until its budget is used up or somebody asks to stop.

    `executor`: of `open_executor`. `begin` is called under the lease, once the study is known to be the one asked for:
    the place to write `study.toml`.
    Raises UsageError or StorageError where it cannot begin, RunError where it cannot go on.
    """
    with leased(folder):
        begun = open_begun(folder, prepared)
        begin()
        with begun or create(folder, prepared) as store:
            return _session(folder, prepared, store, observer, executor, command)


def _session(
    folder: Path,
    prepared: Prepared,
    store: Store,
    observer: Observer,
    executor: Executor,
    command: str,
    *,
    searching: bool = True,
) -> Ending:
    """`searching` False: only finish, with what is stored."""
    started = time.monotonic()
    run_id = store.start_run(
        RunRecord(
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            versions=versions(),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
    )
    config = prepared.config
    try:
        with (
            stop_on_signals(resume_command(folder)) as stop,
            pixels_on_disk(folder, prepared.images) as pixels,
            contextlib.ExitStack() as unless_finished,
        ):
            # Workers that are still at something end before the lease does: another session may write the same files.
            unless_finished.callback(executor.close, kill=True)
            sweep(folder)
            context, logs = worker_context(pixels, folder / "cache" / "features", prepared), folder / "logs"
            executor.prepare(context, logs)
            plan = make_plan(prepared, store, executor.slots)
            loop = Loop(
                plan=plan if searching else replace(plan, seconds=None),
                store=store,
                run_id=run_id,
                executor=executor,
                proposer=make_sampler(
                    prepared.space,
                    config.metric,
                    config.engine,
                    config.chosen_sampler,
                    config.seed,
                    config.second_objective,
                ),
                observer=observer,
                stop=stop,
            )
            ending = loop.run() if searching else loop.load()
            if ending is Ending.FINISHED:
                if loop.pending:  # folds that did not end in time
                    executor.prepare(context, logs)
                ending = _finish(folder, prepared, loop, executor)
            if ending is Ending.FINISHED:
                unless_finished.pop_all()
        store.end_run(run_id, ending.value, time.monotonic() - started)  # the last to notice that the folder is gone
        return ending
    except (StorageError, OSError) as error:
        raise RunError(
            f"{error}\nwhat is committed stays; once that is mended, go on with: {resume_command(folder)}"
        ) from error
    finally:
        with contextlib.suppress(StorageError):  # it has ended, or why it cannot is told already
            store.end_run(run_id, Ending.FAILED.value, time.monotonic() - started)


def _finish(folder: Path, prepared: Prepared, loop: Loop, executor: Executor) -> Ending:
    images, record = prepared.images, loop.store.study()
    about = {
        "study": record.name,
        "classes": list(record.classes),
        "image_shape": list(record.image_shape),
        "fingerprint": record.fingerprint,
    }
    Finish(
        loop=loop,
        executor=executor,
        folder=folder,
        draw=lambda repeat: folds_of(prepared, repeat),
        labels=images.labels,
        testing=images.testing,
        about=about,
    ).run()
    return Ending.STOPPED if loop.stop.asked else Ending.FINISHED


def finish_only(folder: Path, prepared: Prepared, observer: Observer, *, executor: Executor, command: str) -> Ending:
    """Choose from what is stored and save the model, without searching on. Raises as `run` does."""
    with leased(folder):
        store = open_begun(folder, prepared)
        if store is None:
            raise UsageError(f"{folder} has no trial yet; {resume_command(folder)}")
        with store:
            return _session(folder, prepared, store, observer, executor, command, searching=False)


def versions() -> dict[str, str]:
    """Versions of everything that decides a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout, or another build of TensorFlow
            continue
    return found
