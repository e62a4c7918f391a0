"""`search report`: the summary of a study."""

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
    """A study and its summary; the page is written to `folder.report`."""

    folder: StudyFolder
    summary: StudySummary


def report(study: Path | None) -> Report:
    """The summary of a study, see `StudyFolder.find`. Raises UsageError if it has not begun, StorageError."""
    folder = StudyFolder.find(study)
    return Report(folder, summary_of(folder))


def summary_of(folder: StudyFolder) -> StudySummary:
    """The current summary of a study. Raises UsageError if it has not begun, StorageError."""
    if not folder.begun:
        starts = folder.command("run")
        raise UsageError(f"{folder} has not begun, so there is nothing to report; `{starts}` starts it")
    with folder.read() as store:
        return read(store, searching=holder(folder.lock) is not None, outdated=folder.model_is_outdated)
