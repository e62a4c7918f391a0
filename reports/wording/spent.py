"""Where the time went, in words."""

from __future__ import annotations

from reports.wording.values import duration, shortened
from search.results.spent import CONFIRMING, CURVE, FINAL, OTHER, REFERENCES, TRAINING, Part
from search.results.summary import StudySummary

_NAMES = {
    CONFIRMING: "training the best again on new folds",
    REFERENCES: "plain methods to compare with",
    CURVE: "finding out whether more pictures help",
    FINAL: "training and saving the model",
    OTHER: "starting, reading pictures, waiting",
}


def name(part: Part) -> str:
    """A part for the legend."""
    return f"training: {shortened(part.family, 30)}" if part.kind == TRAINING else _NAMES[part.kind]


def about(data: StudySummary) -> str:
    """What the parts are, and what is not stored apart."""
    kinds, total = {part.kind for part in data.spent}, sum(part.seconds for part in data.spent)
    parts = []
    if TRAINING in kinds:
        parts.append(
            "Training includes making the networks ready and computing what pre-trained networks see in the pictures: "
            "these are not stored apart."
        )
    if OTHER in kinds:
        parts.append(
            f"Starting, reading and checking the pictures, and waiting for a job to end are not timed apart: they are "
            f"what is missing to the {duration(data.spent_seconds)} by the clock, and more if several jobs ran at once."
        )
    elif total > 1.02 * data.spent_seconds:
        parts.append(
            f"Several jobs ran at the same time: together they took {duration(total)}, in "
            f"{duration(data.spent_seconds)} by the clock."
        )
    return " ".join(parts)
