"""`search list`: the studies below a folder, or on a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from search.errors import UsageError
from search.results.listed import ListedStudy
from search.stats.metrics import max_scores
from search.stats.ranking import best
from search.study.evidence import stored_record
from search.study.folder import StudyFolder
from storage import ServerUrl, StorageError, Store, is_url, place_of, studies_on

_MAX_DEPTH = 6  # folders below the given one in which studies are looked for


def list_studies(below: str | Path) -> tuple[ListedStudy, ...]:
    """The studies below a folder by path, or on a server (its URL) by name. Links are not followed.

    In a folder outer folds belong to their study. Raises UsageError if there is no such folder or URL, StorageError if
    the server cannot be asked.
    """
    if is_url(str(below)):
        return tuple(map(_on_server, studies_on(_server(str(below)))))
    folder = Path(below)
    if not folder.is_dir():
        raise UsageError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}; name a folder")
    return tuple(_listed(study) for study in _studies(folder))


def _server(url: str) -> ServerUrl:
    try:
        return ServerUrl.parse(url).where
    except ValueError as error:  # whose message does not have the URL, which may hold a password
        raise UsageError(f"DIR: {error}") from None


def _studies(below: Path) -> Iterator[StudyFolder]:
    for path, folders, _ in os.walk(below):
        study = StudyFolder(Path(path))
        if study.is_study:
            folders.clear()
            yield study
        elif len(study.path.relative_to(below).parts) >= _MAX_DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _listed(folder: StudyFolder) -> ListedStudy:
    running = folder.searched
    if not folder.begun:
        return ListedStudy(str(folder), "running" if running else "not begun")
    try:
        with folder.read() as store:
            return _of(store, str(folder), running=running, model=folder.model.is_file())
    except StorageError as error:
        return ListedStudy(str(folder), "unreadable", problem=str(error))


def _on_server(url: ServerUrl) -> ListedStudy:
    try:
        with Store.open(url, read_only=True, max_scores=max_scores()) as store:
            return _of(store, str(url), running=place_of(url).writer() is not None, model=False)
    except StorageError as error:
        return ListedStudy(str(url), "unreadable", problem=str(error))


def _of(store: Store, path: str, *, running: bool, model: bool) -> ListedStudy:
    record, trials = stored_record(store), store.trials(curves=False)
    leader = best(trials, record.metric)
    return ListedStudy(
        path=path,
        state="running" if running else "idle",
        images=sum(not image.testing for image in store.images()),
        trials=len(trials),
        best=leader.score(record.metric) if leader else None,
        metric=record.metric,
        seconds=store.spent_seconds(),
        model=model,
    )
