"""`search init`, `search run`, `search resume`: a study is started or continued until its budget is used up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.commands.request import Request, Settings, builder, going_on, search_of
from search.commands.session import Display, Session
from search.data.check import findings
from search.errors import UsageError
from search.executors.factory import open_executor
from search.results.progress import Ending
from search.samplers.catalog import check_sampler
from search.session import nested
from search.session.budget import without_result
from search.session.prepare import prepare
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces.custom.file import ModelFile


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    folder: StudyFolder
    ending: Ending
    nothing_left: str | None = None  # why nothing was done, in words; None if something was done
    problem: str | None = None  # why a run that is finished has no model, and the command that continues


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
        raise UsageError(f"{folder} is a study already; `{folder.command('run')}` goes on with it")
    with display.reading() as progress:
        prepared = prepare(request.config, folder.path, progress, warm_start=warm_start)
    folder.make()
    request.write(prepared.warm)
    _show(prepared, display)
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
        raise UsageError(f"{request.folder} has not begun, so there is nothing to resume; `search run` starts it")
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
    folder, config, display = request.folder, request.config, session.display
    display.study(str(folder), going_on=folder.begun)
    check_sampler(config.chosen_sampler)
    folder.check()
    with open_executor(session.workers) as executor:
        with display.reading() as progress:
            prepared = prepare(config, folder.path, progress, own, warm_start)
        _show(prepared, display)
        done, ending = nested.done_already(folder, prepared), Ending.FINISHED
        if done and only_unfinished:
            raise UsageError(f"nothing to resume: {done}")
        if not done:
            folder.make()
            watch, begin = display.watching, partial(request.write, prepared.warm)
            ending = nested.run(folder, prepared, watch, executor=executor, command=session.command, begin=begin)
    kept = "; study.toml stays as it is" if done and request.changed else ""
    problem = without_result(folder) if ending is Ending.FINISHED else None
    return RunResult(folder, ending, done and f"nothing left to do: {done}{kept}", problem)


def _show(prepared: Prepared, display: Display) -> None:
    image_findings = findings(prepared.images, prepared.checked, prepared.config.images)
    display.prepared(image_findings, [*prepared.remarks, *nested.cost(prepared)])
