"""What a notice about a search says: a title, and a few lines that are read on a telephone."""

from __future__ import annotations

from reports.wording.answer import answer
from reports.wording.study import headline
from reports.wording.values import count, duration, metric_words, number, shortened
from search.results.progress import Ending, Progress
from search.results.summary import StudySummary
from storage.records import TrialRecord

Notice = tuple[str, str]
"""(title, body)"""

_ENDED = {Ending.FINISHED: "is done", Ending.STOPPED: "was stopped", Ending.FAILED: "failed"}


def ended(summary: StudySummary, ending: Ending, *, report: str, goes_on: str, problem: str | None = None) -> Notice:
    """How a search ended. `report`, `goes_on`: the commands that show it and continue it; `problem`: why it failed."""
    said, best = answer(summary), headline(summary)
    lines = [problem] if problem else [said, *([] if best in said else [best])]
    lines.append(f"{count(len(summary.trials), 'trial')} in {duration(summary.spent_seconds)}")
    lines.append(f"More: {report}" if ending is Ending.FINISHED and not problem else f"Go on with: {goes_on}")
    state = "has no model" if problem and ending is Ending.FINISHED else _ENDED[ending]
    return f"{shortened(summary.study.name, 60)} {state}", "\n".join(lines)


def new_best(study: str, trial: TrialRecord, progress: Progress) -> Notice:
    """A trial is the best so far."""
    score, folds = number(trial.score(progress.metric)), count(len(trial.folds), "fold")
    after = f"{count(len(progress.trials), 'trial')} and {duration(progress.spent_seconds)}"
    body = f"Trial {trial.number} has {score} {metric_words(progress.metric)} over {folds}, after {after}."
    return f"{shortened(study, 60)}: new best, {score}", body


def failed(study: str, message: str) -> Notice:
    """A search ended with an error."""
    return f"{shortened(study, 60)} failed", message
