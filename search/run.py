"""One sitting of `search run`: from a checked configuration to a stored, searched study."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from search import study as studies
from search.errors import RunError, UsageError
from search.executors import Executor, InProcess, LocalProcesses, default_workers
from search.finish import Finish, reserve
from search.jobs import Materials, Training
from search.lease import leased
from search.loop import Ending, Loop, Plan, memory_for_each
from search.outer import whole
from search.progress import Observer
from search.proposers import make_proposer
from search.race import RULES, Schedule
from search.racing import Terms
from search.stop import stop_on_signals
from search.study import Prepared
from search.text import printable
from spaces.presets import family_of
from spaces.recipe import own_recipe
from storage import RunRecord, StorageError, Store
from storage.records import Params

LEAST_TO_REPLACE = 2 * 2**30  # bytes that a worker may keep in any case: TensorFlow and a few graphs are half of it
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

    `executor`: of `starting`. `begin` is called under the lease, once the study is known to be the one asked for: the
    place to write `study.toml`.
    Raises UsageError or StorageError where it cannot begin, RunError where it cannot go on.
    """
    with leased(folder):
        begun = studies.open_begun(folder, prepared)
        begin()
        with begun or studies.create(folder, prepared) as store:
            return _sit(folder, prepared, store, observer, executor, command)


def _sit(
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
            studies.pixels_on_disk(folder, prepared.images) as pixels,
            contextlib.ExitStack() as unless_finished,
        ):
            # Workers that are still at something end before the lease does: another sitting may write the same files.
            unless_finished.callback(executor.close, kill=True)
            _sweep(folder)
            materials, logs = materials_of(pixels, prepared), folder / "logs"
            executor.prepare(materials, logs)
            plan = make_plan(prepared, store, executor.slots)
            loop = Loop(
                plan=plan if searching else replace(plan, seconds=None),
                store=store,
                run_id=run_id,
                executor=executor,
                proposer=make_proposer(
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
            ending = loop.run() if searching else loop.pick_up()
            if ending is Ending.FINISHED:
                if loop.pending:  # folds that did not end in time
                    executor.prepare(materials, logs)
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
        draw=lambda repeat: studies.folds_of(prepared, repeat),
        labels=images.labels,
        testing=images.testing,
        about=about,
    ).run()
    return Ending.STOPPED if loop.stop.asked else Ending.FINISHED


def _sweep(folder: Path) -> None:
    """Remove what workers that were killed left half written."""
    for pattern in ("cache/features/*.part", "cache/refits/.*.keras", "models/.*.keras"):
        for path in folder.glob(pattern):
            if path.parent.resolve().is_relative_to(folder.resolve()):  # a folder may be a link to any other
                path.unlink(missing_ok=True)


def choose(folder: Path, prepared: Prepared, observer: Observer, *, executor: Executor, command: str) -> Ending:
    """Choose from what is stored and save the model, without searching on. Raises as `run` does."""
    with leased(folder):
        store = studies.open_begun(folder, prepared)
        if store is None:
            raise UsageError(f"{folder} has no trial yet; {resume_command(folder)}")
        with store:
            return _sit(folder, prepared, store, observer, executor, command, searching=False)


def resume_command(folder: Path) -> str:
    """What to type to go on; an outer fold goes on with the study that it belongs to."""
    return f"search resume {shlex.quote(printable(str(whole(folder))))}"


@contextlib.contextmanager
def starting(workers: int | None) -> Iterator[Executor]:
    """The executor for this many workers, which begin to import TensorFlow at once and end with the context.

    None: one a GPU, else one a core; 0: in this process.
    """
    slots, gpus = default_workers()
    slots = workers or slots
    most_bytes = max(LEAST_TO_REPLACE, memory_for_each(slots))
    executor = InProcess() if workers == 0 else LocalProcesses(slots, gpus, most_bytes)
    try:
        yield executor
    finally:
        executor.close(kill=True)


def make_plan(prepared: Prepared, store: Store, slots: int) -> Plan:
    """What the loop needs of a prepared study and its stored folds."""
    config, space = prepared.config, prepared.space
    baseline = space.defaults()
    known_good = () if prepared.own else prepared.preset.starts
    starts = [
        ("baseline", baseline),
        *(("try", point) for point in prepared.tries),
        *(("start", space.defaults(**start)) for start in known_good),
    ]
    plan = Plan(
        seed=config.seed,
        metric=config.metric,
        folds=prepared.folds,
        assignment=store.split(0).assignment,
        training=Training(prepared.max_epochs, config.training.patience, config.training.min_delta),
        space=space,
        starts=starts,
        max_parameters=config.max_parameters,
        max_bytes=memory_for_each(slots),
        trials=config.trials,
        seconds=None if config.hours is None else config.hours * 3600,
        references=studies.references_of(store.path.parent, prepared.facts.backbones),
        race=race_terms(prepared, str(store.study().config.get("race", "none"))),
    )
    images = int((plan.assignment >= 0).sum())
    return replace(plan, reserve=lambda t: reserve(t, plan.metric, plan.folds, images, plan.seconds, slots))


def race_terms(prepared: Prepared, rule: str) -> Terms | None:
    """How the study races; None where it does not. The rule is the stored one."""
    if rule not in RULES or rule == "none":
        return None

    def schedule(params: Params) -> Schedule | None:
        if prepared.own:
            recipe = own_recipe(params, prepared.facts)
        else:
            family, known = family_of(prepared.preset, params)
            if family.frozen and family.frozen.heads and not family.frozen.heads.trains(known):
                return None
            recipe = family.recipe(known, prepared.facts)
        return Schedule(recipe.schedule, recipe.epochs or int(params.get("epochs", prepared.max_epochs)))

    return Terms(rule, prepared.images.labels, schedule)


def versions() -> dict[str, str]:
    """Versions of everything that decides a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout, or another build of TensorFlow
            continue
    return found


def materials_of(pixels: Path, prepared: Prepared) -> Materials:
    """What workers need of a prepared study."""
    return Materials(
        pixels=pixels,
        labels=prepared.images.labels,
        facts=prepared.facts,
        preset=prepared.preset.name,
        metric=prepared.config.metric,
        model=prepared.own.file if prepared.own else None,
        latency=prepared.config.second_objective == "latency",
        precision=prepared.config.training.precision,
        xla=prepared.config.training.xla,
    )
