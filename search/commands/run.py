"""`search init`, `search run`, `search resume`: a study is started or continued until its budget is used up."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.commands.log import logging_along
from search.commands.request import Request, Settings, builder, check_images, check_settings, going_on, search_of
from search.commands.session import Display, Session
from search.data.check import findings
from search.errors import UsageError
from search.executors.base import Executor
from search.executors.factory import fit, open_executor
from search.results.progress import Ending
from search.samplers.catalog import check_sampler
from search.session import nested
from search.session.budget import larger_budgets, without_result
from search.session.image_size import compare_sizes, planned, with_size
from search.session.needs import need_of
from search.session.prepare import prepare
from search.study.config import SAME_BUDGET
from search.study.continuing import check_named, resume_command
from search.study.disk import check_room, remarks_on
from search.study.folder import StudyFolder
from search.study.lease import leased
from search.study.prepared import Prepared
from search.study.size_probe import SizeProbe
from search.text import duration_of
from search.trackers.catalog import check_trackers
from spaces.custom.file import ModelFile
from storage import needs_upgrade


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    folder: StudyFolder
    ending: Ending
    own: ModelFile | None = None  # the user's model that was searched
    options: tuple[str, ...] = ()  # of the command, those that the next one needs too
    nothing_left: str | None = None  # why nothing was done, in words; None if something was done
    problem: str | None = None  # why there is no model, and the command that continues; None if there can be one

    @property
    def resume_command(self) -> str:
        """The command that continues the study."""
        return resume_command(self.folder, *self.options, own=self.own)


def init(
    images: Path,
    settings: Settings,
    *,
    directory: Path | None = None,
    warm_start: Path | None = None,
    display: Display,
) -> StudyFolder:
    """Check the images and write the study.toml of a new study. Raises UsageError if one exists, or none can be made.

    `directory` None: IMAGES-study. `warm_start`: another study, whose best points are tried first.
    """
    request = search_of(images, directory, settings)
    folder = request.folder
    if request.written:
        before = f" of {' and '.join(map(str, request.images_before))}" if request.images_before else ""
        other = "; for another, name its folder with --dir" if before else ""
        raise UsageError(f"{folder} is a study{before} already; `{folder.command('run')}` goes on with it{other}")
    with display.reading() as progress:
        prepared = prepare(request.config, folder.path, progress, warm_start=warm_start)
    with folder.made():
        request.write(prepared.warm)
    _show(folder, prepared, display)
    return folder


def run(
    path: Path | None,
    settings: Settings,
    session: Session,
    *,
    directory: Path | None = None,
    model: str | None = None,
    warm_start: Path | None = None,
) -> RunResult:
    """Start a study of the images at `path`, or continue the study there; None: the study here.

    `directory` of a new study; None: IMAGES-study. `model`: FILE.py:BUILD, instead of a preset. `warm_start`: another
    study, whose best points are tried first.
    Raises UsageError or StorageError if it cannot start, RunError if it cannot continue.
    """
    own = builder(model, settings.preset)
    request = search_of(path, directory, settings)
    return _search(request, session, own, warm_start=warm_start)


def resume(study: Path | None, settings: Settings, session: Session, *, model: str | None = None) -> RunResult:
    """Like `run`, for a study that has begun. Raises UsageError also if nothing is left to do."""
    request = going_on(StudyFolder.find(study), settings)
    if not request.folder.begun:
        starts = request.folder.command("run", *(("--model", model) if model else ()))
        raise UsageError(f"{request.folder} has not begun, so there is nothing to resume; `{starts}` starts it")
    own = builder(model, None)
    return _search(request, session, own, only_unfinished=True)


def _search(
    request: Request,
    session: Session,
    own: ModelFile | None,
    *,
    warm_start: Path | None = None,
    only_unfinished: bool = False,
) -> RunResult:
    check_request(request, session, own)
    with open_executor(session.workers, session.fold_limit, session.cluster) as executor:
        return search_with(executor, request, session, own, warm_start=warm_start, only_unfinished=only_unfinished)


def check_request(request: Request, session: Session, own: ModelFile | None = None) -> None:
    """Raises UsageError for what can be known to be impossible before workers start and images are read."""
    folder = request.folder
    check_sampler(request.config.chosen_sampler)
    check_trackers(session.log, "--log")
    folder.check()
    if not folder.begun:  # before the images are read; one that has begun may have nothing left to do
        check_room(folder.path)
    if not request.images_before:  # else the images may be another study's, which is to be said first
        check_named(folder, own, "resume", *_budget_options(request), *session.asked.options)


def search_with(
    executor: Executor,
    request: Request,
    session: Session,
    own: ModelFile | None = None,
    *,
    warm_start: Path | None = None,
    only_unfinished: bool = False,
    title: str | None = None,
) -> RunResult:
    """Search with an executor that is open already, which stays so if the search ends by itself.

    `title`: how the study is shown; None: by its folder. Nothing is shown of one that is refused before.
    """
    folder, display, begun = request.folder, session.display, request.folder.begun
    prepared = _prepared(executor, request, session, own, warm_start)
    workers = fit(executor, need_of(prepared), session.workers, session.fold_limit)
    done, ending = nested.done_already(folder, prepared), Ending.FINISHED
    if done and only_unfinished:
        raise UsageError(f"nothing to resume: {done.words}; {_next_steps(request, own, session.asked.options)}")
    if not done:
        check_room(folder.path, begun=begun)
    with contextlib.nullcontext() if done else folder.made():
        display.study(title or str(folder), going_on=begun)
        _show(folder, prepared, display, workers)
        if done:
            _sweep(folder)
        else:
            ending = _run(executor, request, prepared, session)
    problem = None if ending is Ending.STOPPED else without_result(folder, *session.asked.options)
    nothing_left = None
    if done:
        kept = "; study.toml stays as it is" if request.changed else ""
        steps = "" if problem else f"; {_next_steps(request, own, session.asked.options)}"
        nothing_left = f"nothing left to do: {done.words}{kept}{steps}"
    return RunResult(folder, ending, own, session.asked.options, nothing_left, problem)


def _run(executor: Executor, request: Request, prepared: Prepared, session: Session) -> Ending:
    with logging_along(request.folder, session.log) as start_logging:

        def begin() -> None:
            request.write(prepared.warm)
            start_logging()

        watching, asked = session.display.watching, session.asked
        return nested.run(request.folder, prepared, watching, executor=executor, asked=asked, begin=begin)


def _prepared(
    executor: Executor, request: Request, session: Session, own: ModelFile | None, warm_start: Path | None
) -> Prepared:
    """What is searched, at the size of images that pictures of a new study need."""
    folder, display = request.folder, session.display

    def read(size_probe: SizeProbe | None = None) -> Prepared:
        with display.reading() as progress:
            return prepare(request.config, folder.path, progress, own, warm_start, size_probe)

    prepared = read()
    check_images(request, prepared, session.command)
    check_settings(request, prepared, session.command)
    if not planned(prepared) or (folder.begun and needs_upgrade(folder.database)):
        return prepared
    found = compare_sizes(prepared, folder.path, executor, display.reading, display.training)
    return with_size(prepared, found, read)


def _sweep(study: StudyFolder) -> None:
    """Remove what killed processes left half written, as a session does: a study that is done begins none.

    Where it cannot be written, or is in use, it is left alone.
    """
    for folder in (study, *study.outers):
        with contextlib.suppress(UsageError, OSError), leased(folder.lock):
            folder.sweep()
            folder.pixels.unlink(missing_ok=True)  # no session has them


def _budget_options(request: Request) -> list[str]:
    """The budgets that the command names, as options; a larger one for each that is used up."""
    named = {"--trials": str(request.changes["trials"])} if "trials" in request.changes else {}
    if request.config.hours and SAME_BUDGET.keys() & request.changes.keys():
        named["--time"] = duration_of(3600 * request.config.hours)
    named |= dict(larger_budgets(request.folder, request.config))
    return [word for option in named.items() for word in option]


def _next_steps(request: Request, own: ModelFile | None, options: Sequence[str]) -> str:
    """The commands for a study whose budget is used up: a larger one, and the model if there is one."""
    folder = request.folder
    larger = f"with a larger budget: {resume_command(folder, *_budget_options(request), *options, own=own)}"
    if not folder.model.is_file():
        return larger
    return f"{larger}; to use its model: {folder.command('predict', 'PICTURES')}"


def _show(folder: StudyFolder, prepared: Prepared, display: Display, *more: str) -> None:
    image_findings = findings(prepared.images, prepared.checked, prepared.config.images)
    display.prepared(image_findings, [*prepared.remarks, *nested.cost(prepared), *remarks_on(folder.path), *more])
