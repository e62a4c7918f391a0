"""Which point a search tries next: those that are given, then the sampler's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search.samplers.base import Exhausted, Sampler
from search.session.backbones import backbone_of, may_be_best_of, with_backbone
from search.session.candidate import Candidate
from search.session.plan import Plan, Start, still_to_try
from search.session.smaller import after_memory
from search.session.trials import Trials
from storage import Store
from storage.records import Origin, Params

MAX_REDRAWS_FOR_NOVELTY = 20  # after that a known point is tried again, with other seeds


class Points:
    """The points of one session that are not tried yet."""

    def __init__(self, plan: Plan, sampler: Sampler, store: Store, note: Callable[[str], object]) -> None:
        """`note` is called with what the user is to know."""
        self._plan, self._sampler, self._store, self._note = plan, sampler, store, note
        self._starts: list[Start] = []
        self._backbones: tuple[str, ...] = ()  # those that may be the best, of several; empty until all were probed
        self.exhausted = False  # whether the sampler has no further point

    def begin(self, trials: Trials) -> None:
        """Begin with what the stored trials leave."""
        self._starts = still_to_try([*self._plan.starts, *after_memory(trials, self._plan.space)], trials)

    @property
    def has_starts(self) -> bool:
        """Whether a given point is still to be tried."""
        return bool(self._starts)

    def next(self, trials: Trials) -> Candidate | None:
        """The next point; None if there is none.

        There may be a start after the sampler's last point: half the batch of one that failed.
        """
        if (start := self._next_start(trials)) or self.exhausted:
            return start
        try:
            return self._drawn(trials)
        except Exhausted as end:
            self._end(end, trials)
            return None

    def draw_anew(self, candidate: Candidate, trials: Trials) -> bool:
        """Give a candidate another point of the sampler; False if it has none."""
        try:
            self._redraw(candidate)
        except Exhausted as end:
            self._end(end, trials)
            return False
        return True

    def begun(self, candidate: Candidate) -> None:
        """Forget the alternatives to a point for which there is time."""
        self._starts = [start for start in self._starts if not start.one_of or start.one_of != candidate.one_of]

    def failed(self, number: int, trials: Trials) -> None:
        """After a trial that had too little memory, try its point with half the batch."""
        halves = [start for start in after_memory(trials, self._plan.space) if start.of == number]
        self._starts = sorted([*self._starts, *still_to_try(halves, trials)], key=lambda start: start.of)

    def _end(self, end: Exhausted, trials: Trials) -> None:
        self.exhausted = True
        self._note(f"{end}; the search is finished with trial {len(trials) - 1}.")

    def _next_start(self, trials: Trials) -> Candidate | None:
        while self._starts:
            start = self._of_best_backbone(self._starts.pop(0), trials)
            if not trials.has(start.point):
                return Candidate(len(trials), dict(start.point), start.origin, one_of=start.one_of)
        return None

    def _drawn(self, trials: Trials) -> Candidate:
        """The next point of the sampler. Raises Exhausted."""
        number = len(trials)
        candidate = Candidate(number, self._sampler.ask(number), Origin.SAMPLER)
        while self._is_useless(candidate.params, trials) and candidate.redraws < MAX_REDRAWS_FOR_NOVELTY:
            self._redraw(candidate)
        return candidate

    def _of_best_backbone(self, start: Start, trials: Trials) -> Start:
        """The start with the backbone whose probe was the best; probes keep theirs."""
        is_fixed = start.origin == Origin.SMALLER or dict(start.point) in map(dict, self._plan.probes.values())
        if is_fixed or not self._probed(trials):
            return start
        return replace(start, point=with_backbone(start.point, self._backbones[0]))

    def _is_useless(self, params: Params, trials: Trials) -> bool:
        """Whether a point was tried before, or is of a backbone that cannot be the best."""
        name = backbone_of(params)
        return trials.has(params) or (name is not None and self._probed(trials) and name not in self._backbones)

    def _probed(self, trials: Trials) -> bool:
        """Whether all backbones were probed, of several."""
        if not self._backbones and self._plan.probes:
            self._backbones = may_be_best_of(self._store, trials, self._plan.probes) or ()
            if behind := sorted(self._plan.probes.keys() - set(self._backbones)) if self._backbones else []:
                self._note(f"backbones that are clearly behind, and left out from now on: {', '.join(behind)}")
        return bool(self._backbones)

    def _redraw(self, candidate: Candidate) -> None:
        self._sampler.refuse(candidate.number)
        candidate.params = self._sampler.ask(candidate.number)
        candidate.redraws += 1
