"""A search while it runs: a live table in a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reports.terminal.output import STATE_STYLES, as_text, filled, has_unicode
from reports.terminal.sparkline import BARS, sparkline
from reports.wording import study as words
from reports.wording import values
from search.results.progress import Activity, Observer, Progress, best_over_time
from search.results.summary import REFERENCE_WORDS, changed_from
from search.stats.metrics import METRICS
from storage.records import TrialRecord, TrialState

_RECENT = 8  # trials shown, if the terminal has enough lines
_DOING = 3  # lines for what workers do now, at most
_AROUND = 9  # lines that are always there: head, best, references, gaps, budget, pace, and the cursor's
_SECONDS_BETWEEN_DRAWINGS = 0.1
_DRAWING_SHARE = 0.02  # of the time that drawing may take: with many thousand trials it takes a while
_SECONDS_BETWEEN_JOBS = 0.5  # for which a worker without a job is not worth a drawing: it is about to get one
_BAR_WIDTH = 30
_SPARK_WIDTH = 40
OPENING = "opening the study"


class LiveTable:
    """The last trials, the best one and the budget, redrawn in place. Use it as a context manager.

    It always has the same number of lines, so nothing below or above it moves.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._fancy = has_unicode(console)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._low, self._high = math.inf, -math.inf  # fold scores seen, for the height of the bars
        self._progress: Progress | None = None
        self._drawn_at = -math.inf
        self._drawing = 0.0  # seconds of the last drawing
        self._over_time: tuple[int, tuple[tuple[float, float], ...]] = (0, ())  # of so many closed trials
        self._ended = False

    def __enter__(self) -> LiveTable:
        self._live.start()
        self._live.update(as_text(OPENING, self._console, "dim"), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        if self._progress is not None:
            self._draw(self._progress)
        self._live.stop()

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(as_text(text, self._console), highlight=False)

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:  # noqa: ARG002 - the table shows it
        """Redraw, as a trial has its final state."""
        self.update(progress)

    def update(self, progress: Progress) -> None:
        """Redraw, unless the last drawing is too recent."""
        self._progress = progress
        now = time.monotonic()
        since = now - self._drawn_at
        if since < max(_SECONDS_BETWEEN_DRAWINGS, self._drawing / _DRAWING_SHARE):
            return
        if since >= _SECONDS_BETWEEN_JOBS or len(progress.doing) >= progress.workers:
            self._drawn_at = now
            self._draw(progress)
            self._drawing = time.monotonic() - now

    def _draw(self, progress: Progress) -> None:
        self._live.update(self._picture(progress), refresh=True)

    def _picture(self, progress: Progress) -> RenderableType:
        best = _best(progress)
        free = max(self._console.height - _AROUND, 2)
        doing = 0 if self._ended else min(max(free - 2, 1), _DOING, progress.workers)
        spark = free - doing >= 2
        lines = min(_RECENT, free - doing - spark)
        recent = list(progress.trials[-lines:])
        for trial in [*recent, *([best] if best else [])]:
            for score in trial.scores(progress.metric):
                if math.isfinite(score):
                    self._low, self._high = min(self._low, score), max(self._high, score)
        table = self._table(progress, recent, best, lines)
        over_time = [self._best_over_time(progress)] if spark else []
        now = self._now(progress, doing) if doing else []
        budget, pace = self._budget(progress), self._pace(progress, best)
        return Group(table, self._references(progress), *over_time, Text(), *now, budget, pace)

    def _table(self, progress: Progress, recent: Sequence[TrialRecord], best: TrialRecord | None, lines: int) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("")
        table.add_column("trial", justify="right", min_width=5)
        table.add_column("folds")
        table.add_column(values.metric_words(progress.metric))
        table.add_column("state")
        table.add_column("changed from trial 0")
        start = progress.trials[0] if progress.trials else None
        empty = tuple(Text(" " * wide) for wide in (4, 5, progress.folds, 17, 13, 0))  # so that no column moves
        rows = [self._row(progress, trial, start, "") for trial in recent]
        rows += [empty] * (lines - len(recent) + 1)
        if best is not None:
            rows.append(self._row(progress, best, start, "best"))
        else:
            rows.append((as_text("best", self._console, "dim"), as_text(values.NONE, self._console, "dim"), *empty[2:]))
        return filled(table, rows, self._console)

    def _references(self, progress: Progress) -> Text:
        """One line, blank before the first is known. An incomplete reference shows its number of folds, not a score."""
        parts = []
        for name, scores in _references(progress).items():
            complete = len(scores) == progress.folds
            score = values.number(_mean(scores)) if complete else f"{len(scores)}/{progress.folds} folds"
            parts.append(f"{name.replace('_', ' ')} {score}")
        return self._line(f"references: {' · '.join(parts)}" if parts else "")

    def _best_over_time(self, progress: Progress) -> Text:
        """The best score at each time of training; blank before there are two to compare."""
        closed = _closed(progress)
        if closed != self._over_time[0]:
            self._over_time = closed, best_over_time(progress.trials, progress.metric)
        points = self._over_time[1]
        if len(points) < 2:
            return Text()
        wide = max(min(_SPARK_WIDTH, self._console.width - 46), 4)
        maximized = METRICS[progress.metric].maximized
        drawn = sparkline(points, wide, maximized=maximized, fancy=self._fancy)
        before, now = (values.number(score) for score in (points[0][1], points[-1][1]))
        dim, trained = "dim", f" {now} after {values.duration(points[-1][0])} of training"
        line = Text.assemble((f"best {before} ", dim), (drawn, "green"), as_text(trained, self._console, dim))
        return self._cut(line)

    def _now(self, progress: Progress, lines: int) -> list[Text]:
        """What workers do, one a line, in so many lines: never nothing."""
        said = [_words(activity) for activity in progress.doing[: lines + 1]]
        if all(activity.importing for activity in progress.doing) and not progress.answered:
            then = f", then {progress.doing[0].what}" if progress.doing else ""
            said = [f"importing TensorFlow in {values.count(progress.workers, 'worker')}{then}"]
        elif not said:
            said = ["on to the next job"]
        elif len(said) > lines:
            said = [*said[: lines - 1], f"{said[lines - 1]}; and {len(progress.doing) - lines} more"]
        said += [""] * (lines - len(said))
        return [self._line(f"{'now' if n == 0 else '   '}  {text}", "cyan") for n, text in enumerate(said)]

    def _line(self, text: str, style: str = "dim") -> Text:
        return self._cut(as_text(text, self._console, style))

    def _cut(self, line: Text) -> Text:
        """The line, never wrapped."""
        line.no_wrap, line.overflow = True, "ellipsis" if self._fancy else "crop"
        return line

    def _row(self, progress: Progress, trial: TrialRecord, start: TrialRecord | None, mark: str) -> tuple[Text, ...]:
        changed = words.changes_words(
            trial.origin, changed_from(start.params if start else {}, trial.params, progress.defaults)
        )
        state = as_text(words.ended_words(trial, searching=True), self._console, STATE_STYLES[trial.state])
        return (
            as_text(mark, self._console, "green"),
            as_text(str(trial.number), self._console),
            self._folds(progress, trial),
            as_text(_score_words(trial, progress.metric), self._console),
            state,
            as_text(_why(trial) or changed, self._console, "dim" if trial.state == TrialState.FAILED else ""),
        )

    def _folds(self, progress: Progress, trial: TrialRecord) -> Text:
        """One character per fold: a bar as high as its score, a circle while it is trained, a dot before."""
        done = {fold.fold: fold.scores[progress.metric] for fold in trial.folds if fold.repeat == 0}
        picture = Text()
        for fold in range(progress.folds):
            if fold in done:
                picture.append(self._bar(done[fold], progress.metric), STATE_STYLES[trial.state])
            elif (trial.number, fold) in progress.running:
                picture.append("◌" if self._fancy else "o", "cyan")
            else:
                picture.append("·" if self._fancy else ".", "dim")
        return picture

    def _bar(self, score: float, metric: str) -> str:
        if not self._fancy:
            return "#"
        if not math.isfinite(score):
            return "x"
        share = (score - self._low) / (self._high - self._low) if self._high > self._low else 0.5
        height = share if METRICS[metric].maximized else 1 - share
        return BARS[round(height * (len(BARS) - 1))]

    def _budget(self, progress: Progress) -> Text:
        shares = []
        if progress.trials_budget:
            closed = _closed(progress)
            shares.append((closed / progress.trials_budget, f"{closed} of {progress.trials_budget} trials"))
        if progress.seconds_budget:
            budget, over = progress.seconds_budget, progress.spent_seconds - progress.seconds_budget
            used = f"{values.duration(over)} over" if over > 0 else f"{values.duration(progress.spent_seconds)} of"
            shares.append((progress.spent_seconds / budget, f"{used} {values.duration(budget)}"))
        if not shares:
            return as_text(f"{values.count(len(progress.trials), 'trial')}, until you stop it", self._console)
        share = min(max(share for share, _ in shares), 1.0)
        told = as_text(f"{share:4.0%}  {' · '.join(text for _, text in shares)}", self._console)
        wide = max(min(_BAR_WIDTH, self._console.width - told.cell_len - 2), 4)
        filled = round(share * wide)
        full, empty = ("━", "─") if self._fancy else ("#", "-")
        bar = Text.assemble((full * filled, "green"), (empty * (wide - filled), "dim"))
        return self._cut(Text.assemble(bar, " ", told))

    def _pace(self, progress: Progress, best: TrialRecord | None) -> Text:
        known = f"best {values.number(best.score(progress.metric))} (trial {best.number})" if best else "no best yet"
        parts = [known]
        if progress.eta_seconds:
            parts.append(f"{values.duration(progress.eta_seconds)} left")
        parts.append(f"{values.duration(progress.spent_seconds)} so far")
        if (pace := progress.folds_per_minute) is not None:
            parts.append(f"{pace:.1f} fold runs a minute")
        return self._line(" · ".join(parts))


class PlainLines:
    """One line for each trial that ends, each reference and each note. For pipes and log files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written: set[str] = set()  # names of references
        self._begun = False
        self._waits = False  # for the first worker to be ready

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
        """Write the final state of a trial."""
        folds = f"{len(trial.scores(progress.metric))}/{progress.folds} folds"
        score = f"{values.metric_words(progress.metric)} {_score_words(trial, progress.metric)}"
        best = ", best so far" if trial.number == progress.best else ""
        changed = changed_from(progress.trials[0].params, trial.params, progress.defaults) if progress.trials else {}
        parts = [f"trial {trial.number} {words.ended_words(trial, searching=True)}{best}", score, folds]
        parts.append(values.duration(trial.seconds))
        if why := _why(trial):
            parts.append(why)
        if changed:
            parts.append(values.params_words(changed))
        self._write("; ".join(parts))

    def update(self, progress: Progress) -> None:
        """Write once what the first seconds are spent on, and the score of each reference when it has all folds.

        References of an earlier session are not written.
        """
        complete = {name: scores for name, scores in _references(progress).items() if len(scores) == progress.folds}
        if not self._begun:
            if not progress.answered:
                self._write(_starting(progress))
            self._begun, self._waits = True, not progress.answered
            self._written |= complete.keys()
        elif self._waits and progress.answered:
            self._waits = False
            self._write("TensorFlow is imported, training begins")
        for name, scores in complete.items():
            if name not in self._written:
                self._written.add(name)
                score = f"{values.metric_words(progress.metric)} {values.number(_mean(scores))}"
                self._write(f"reference {REFERENCE_WORDS.get(name, name)}; {score}")

    def _write(self, text: str) -> None:
        line = values.visible(text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with contextlib.suppress(BrokenPipeError):  # the reader of the pipe is gone; the search continues
            self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()


def _references(progress: Progress) -> dict[str, list[float]]:
    """Fold scores by name of reference, in the order in which they were stored."""
    by_name: dict[str, list[float]] = {}
    for record in progress.references:
        by_name.setdefault(record.name, []).append(record.scores.get(progress.metric, math.nan))
    return by_name


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)


@contextlib.contextmanager
def watching(*, quiet: bool) -> Iterator[Observer]:
    """The observer that shows a search on standard output: a table on a terminal, else lines; with `quiet` nothing."""
    console = Console()
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        yield PlainLines(io.StringIO() if quiet else sys.stdout or io.StringIO())
        return
    with LiveTable(console) as table:
        yield table


def _words(activity: Activity) -> str:
    what = f"importing TensorFlow for {activity.what}" if activity.importing else activity.what
    return f"{what}: {activity.how_far}" if activity.how_far else what


def _closed(progress: Progress) -> int:
    return sum(trial.state != TrialState.RUNNING for trial in progress.trials)


def _starting(progress: Progress) -> str:
    return f"starting {values.count(progress.workers, 'worker')}, importing TensorFlow"


def _best(progress: Progress) -> TrialRecord | None:
    number = progress.best
    if number is None:
        return None
    if number < len(progress.trials) and progress.trials[number].number == number:
        return progress.trials[number]
    return next((trial for trial in progress.trials if trial.number == number), None)


def _score_words(trial: TrialRecord, metric: str) -> str:
    known = [score for score in trial.scores(metric) if math.isfinite(score)]
    if not known:
        return values.NONE
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return values.number(mean)
    spread = math.sqrt(math.fsum((score - mean) ** 2 for score in known) / (len(known) - 1))
    return f"{values.number(mean)} ± {values.number(spread)}"


def _why(trial: TrialRecord) -> str:
    return values.visible(trial.cause) if trial.state == TrialState.FAILED and trial.cause else ""
