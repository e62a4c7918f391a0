"""`search sweep`: the studies of a sweep.toml one after another, with the same workers, and one table of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.commands.report import summary_of
from search.commands.request import Request
from search.commands.run import check_request, search_with
from search.commands.session import Session
from search.errors import RunError, UsageError
from search.executors.factory import open_executor
from search.results.progress import Ending
from search.results.summary import StudySummary
from search.results.swept import Sweep, SweptStudy, swept
from search.study import config as toml
from search.study.folder import StudyFolder
from search.study.sweep_file import Cell, read_sweep
from storage import ServerUrl, StorageError, studies_on

_PROBLEMS = (RunError, UsageError, StorageError, OSError)  # of one study, which do not end the sweep


@dataclass(frozen=True)
class SweepResult:
    """A sweep, and whether a signal stopped it."""

    sweep: Sweep
    stopped: bool

    @property
    def failed(self) -> bool:
        """Whether a study could not be searched to its end."""
        return any(study.problem is not None for study in self.sweep.studies)


def sweep(path: Path, session: Session, *, each: Callable[[StudyFolder, StudySummary], None]) -> SweepResult:
    """Search every study of a sweep until its budget is used up; those that are done already are left as they are.

    `each` is called with a study that was searched, whose report it may write. A study that fails is told of, and the
    next one begins. Raises UsageError before anything is made if the file, or what it names, is wrong; StorageError if
    its server cannot be reached.
    """
    cells = read_sweep(path)
    requests = [_request(cell) for cell in cells]
    problems: dict[int, str] = {}
    waiting = list(range(len(cells)))
    while True:
        _reach_servers(requests)
        if not waiting:
            return SweepResult(_table(cells, problems), stopped=False)
        # An executor ends with a study that fails; the next one gets another.
        with open_executor(session.workers, session.fold_limit) as executor:
            while waiting:
                number = waiting.pop(0)
                folder = requests[number].folder
                try:
                    folder.path.parent.mkdir(exist_ok=True)
                    one = replace(session, started=time.monotonic())
                    check_request(requests[number], one)
                    title = f"{folder} ({number + 1} of {len(cells)})"
                    ended = search_with(executor, requests[number], one, title=title)
                except _PROBLEMS as error:
                    problems[number] = str(error)
                    with contextlib.suppress(OSError):  # it has other studies
                        folder.path.parent.rmdir()
                    break
                if ended.ending is Ending.STOPPED:
                    return SweepResult(_table(cells, problems), stopped=True)
                if ended.problem is not None:
                    problems[number] = ended.problem
                if ended.nothing_left is None or not folder.report.exists():
                    try:
                        each(folder, summary_of(folder))
                    except _PROBLEMS as error:
                        problems.setdefault(number, f"its report cannot be written: {error}")


def _request(cell: Cell) -> Request:
    """The settings of a study that exists may differ in budgets alone, as for `search run`."""
    if cell.folder.toml.is_file():
        return Request(cell.folder, toml.read(cell.folder.path, cell.changes), cell.changes, written=True)
    config = toml.parse(toml.merged({"images": str(cell.images)}, cell.changes), "sweep")
    return Request(cell.folder, config, cell.changes, written=False)


def _reach_servers(requests: Sequence[Request]) -> None:
    """Raises StorageError for one that is away: each study, and each line of the table, would say the same."""
    for url in {url for request in requests if (url := request.config.storage)}:
        studies_on(ServerUrl.parse(url))


def _table(cells: Sequence[Cell], problems: dict[int, str]) -> Sweep:
    return swept([_study(cell, problems.get(number)) for number, cell in enumerate(cells)])


def _study(cell: Cell, problem: str | None) -> SweptStudy:
    study = SweptStudy(cell.data, cell.preset, cell.seed, str(cell.folder), done=False, problem=problem)
    if not cell.folder.begun:
        return study
    try:
        summary = summary_of(cell.folder)
    except StorageError as error:
        return replace(study, problem=problem or str(error))
    estimate, chosen = summary.estimate, summary.chosen
    return replace(
        study,
        done=problem is None and chosen is not None and chosen.current,
        metric=summary.metric,
        trials=len(summary.trials),
        seconds=summary.spent_seconds,
        score=estimate.value if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        tested=chosen.test.value if chosen and chosen.test else None,
    )
