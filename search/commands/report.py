"""`search report`: the summary of a study, once or again and again while it is searched."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from search.data.depth import FULL, Scale
from search.data.places import opened
from search.data.thumbnails import thumbnails
from search.errors import UsageError
from search.results.gradcam import Looks, read_looks
from search.results.pictures import Pictures, rows_shown
from search.results.read import read_stored
from search.results.stored import StoredStudy
from search.results.summary import StudySummary, summarise
from search.session.signals import StopRequest, stop_on_signals
from search.stats.selection import Wish
from search.study import config as toml
from search.study.folder import StudyFolder
from search.text import as_typed_in, printable
from storage import StorageError, changes_of

LOOK_SECONDS = 5.0  # between two readings of the database, at least
READING_SHARE = 0.1  # of the time that reading and drawing may take: with thousands of trials they take seconds
BETWEEN_FOLDS = 1.0  # seconds: after one outer fold and before the next no study is locked for a moment
TICK_SECONDS = 0.2  # in which a signal is heeded

WITHOUT_SETTINGS = (
    "This study has no study.toml, as after copying it from a server, and what trains needs one: `search run IMAGES "
    "--dir .`, in the study's folder, writes it anew."
)


@dataclass(frozen=True)
class Report:
    """A study and its summary; the page is written to `folder.report`."""

    folder: StudyFolder
    summary: StudySummary
    last: bool = True  # whether no other follows

    def pictures(self) -> Pictures:
        """See `pictures_of`."""
        return pictures_of(self.folder, self.summary)


def report(study: Path | None) -> Report:
    """The summary of a study, see `StudyFolder.find`. Raises UsageError if it has not begun, StorageError."""
    folder = StudyFolder.find(study)
    return Report(folder, summary_of(folder))


def watch(study: Path | None, *command: str) -> Iterator[Report]:
    """The report of a study whenever it has new results, until its search ends or a signal asks to stop.

    The last one is marked. A study that is not searched now has this one alone. Between two reports the database is
    only looked at from outside, and not read. `command`: the verb and the options that watch, by default those of the
    report. Raises UsageError if the study has not begun, StorageError.
    """
    folder = StudyFolder.find(study)
    with stop_on_signals(folder.command(*(command or ("report", "--watch")))) as stop:
        searching = False
        while True:
            if searching and not folder.searched:
                time.sleep(BETWEEN_FOLDS)
            began, state = time.monotonic(), state_of(folder)
            summary = summary_of(folder)
            searching = summary.searching
            yield Report(folder, summary, last=not searching)
            if not searching:
                return
            _wait(folder, state, stop, max(LOOK_SECONDS, (time.monotonic() - began) / READING_SHARE))
            if stop.asked:
                yield Report(folder, summary)
                return


def _wait(folder: StudyFolder, state: object, stop: StopRequest, seconds: float) -> None:
    """Until so many seconds passed and the study has changed since it had this state, or a signal asks to stop."""
    ready = time.monotonic() + seconds
    while not stop.asked:
        time.sleep(TICK_SECONDS)
        if time.monotonic() >= ready:
            if state_of(folder) != state or not folder.searched:
                return
            ready += LOOK_SECONDS


def state_of(folder: StudyFolder) -> tuple[Hashable, ...]:
    """What differs once something was stored in the study or an outer fold."""
    found = []
    for study in (folder, *folder.outers):
        with contextlib.suppress(StorageError):  # its server is away: told by the next reading
            found.append(changes_of(study.database))
    return tuple(found)


def summary_of(folder: StudyFolder) -> StudySummary:
    """The current summary of a study. Raises UsageError if it has not begun, StorageError."""
    with _no_collection():
        return replace(summarise(stored_of(folder)), pictures=_pictures_typed(folder))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection: it would go through millions of new records again and again, and none is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def stored_of(folder: StudyFolder) -> StoredStudy:
    """The current records of a study. Raises UsageError if it has not begun, StorageError."""
    if not folder.begun:
        starts = folder.command("run")
        raise UsageError(f"{folder} has not begun, so there is nothing to report; `{starts}` starts it")
    searching = folder.searched  # before reading: what is stored later is shown by the next report
    with folder.read() as store:
        stored = read_stored(store, searching=searching, outdated=folder.model_is_outdated, wish=_wish(folder))
    stored = replace(stored, missing=not folder.model.is_file(), has_settings=folder.toml.is_file())
    return stored if stored.has_settings else replace(stored, notes=(*stored.notes, WITHOUT_SETTINGS))


def _wish(folder: StudyFolder) -> Wish:
    """What the study's settings wish of the model; the default where they cannot be read: results can be shown."""
    try:
        return toml.read(folder.path).wish
    except UsageError:
        return Wish()


def _pictures_typed(folder: StudyFolder) -> tuple[Path, ...]:
    """The images, as a command in the study's folder names them; empty where they are gone, or that is not all."""
    try:
        origin = toml.read(folder.path).origin(folder.path)
    except UsageError:
        return ()
    if origin.says_classes or not all(root.exists() for root in origin.roots):
        return ()
    return tuple(as_typed_in(folder.path, root) for root in origin.roots)


def pictures_of(folder: StudyFolder, summary: StudySummary) -> Pictures:
    """Small versions of the images that the report shows, read from the image folder. What is gone is told, no error.

    Raises StorageError.
    """
    rows = rows_shown(summary)
    if not rows:
        return Pictures()
    try:
        config = toml.read(folder.path)
    except UsageError:
        return Pictures(missing=f"No picture is shown: {folder.toml.name}, which says where they are, cannot be read.")
    roots, named = config.origin(folder.path).roots, " and ".join(map(printable, (config.images, *(config.also or ()))))
    if not all(root.exists() for root in roots):
        return Pictures(missing=f"No picture is shown: the image folder, {named}, is not there any more.")
    with folder.read() as store:
        images = {image.row: image for image in store.images()}
    try:
        scale = Scale.of_plain(summary.study.config)
    except (ValueError, TypeError):
        scale = FULL
    wanted = [images[row] for row in rows]
    try:
        with opened(roots, [image.path for image in wanted]) as places:
            small = thumbnails(places, wanted, scale)
    except UsageError as error:  # of an archive
        return Pictures(missing=f"No picture is shown: {error}.")
    lacking, missing = len(rows) - len(small), ""
    if lacking:
        missing = (
            f"{lacking} of {len(rows)} pictures cannot be shown: they are not in {named} any more, were "
            "changed since the search, or are too large to be read for a report."
        )
    return Pictures(small, missing, read_looks(folder.looks, summary.chosen.made) if summary.chosen else Looks())
