"""Why trials ended before all their folds were trained, for people who do not know how a search works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.wording.values import cut
from search.diagnosis.evidence import BROKEN, BY_HEART, ONE_CLASS, STUCK, UNSURE
from search.results.failures import Cause
from search.stats.racing import BEHIND, BEHIND_EARLY
from storage.records import OUT_OF_TIME, TrialState


@dataclass(frozen=True)
class Ended:
    """A reason in words."""

    title: str  # a few words
    meaning: str  # sentences; may be empty


BEHIND_KIND, STUCK_KIND, TIME_KIND, FAILED_KIND = "behind", "stuck", "time", "failed"
KINDS = {
    BEHIND_KIND: "Stopped to save time: others were clearly better",
    STUCK_KIND: "Stuck: more training would not have helped",
    TIME_KIND: "Time was over before they were done",
    FAILED_KIND: "Failed: no result",
}
"""Kind of an end -> what it is."""

_SYMPTOMS = {
    STUCK: Ended("Learned nothing", "It was no better than a guess, so it was stopped."),
    BROKEN: Ended("Its numbers broke", "They grew beyond all bounds while it was trained, so nothing was left of it."),
    ONE_CLASS: Ended("Saw one class only", "There was nothing to tell apart."),
    UNSURE: Ended("Learned nothing that holds", "Of new pictures it was no surer than a guess."),
    BY_HEART: Ended("Learned by heart", "It knew its training pictures, and nothing about others."),
}
_CAUSES = {  # those of a failure as in `search.jobs.FailureCause`, which views do not import
    BEHIND: Ended(
        "Fell behind",
        "On the same pictures it was clearly worse than the best trial so far, so its other folds were not trained.",
    ),
    BEHIND_EARLY: Ended(
        "Behind early", "In its first fold it learned more slowly than the best third of the trials before it."
    ),
    OUT_OF_TIME: Ended(
        "The time was over", "It is judged by the folds that it has, if any. With more time the search goes on with it."
    ),
    "out of memory": Ended(
        "Too little memory", "It needed more than there was. Smaller models, or fewer workers at once, need less."
    ),
    "refused": Ended("Could not be built", "A model with these parameters is not possible here."),
    "model": Ended("Your model stopped with an error", "The message is that of your own code."),
    "error": Ended("An error", "The folder logs/ of the study says more."),
    "worker died": Ended("Its process ended", "The system ended it, often for lack of memory. It was tried twice."),
    "hung": Ended("Came no further", "It did nothing for too long, and was given up after a second try."),
    "too long": Ended("Took too long", "A fold took longer than you allowed."),
}


def kind(cause: Cause) -> str:
    """One of `KINDS`."""
    if cause.state == TrialState.FAILED:
        return FAILED_KIND
    if cause.cause == OUT_OF_TIME:
        return TIME_KIND
    return STUCK_KIND if _symptom(cause.cause) else BEHIND_KIND


def by_kind(causes: Sequence[Cause]) -> list[tuple[str, list[Cause]]]:
    """(kind in words, causes), in the order of `KINDS` from last to first; without empty ones."""
    groups = [(name, [cause for cause in causes if kind(cause) == name]) for name in reversed(KINDS)]
    return [(KINDS[name], group) for name, group in groups if group]


def ended(cause: str | None) -> Ended:
    """A stored cause in words; one that is not known stands for itself."""
    if cause is None:
        return Ended("No reason is stored", "")
    if cause in _CAUSES:
        return _CAUSES[cause]
    if symptom := _symptom(cause):
        why = cause.removeprefix(symptom).removeprefix(": ")
        known = _SYMPTOMS[symptom]
        return Ended(known.title, f"{known.meaning} Likely why: {cut(why, 200)}." if why else known.meaning)
    return Ended(cut(cause, 200), "")


def _symptom(cause: str) -> str | None:
    return next((name for name in _SYMPTOMS if cause == name or cause.startswith(f"{name}: ")), None)
