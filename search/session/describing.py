"""Models that workers describe, several at a time where there are many slots, and their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from search.jobs import Outcome
from search.session.candidate import Candidate
from search.session.plan import Start
from storage.records import Origin

SLOTS_A_DESCRIPTION = 16  # one model more is described at a time for so many slots; of fewer slots none has to wait


class Describing:
    """The candidates whose models workers describe now. They become trials in order of their numbers."""

    def __init__(self) -> None:
        self._waiting: deque[Candidate] = deque()
        self._answers: dict[int, Outcome] = {}  # of candidates that wait for one before them

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self, slots: int, starts: Sequence[Start]) -> bool:
        """Whether the next candidate has to wait. Any start may be left out, so its number is the next one's too."""
        if not self._waiting:
            return False
        is_apart = bool(starts) or self._waiting[-1].origin != Origin.SAMPLER
        return is_apart or len(self._waiting) >= max(1, slots // SLOTS_A_DESCRIPTION)

    def add(self, candidate: Candidate) -> None:
        """Another one, with the next number."""
        self._waiting.append(candidate)

    def again(self, candidate: Candidate) -> None:
        """The candidate that was just settled is described again, with another point."""
        self._waiting.appendleft(candidate)

    def answered(self, candidate: Candidate, outcome: Outcome) -> Iterator[tuple[Candidate, Outcome]]:
        """Candidates that can be settled now, first to last: `candidate`, and those that waited for it."""
        if any(one is candidate for one in self._waiting):  # else it was dropped
            self._answers[candidate.number] = outcome
        while self._waiting and self._waiting[0].number in self._answers:
            first = self._waiting.popleft()
            yield first, self._answers.pop(first.number)

    def drop(self) -> None:
        """No trial is made of what was not settled: the one before it was none, so that its number is wrong."""
        self._waiting.clear()
        self._answers.clear()
