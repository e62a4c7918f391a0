"""One session of `search run`: lease, executor, loop, finish."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from search.errors import RunError, UsageError
from search.executors.base import Executor
from search.native import installed
from search.results.progress import Ending, Observer
from search.samplers.factory import make_sampler
from search.session.budget import RESTARTING
from search.session.finish import Finish
from search.session.loop import Loop
from search.session.plan import make_plan, worker_context
from search.session.references import AFTERWARDS, use_spare_time
from search.session.session import Asked, Session, mark_failed
from search.session.signals import stop_on_signals
from search.session.weight_files import saving_in, sweep_states
from search.study.continuing import resume_command
from search.study.database import create, folds_of, open_begun
from search.study.folder import StudyFolder
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
    folder: StudyFolder,
    prepared: Prepared,
    observer: Observer,
    *,
    executor: Executor,
    asked: Asked,
    begin: Callable[[], None] = lambda: None,
) -> Ending:
    """Start the study in `folder`, or continue it, until its budget is used up or a signal asks to stop.

    `executor`: of `open_executor`. `begin` is called with the lock held, after the stored study was compared with the
    requested one: it writes `study.toml`.
    Raises UsageError or StorageError if it cannot start, RunError if it cannot continue.
    """
    with leased(folder.lock, takeover=asked.takeover, tell=observer.note) as waited, contextlib.ExitStack() as refused:
        asked = asked.after(waited)
        begun = open_begun(folder, prepared)
        if not folder.toml.exists():
            refused.callback(folder.toml.unlink, missing_ok=True)
        begin()
        with begun or create(folder, prepared) as store:
            refused.pop_all()
            return _session(folder, prepared, store, observer, executor=executor, asked=asked)


def _session(
    folder: StudyFolder,
    prepared: Prepared,
    store: Store,
    observer: Observer,
    *,
    executor: Executor,
    asked: Asked,
    searching: bool = True,
) -> Ending:
    """`searching` False: only finish, with the stored results."""
    started = time.monotonic() if asked.started is None else asked.started
    goes_on = resume_command(folder, *asked.options, own=prepared.own.file if prepared.own else None)
    run_id = store.start_run(
        RunRecord(
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            command=asked.command,
            versions=versions(),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
    )
    try:
        with (
            stop_on_signals(goes_on) as stop,
            folder.pixels_on_disk(prepared.images.pixels) as pixels,
            contextlib.ExitStack() as unless_finished,
        ):
            # Workers that are still busy must end before the lock is freed: another session may write the same files.
            unless_finished.callback(executor.close, kill=True)
            folder.sweep()
            saving = saving_in(folder, folder.states, store.study().fingerprint)
            sweep_states(saving, store, chosen=folder.model_is_current(store))
            executor.prepare(worker_context(pixels, folder.features, prepared, saving), folder.logs)
            session = Session(store, run_id, executor, observer, stop, started=started)
            ending = _search_and_finish(folder, prepared, pixels, session, searching=searching)
            if ending is Ending.FINISHED:
                unless_finished.pop_all()
        store.end_run(run_id, ending.value, time.monotonic() - started)  # fails if the folder was removed meanwhile
        return ending
    except (StorageError, OSError) as error:
        raise RunError(f"{error}\nwhat is committed stays; once that is corrected, go on with: {goes_on}") from error
    finally:
        mark_failed(store, run_id, time.monotonic() - started)  # where it did not end above


def _search_and_finish(
    folder: StudyFolder, prepared: Prepared, pixels: Path, session: Session, *, searching: bool
) -> Ending:
    """`pixels`: the file that the session's executor was prepared with."""
    config, executor = prepared.config, session.executor
    sampler = make_sampler(
        prepared.space,
        config.metric,
        config.engine,
        config.chosen_sampler,
        config.seed,
        config.second_objective,
    )
    plan = make_plan(prepared, session.store, executor.slots, executor.memory)
    session.store.patient = partial(session.wait_for_lock, budget=plan.seconds)
    loop = Loop(plan if searching else replace(plan, seconds=None), session, sampler)
    if searching:
        ending = loop.run()
        if ending is not Ending.FINISHED:
            return ending
    else:
        loop.load()
    start_again = partial(executor.prepare, worker_context(pixels, folder.features, prepared, plan.saving), folder.logs)
    spare = partial(use_spare_time, loop.references, session, show=loop.show, probe=loop.can_probe)
    kept, restarting = loop.kept_for_references, RESTARTING if loop.running else 0.0
    if loop.running:  # folds that did not end in time
        start_again()
    if kept and spare(seconds=kept + restarting):
        start_again()
    _finish(folder, prepared, session, loop)
    left = math.inf if plan.limit is None or not searching else plan.limit - session.spent
    seconds = left if loop.ended_by_time else min(left, AFTERWARDS)
    if spare(seconds=seconds, guess=loop.ended_by_time):
        executor.close(kill=True)
    return Ending.STOPPED if session.stop.asked else Ending.FINISHED


def _finish(folder: StudyFolder, prepared: Prepared, session: Session, loop: Loop) -> None:
    images, record = prepared.images, session.store.study()
    about = {
        "study": record.name,
        "classes": list(record.classes),
        "image_shape": list(record.image_shape),
        "fingerprint": record.fingerprint,
        **images.scale.plain,
    }
    Finish(
        plan=loop.plan,
        session=session,
        show=loop.show,
        folder=folder,
        draw=lambda repeat: folds_of(prepared, repeat),
        labels=images.labels,
        testing=images.testing,
        about=about,
        needed=loop.needed + (RESTARTING if loop.running else 0.0),
        has_spare_time=loop.ended_by_time,
        slowness=loop.slowness,
    ).run()


def finish_only(
    folder: StudyFolder, prepared: Prepared, observer: Observer, *, executor: Executor, asked: Asked
) -> Ending:
    """Choose from the stored results and save the model, without searching further. Raises as `run` does."""
    with leased(folder.lock):
        store = open_begun(folder, prepared)
        if store is None:
            goes_on = resume_command(folder, own=prepared.own.file if prepared.own else None)
            raise UsageError(f"{folder} has no trial yet, so there is no model; go on with: {goes_on}")
        with store:
            return _session(folder, prepared, store, observer, executor=executor, asked=asked, searching=False)


def versions() -> dict[str, str]:
    """Versions of all packages that can change a result."""
    return {"python": platform.python_version(), "platform": platform.platform(), **installed(PACKAGES)}
