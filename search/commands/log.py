"""`search log` and `--log`: a study written into an experiment tracker, once or while it is searched.

What is written follows from the stored study alone, and what the tracker holds already is not written again. So the
trials of a search that was killed are there too, none is there twice when it goes on, and a tracker that fails harms
nothing.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from search.commands.report import TICK_SECONDS, Report, report, watch
from search.errors import RunError, UsageError
from search.files import no_links
from search.results.logged import Logged
from search.study.folder import StudyFolder
from search.text import printable
from search.trackers.base import write_new
from search.trackers.catalog import TRACKERS, check_trackers
from search.trackers.runs import runs_of

LAST_SECONDS = 60.0  # that a process which logs along has for what it is just writing, once the search is over


def log(study: Path | None, tracker: str) -> Logged:
    """Write what the tracker does not hold yet.

    Raises UsageError if there is no such study or tracker, StorageError, RunError if the tracker fails.
    """
    check_trackers([tracker], "--to")
    return _logged(report(study), tracker)


def log_all(study: Path, trackers: Sequence[str], complain: Callable[[str], object]) -> None:
    """Write into each tracker what it lacks; where one fails, it is told by `complain` and nothing else fails."""
    for tracker in trackers:
        try:
            log(study, tracker)
        except (RunError, UsageError) as error:
            complain(str(error))


def follow(study: Path | None, tracker: str, complain: Callable[[str], None]) -> Iterator[Logged]:
    """The same whenever the study has new results, until its search ends or a signal asks to stop.

    A failure of the tracker is told once, by `complain`, and tried again with the next results. Raises as `log` does;
    RunError only if the last attempt failed.
    """
    check_trackers([tracker], "--to")
    folder = StudyFolder.find(study)
    while not folder.begun and folder.searched:  # the session that started this process is about to make it
        time.sleep(TICK_SECONDS)
    told: set[str] = set()
    for now in watch(folder.path, "log", "--to", tracker, "--watch"):
        try:
            yield _logged(now, tracker)
        except RunError as error:
            if now.last:
                raise
            if str(error) not in told:
                complain(str(error))
            told.add(str(error))


def _logged(now: Report, tracker: str) -> Logged:
    folder = now.folder
    try:
        kept, runs = TRACKERS[tracker].open(folder, now.summary.study), runs_of(now.summary, folder)
        return Logged(str(folder), tracker, kept.where, len(runs), write_new(kept, runs))
    except UsageError:
        raise
    except Exception as error:  # the library of another program
        again = folder.command("log", "--to", tracker)
        what = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise RunError(f"{tracker}: {what}; the study itself is unharmed, and `{again}` tries again") from error


@contextlib.contextmanager
def logging_along(folder: StudyFolder, trackers: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Yields what starts a process for each tracker that logs while this one searches; they end with the context.

    A process of its own, so that the search neither waits for a tracker nor holds its libraries in memory. It ends by
    itself where this one is killed. What it says goes to `logs/log-TRACKER.log`.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        for tracker in trackers:
            with contextlib.suppress(OSError):  # the search goes on without, and what is missing is written at its end
                folder.logs.mkdir(exist_ok=True)
                with open(folder.logs / f"log-{tracker}.log", "ab", opener=no_links) as said:
                    processes.append(_begun(folder, tracker, said))

    try:
        yield start
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(LAST_SECONDS)
            except subprocess.TimeoutExpired:  # what is half written is written anew by the next `log`
                process.kill()
                process.wait()


def _begun(folder: StudyFolder, tracker: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
    # -P and a session of its own: as for workers, see `search.executors.child`
    words = ("log", str(folder.path.absolute()), "--to", tracker, "--watch")
    return subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-P", "-m", "search", *words],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
