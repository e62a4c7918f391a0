"""Whether a described point becomes a trial: its model may be too large, or take too long for the time left."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from search.errors import UsageError
from search.jobs import Description, Failure, FailureCause, Outcome
from search.session.candidate import Candidate
from search.session.plan import Plan
from search.session.session import Session
from search.session.time_left import TimeLeft
from search.session.trials import Trials
from spaces.parameters import in_words
from storage.records import Origin

MAX_REDRAWS = 200
MAX_REDRAWS_FOR_TIME = 40  # after that there is no time for a further trial

LEFT_OUT = {
    Origin.TRY: "point of [[try]]",
    Origin.START: "known-good point",
    Origin.SMALLER: "point with half the batch",
}
"""Points that are skipped if they cannot be trained."""


class Verdict(Enum):
    """What becomes of a candidate."""

    ADMITTED = auto()  # it becomes a trial
    ANOTHER = auto()  # another point takes its place
    NONE = auto()  # it is left out
    END = auto()  # the same, and no further trial is begun


@dataclass
class Admission:
    """The verdicts of a session."""

    plan: Plan
    session: Session
    time: TimeLeft
    _without_time: list[tuple[str, str]] = field(init=False, default_factory=list)  # (why, in words) of each point

    def __post_init__(self) -> None:
        self._defaults = {parameter.name: parameter.default for parameter in self.plan.space.parameters}

    def of(self, candidate: Candidate, outcome: Outcome, trials: Trials) -> Verdict:
        """The verdict on a candidate whose model was described, or could not be. `trials`: those there are.

        Raises UsageError where the study cannot go on without it, or no point of the space can be trained.
        """
        if refusal := self._refusal(outcome):
            return self._refused(candidate, refusal)
        if isinstance(outcome, Failure) and outcome.cause == FailureCause.STOPPED:
            return Verdict.NONE
        if isinstance(outcome, Description):
            self.time.describe(candidate.number, candidate.params, outcome)
            if too_long := self.time.too_long(candidate.number, candidate.origin, whole=candidate.whole):
                return self._too_long(candidate, too_long, trials)
        return Verdict.ADMITTED

    def tell_left_out(self) -> None:
        """Tell of known-good points that were left out for lack of time: one line for all between two trials."""
        points, self._without_time = self._without_time, []
        if not points:
            return
        why, words = points[0]
        told = f"a known-good point is left out: {why} ({words})"
        if len(points) > 1:
            others = "; ".join(words for _, words in points[1:])
            told = f"{len(points)} known-good points are left out for lack of time: {words}: {why}; {others}"
        self.session.observer.note(told)

    def _refusal(self, outcome: Outcome) -> str | None:
        """Why a described model is not trained; None if it is trained, or could not be described."""
        if isinstance(outcome, Failure):
            return outcome.detail if outcome.cause == FailureCause.REFUSED else None
        assert isinstance(outcome, Description)  # noqa: S101 - the answer to a DescribeJob
        return self.plan.too_large(outcome)

    def _refused(self, candidate: Candidate, refusal: str) -> Verdict:
        """Leave out a point whose model cannot be trained, or take another. Raises UsageError where there is none."""
        if candidate.origin in LEFT_OUT:
            return self._left_out(candidate, refusal)
        if candidate.origin == Origin.BASELINE:
            raise UsageError(
                f"trial {candidate.number}, the baseline, cannot be trained: {refusal}; "
                "change it in [space] of study.toml, or raise max_parameters"
            )
        if candidate.redraws >= MAX_REDRAWS:
            raise UsageError(
                f"{MAX_REDRAWS} points in a row could not be trained, the last because {refusal}; "
                "narrow the space in study.toml, or raise max_parameters"
            )
        return Verdict.NONE if self.session.stop.asked else Verdict.ANOTHER

    def _left_out(self, candidate: Candidate, why: str) -> Verdict:
        point = LEFT_OUT[candidate.origin]
        self.session.observer.note(f"a {point} is left out: {why} ({in_words(candidate.params, self._defaults)})")
        return Verdict.NONE

    def _too_long(self, candidate: Candidate, too_long: str, trials: Trials) -> Verdict:
        """Leave out a point that cannot be finished usefully: take another, or none if hardly any would fit."""
        if candidate.origin == Origin.START:
            self._without_time.append((too_long, in_words(candidate.params, self._defaults)))
            return Verdict.NONE
        if candidate.origin in LEFT_OUT:
            return self._left_out(candidate, too_long)
        if self.session.stop.asked:
            return Verdict.NONE
        if candidate.redraws < MAX_REDRAWS_FOR_TIME and not self.time.nothing_fits(trials):
            return Verdict.ANOTHER
        self.session.observer.note(f"no further trial is begun: {too_long}; a larger --time (or --hours) goes on")
        return Verdict.END
