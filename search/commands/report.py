"""`search report`: the summary of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError
from search.results.read import read
from search.results.summary import StudySummary
from search.stats.selection import Wish
from search.study import config as toml
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
    searching = holder(folder.lock) is not None
    with folder.read() as store:
        return read(store, searching=searching, outdated=folder.model_is_outdated, wish=_wish(folder))


def _wish(folder: StudyFolder) -> Wish:
    """What the study's settings wish of the model; the default where they cannot be read: results can be shown."""
    try:
        return toml.read(folder.path).wish
    except UsageError:
        return Wish()
