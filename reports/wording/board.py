"""The leaderboard and its drawers in words."""

from __future__ import annotations

from reports.wording import causes
from reports.wording.values import better, count, cut, metric_words, number
from search.results.confusions import DETAILED
from search.results.summary import StudySummary, TrialRow
from storage.records import FoldRecord, Origin, TrialRecord, TrialState

SAVED, BEST, QUICKEST, REFERENCE = "saved", "best score", "quickest of equals", "reference"
"""The badges."""

BADGES = {
    SAVED: "its model is in the file",
    BEST: "the best number of all trials, which is partly luck",
    QUICKEST: "of the trials that are about as good as the best, its predictions take least",
    REFERENCE: "a plain method on the same folds, to compare with: no trial",
}
"""Badge -> what it means."""

PROPOSED = {
    Origin.BASELINE: "it is your starting point",
    Origin.START: "it is known to be good on other pictures",
    Origin.TRY: "you proposed it",
    Origin.SAMPLER: "the search proposed it",
    Origin.SMALLER: "a trial before it needed too much memory, so it has half the batch",
    Origin.EXPLAIN: "search explain put it between two trials",
}
"""Where the point of a trial of a search comes from."""

AT_ONCE = (
    "It has no learning curve, because it was not trained step by step: a pre-trained network describes each picture, "
    "and what the descriptions of a class have in common is computed at once."
)
ONE_EPOCH = "It was trained for one epoch, one pass over all pictures, so there is no curve to draw."
NO_CURVES = "Its learning curves were not stored."


def what_a_fold_is(data: StudySummary) -> str:
    """What a fold is, and what the numbers of the leaderboard are."""
    folds, metric = data.folds, metric_words(data.metric)
    return (
        f"A trial is one choice of all parameters. The pictures are divided into {count(folds, 'part')}, the folds: "
        f"each trial is trained {folds} times, and each time tested on the fold that it was not shown. One dot is the "
        f"{metric} on one fold ({better(data.metric)} is better), the bar is their mean, the dashed line is guessing. "
        f"The number after ± says how far the folds lie apart."
    )


def badges(data: StudySummary, row: TrialRow, quickest: int | None) -> list[str]:
    """The badges of a trial. Of an ensemble, with its share in it."""
    found = []
    members = dict.fromkeys((n for n, _ in data.chosen.members), 0.0) if data.chosen else {}
    for n, weight in data.chosen.members if data.chosen else ():
        members[n] += weight
    if row.number in members:
        found.append(SAVED if len(members) == 1 else f"{SAVED}, {100 * members[row.number]:.0f} %")
    if data.best is not None and row.number == data.best.number:
        found.append(BEST)
    if row.number == quickest:
        found.append(QUICKEST)
    return found


def legend(shown: set[str]) -> list[tuple[str, str]]:
    """The badges that occur, and what each means."""
    kinds = {badge.partition(",")[0] for badge in shown}
    return [(badge, meaning) for badge, meaning in BADGES.items() if badge in kinds]


def why(data: StudySummary, row: TrialRow) -> str:
    """How a trial ended, in a sentence or two."""
    if row.state == TrialState.COMPLETE:
        done = f"Complete: all {count(len(row.fold_scores), 'fold')} were trained."
        return done if row.score is not None else f"{done} The score of one is no number, so it has no place."
    if row.state == TrialState.RUNNING:
        state = "Being trained now" if data.searching else "Unfinished: the search was ended meanwhile"
        return f"{state}; {len(row.fold_scores)} of {count(data.folds, 'fold')} so far."
    ended = causes.ended(row.cause)
    detail = cut(row.detail, 800) if row.detail and row.detail != row.cause else ""
    sentences = f"{ended.title}. {ended.meaning}".strip()
    return f"{sentences} As noted then: {detail}." if detail else sentences


def folds(data: StudySummary, trial: TrialRecord) -> list[tuple[str, str, str]]:
    """(fold, counted from 1, its score, which of its epochs counts) of each fold of the search."""
    return [
        (f"fold {fold.fold + 1}", number(fold.scores.get(data.metric)), _epochs(fold))
        for fold in trial.folds
        if fold.repeat == 0
    ]


def has_curves(trial: TrialRecord) -> bool:
    """Whether there is a curve to draw: of more than one epoch."""
    return any(len(values) > 1 for fold in trial.folds for values in fold.curve.values())


def is_fitted_at_once(data: StudySummary, trial: TrialRecord) -> bool:
    """Whether no step of its training depended on images that it was not trained on."""
    return trial.params.get("family", data.preset) == "frozen" and not has_curves(trial)


def no_curves(data: StudySummary, trial: TrialRecord) -> str:
    """Why a trial has no learning curve."""
    if not any(fold.curve for fold in trial.folds):
        return NO_CURVES
    return AT_ONCE if is_fitted_at_once(data, trial) else ONE_EPOCH


def whose(data: StudySummary, number: int) -> str:
    """'Trial 7, the best', of a trial whose curves are shown."""
    if data.chosen and number == data.chosen.trial:
        return (
            f"Trial {number}, which is saved"
            if not data.chosen.together
            else f"Trial {number}, part of the saved model"
        )
    if data.best and number == data.best.number:
        return f"Trial {number}, the best"
    return f"Trial {number}, your starting point"


def _epochs(fold: FoldRecord) -> str:
    return f"epoch {fold.best_epoch} of {fold.epochs} counts" if fold.epochs > 1 and fold.best_epoch else ""


def details(hidden: int, shown: int) -> str:
    """Which rows are shown, and which of them have curves; empty if all have everything."""
    parts = []
    if hidden:
        parts.append(
            f"The best {shown:,} trials are shown; {hidden:,} more are left out "
            "(`search report --json` has all of them)."
        )
    if shown > DETAILED:
        parts.append(f"The first {DETAILED} of them have curves and confusions in their drawers.")
    return " ".join(parts)
