"""`search explain`: which changes lead from one trial to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.commands.request import builder
from search.commands.session import Session
from search.errors import UsageError
from search.executors.factory import fit, open_executor
from search.results.explained import Explanation, explained
from search.results.progress import Ending
from search.session import explain as training
from search.session.budget import larger_budgets
from search.session.explain import Budget
from search.session.needs import need_of
from search.session.prepare import prepare
from search.study import config as toml
from search.study.continuing import check_named
from search.study.explanation import Ends, ends_of, explain_command, key_of, opened, results_of
from search.study.folder import StudyFolder


@dataclass(frozen=True)
class ExplainResult:
    """What made the difference, as far as it is known."""

    folder: StudyFolder
    ending: Ending
    explanation: Explanation
    resume_command: str


def explain(
    study: Path | None,
    session: Session,
    *,
    start: int | None = None,
    goal: int | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    model: str | None = None,
) -> ExplainResult:
    """Find the path from trial `start` to trial `goal`, training the points between them that are not trained yet.

    None: from trial 0 to the trial of the saved model. `trials` to train and `seconds`: totals over all sessions with
    the same two trials; None: no limit. `model`: FILE.py:BUILD, for a study that searches a model of the user.
    Raises UsageError if there is nothing to explain, StorageError, RunError if it cannot go on.
    """
    folder, own, budget = StudyFolder.find(study), builder(model, None), Budget(trials, seconds)
    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is nothing to explain; `{folder.command('run')}` starts it")
    with folder.read() as store:
        ends = ends_of(folder, store, start, goal, _larger(folder))
        command = explain_command(folder, store, ends.numbers, *session.asked.options)
        with opened(folder, store.study(), ends.numbers) as own_store:
            results = results_of(store, ends, own_store)
            if (lost := results.lost_end()) is not None:
                raise UsageError(training.lost_words(lost))
            needed = {key_of(results.route.point(made)) for made, _ in results.walk().needed}
            unfinished = needed and not (own_store is not None and budget.is_used_up(own_store, needed))
    ending = Ending.FINISHED
    if unfinished:
        check_named(folder, own, "explain", *_ends_options(ends), *session.asked.options)
        folder.check()
        with open_executor(session.workers, session.fold_limit, session.cluster) as executor:
            with session.display.reading() as progress:
                prepared = prepare(toml.read(folder.path), folder.path, progress, own)
            fit(executor, need_of(prepared), session.workers, session.fold_limit)
            with session.display.training() as watched:
                ending = training.explain(
                    folder,
                    prepared,
                    ends,
                    budget,
                    executor=executor,
                    asked=session.asked,
                    goes_on=command,
                    watched=watched,
                )
    else:
        with session.display.training() as watched:
            training.ask(folder, ends, session.asked, watched)
    with folder.read() as store:
        explanation = explained(store, ends.numbers)
    if explanation is None:
        raise UsageError(f"{folder.explanation(*ends.numbers)} is gone: it was moved or replaced meanwhile")
    return ExplainResult(folder, ending, explanation, command)


def _larger(folder: StudyFolder) -> list[str]:
    """Larger budgets as options, for those that are used up; none where study.toml, which has them, cannot be read."""
    try:
        return [word for option in larger_budgets(folder, toml.read(folder.path)) for word in option]
    except UsageError:
        return []


def _ends_options(ends: Ends) -> tuple[str, ...]:
    start, goal = map(str, ends.numbers)
    return "--from", start, "--to", goal
