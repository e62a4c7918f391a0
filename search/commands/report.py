"""`search report`: the summary of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.data.depth import DEPTHS, FULL_DEPTH
from search.data.depth import KEY as GREY_BITS
from search.data.thumbnails import thumbnails
from search.errors import UsageError
from search.results.looks import Looks, read_looks
from search.results.pictures import Pictures, rows_shown
from search.results.read import read
from search.results.summary import StudySummary
from search.stats.selection import Wish
from search.study import config as toml
from search.study.folder import StudyFolder
from search.study.lease import holder
from search.text import printable


@dataclass(frozen=True)
class Report:
    """A study and its summary; the page is written to `folder.report`."""

    folder: StudyFolder
    summary: StudySummary

    def pictures(self) -> Pictures:
        """See `pictures_of`."""
        return pictures_of(self.folder, self.summary)


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


def pictures_of(folder: StudyFolder, summary: StudySummary) -> Pictures:
    """Small versions of the images that the report shows, read from the image folder. What is gone is told, no error.

    Raises StorageError.
    """
    rows = rows_shown(summary)
    if not rows:
        return Pictures()
    try:
        root = toml.read(folder.path).images
    except UsageError:
        return Pictures(missing=f"No picture is shown: {folder.toml.name}, which says where they are, cannot be read.")
    if not (folder.path / root).is_dir():
        return Pictures(missing=f"No picture is shown: the image folder, {printable(root)}, is not there any more.")
    with folder.read() as store:
        images = {image.row: image for image in store.images()}
    bits = summary.study.config.get(GREY_BITS)
    wanted = [images[row] for row in rows]
    small = thumbnails(folder.path / root, wanted, bits if bits in DEPTHS else FULL_DEPTH)
    lacking, missing = len(rows) - len(small), ""
    if lacking:
        missing = (
            f"{lacking} of {len(rows)} pictures cannot be shown: they are not in {printable(root)} any more, were "
            "changed since the search, or are too large to be read for a report."
        )
    return Pictures(small, missing, read_looks(folder.looks, summary.chosen.made) if summary.chosen else Looks())
