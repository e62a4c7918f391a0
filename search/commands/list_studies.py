"""`search list`: the studies below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from search.errors import UsageError
from search.results.listed import ListedStudy
from search.stats.ranking import best
from search.study.evidence import stored_record
from search.study.folder import StudyFolder
from search.study.lease import holder
from storage import StorageError

_MAX_DEPTH = 6  # folders below the given one in which studies are looked for


def list_studies(below: Path) -> tuple[ListedStudy, ...]:
    """The studies below a folder, by path. Links are not followed; outer folds belong to their study.

    Raises UsageError if there is no such folder.
    """
    if not below.is_dir():
        raise UsageError(f"{below} {'is not a folder' if below.exists() else 'does not exist'}; name a folder")
    return tuple(_listed(folder) for folder in _studies(below))


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
    running = holder(folder.lock) is not None
    if not folder.begun:
        return ListedStudy(str(folder), "running" if running else "not begun")
    try:
        with folder.read() as store:
            record, trials = stored_record(store), store.trials(curves=False)
            leader = best(trials, record.metric)
            return ListedStudy(
                path=str(folder),
                state="running" if running else "idle",
                images=sum(not image.testing for image in store.images()),
                trials=len(trials),
                best=leader.score(record.metric) if leader else None,
                metric=record.metric,
                seconds=store.spent_seconds(),
                model=folder.model.is_file(),
            )
    except StorageError as error:
        return ListedStudy(str(folder), "unreadable", problem=str(error))
