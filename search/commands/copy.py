"""`search copy`: a study from one place to another, a folder or a server, compared row for row."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from search.commands.backup import copy_files, copy_settings
from search.errors import UsageError, writing
from search.results.copied import CopiedStudy
from search.results.nested import is_outer_fold
from search.study.folder import StudyFolder
from search.text import command_line
from storage import Copied, ServerUrl, StorageError, Store, is_url, name_for, studies_on
from storage import copy as copy_database

Database = Path | ServerUrl
Place = StudyFolder | ServerUrl
Tell = Callable[[int, int], None]

_UNFINISHED = ".copying"
"""In a folder that is copied into: of which study."""


def copy(
    source: str, target: str, *, tell: Tell = lambda _done, _all: None, note: Callable[[str], None] = lambda _: None
) -> CopiedStudy:
    """Copy a study with its outer folds, also one that is being searched. What a call left unfinished is finished.

    `source`, `target`: a study folder or URLs; a folder gets settings and model too if it is copied from one. `tell` is
    told of rows. Raises UsageError, StorageError.
    """
    origin = _origin(source)
    goal = _goal(target, origin)
    parts = _parts(origin)
    targets = {outer: _part(goal, outer) for outer in parts}
    if isinstance(goal, ServerUrl) and goal.study in {url.study for url in studies_on(goal.where)}:
        copy_database(parts[""], goal)  # compares them: where another study is, no outer fold is written beside it
    rows: dict[str, int] = {}
    copied: Copied | None = None
    with _made(goal, origin, list(parts)):
        for outer, database in reversed(parts.items()):  # the study itself comes last, and is there only if all is
            copied = copy_database(database, targets[outer], tell)
            rows = {table: rows.get(table, 0) + count for table, count in copied.rows.items()}
    assert copied is not None  # noqa: S101 - the study itself is a part
    if isinstance(goal, StudyFolder) and isinstance(origin, StudyFolder):
        for outer in reversed(parts):
            copy_settings(_inner(origin, outer), _inner(goal, outer), note)
    if isinstance(goal, StudyFolder):
        with writing(f"TO: {goal}", "name a folder that can"):
            (goal.path / _UNFINISHED).unlink()
    return CopiedStudy(str(goal), rows, copied.sha256, _next_steps(origin, goal))


def _origin(source: str) -> Place:
    if is_url(source):
        url = _url(source, "FROM")
        if url.study is None:
            raise UsageError(f"FROM: must name a study; `{command_line('list', str(url))}` lists those on the server")
        return url
    folder = StudyFolder.find(Path(source))
    if not folder.begun:
        raise UsageError(f"{folder} has not begun: there are no results in it to copy")
    return folder


def _goal(target: str, origin: Place) -> Place:
    if not is_url(target):
        folder = StudyFolder(Path(target))
        if folder.path.exists() and not _is_free(folder.path, origin):
            raise UsageError(f"TO: {folder} exists already; name a new folder")
        if isinstance(origin, StudyFolder) and folder.path.resolve().is_relative_to(origin.path.resolve()):
            raise UsageError(f"TO: {folder} is within the study; name a folder outside of it")
        return folder
    url = _url(target, "TO")
    if url.study is not None:
        return url
    name = origin.study if isinstance(origin, ServerUrl) else name_for(origin.path.resolve().name)
    return url.of_study(name or "study")


def _is_free(folder: Path, origin: Place) -> bool:
    """Whether there is nothing in it, or what copying the same study left unfinished."""
    if not folder.is_dir():
        return False
    mark = folder / _UNFINISHED
    if not mark.is_file() or mark.is_symlink():
        return not any(folder.iterdir())
    return mark.read_bytes() in (b"", _mark_of(origin))  # empty: stopped while it was written


def _mark_of(origin: Place) -> bytes:
    return os.fsencode(str(origin if isinstance(origin, ServerUrl) else origin.path.resolve()))


def _url(text: str, which: str) -> ServerUrl:
    try:
        return ServerUrl.parse(text)
    except ValueError as error:  # whose message does not have the text, which may hold a password
        raise UsageError(f"{which}: {error}") from None


def _parts(origin: Place) -> dict[str, Database]:
    """The databases of a study by the name of the outer fold; '' for the study itself, which is first."""
    if isinstance(origin, StudyFolder):
        outers = {outer.path.name: outer.database for outer in origin.outers if outer.begun}
        return {"": origin.database, **outers}
    named = re.compile(rf"{re.escape(origin.study or '')}-(outer-(\d+))")
    found = [(name, url) for url in studies_on(origin.where) if (name := named.fullmatch(url.study or ""))]
    if not found:
        return {"": origin}
    with Store.open(origin, read_only=True) as store:
        study, images, assignment = store.study(), store.images(), store.split().assignment
    own: dict[str, Database] = {"": origin}
    for name, url in found:  # another study may have such a name, or be left of one that had the study's name
        fold = int(name[2]) - 1
        with Store.open(url, read_only=True) as outer:
            if is_outer_fold(outer, study, images, assignment, fold):
                own[name[1]] = url
    return own


def _inner(folder: StudyFolder, outer: str) -> StudyFolder:
    return StudyFolder(folder.nested / outer) if outer else folder


def _part(goal: Place, outer: str) -> Database:
    if isinstance(goal, StudyFolder):
        return _inner(goal, outer).database
    try:
        return goal.of_study(f"{goal.study}-{outer}") if outer else goal
    except ValueError as error:
        raise UsageError(f"TO: an outer fold has the name of the study and -{outer}: {error}") from None


@contextlib.contextmanager
def _made(goal: Place, origin: Place, parts: list[str]) -> Iterator[None]:
    """A folder, and its outer folds, with all but settings and results; within, the results are copied.

    If no row is copied, nothing is left of it.
    """
    if not isinstance(goal, StudyFolder):
        yield
        return
    was_there, was_begun = goal.path.exists(), (goal.path / _UNFINISHED).exists()
    try:
        _make(goal, origin, parts)
        yield
    except (UsageError, StorageError):
        if not was_begun and not any(goal.path.rglob("*study.db*")):
            for path in list(goal.path.iterdir()) if was_there else [goal.path]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        raise


def _make(goal: StudyFolder, origin: Place, parts: list[str]) -> None:
    with writing(f"TO: {goal}", "name a folder that can"):
        goal.path.mkdir(exist_ok=True)
        (goal.path / _UNFINISHED).write_bytes(_mark_of(origin))
        for outer in parts[1:]:
            (goal.nested / outer).mkdir(parents=True, exist_ok=True)
        if isinstance(origin, StudyFolder):
            copy_files(origin, goal)


def _next_steps(origin: Place, goal: Place) -> tuple[str, ...]:
    if isinstance(goal, ServerUrl):
        return (command_line("list", str(goal.where)),)
    return (goal.command("report"), *((goal.command("resume"),) if isinstance(origin, StudyFolder) else ()))
