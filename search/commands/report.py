"""`search report`: all that a study has to say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError
from search.results.read import read
from search.results.summary import StudySummary
from search.study.folder import StudyFolder
from search.study.lease import holder


@dataclass(frozen=True)
class Report:
    """A study and what it says; its page goes to `folder.report`."""

    folder: StudyFolder
    summary: StudySummary


def report(study: Path | None) -> Report:
    """Of the study that is meant, see `StudyFolder.find`. Raises UsageError where it has not begun, StorageError."""
    folder = StudyFolder.find(study)
    return Report(folder, summary_of(folder))


def summary_of(folder: StudyFolder) -> StudySummary:
    """What the study says now. Raises UsageError where it has not begun, StorageError."""
    if not folder.begun:
        starts = folder.command("run")
        raise UsageError(f"{folder} has not begun, so there is nothing to report; `{starts}` starts it")
    with folder.read() as store:
        return read(store, searching=holder(folder.lock) is not None, outdated=folder.model_is_outdated)
