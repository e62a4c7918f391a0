"""Which point is tried next: the starts in their order, then those of the sampler that are worth a trial."""

from __future__ import annotations

from dataclasses import replace

from search.jobs import FailureCause
from search.samplers.base import Exhausted, Sampler
from search.session.backbones import backbone_of, may_be_best_of, with_backbone
from search.session.candidate import Candidate
from search.session.half_batch import after_memory
from search.session.plan import Plan, Start, still_to_try
from search.session.session import Session
from search.session.trials import Trials
from search.stats.racing import BEHIND, BEHIND_EARLY
from spaces.presets.auto import FAMILY
from storage.records import Origin, Params

MAX_REDRAWS_FOR_NOVELTY = 20  # after that a known point is tried again, with other seeds
LOST = {BEHIND, BEHIND_EARLY}  # causes of trials that lost the race
LOST_SHARE = 0.01  # of the study's time, at most, for a fold run of a family of which all trials lost


class Points:
    """The points of a session, and which of them were used up."""

    def __init__(self, plan: Plan, session: Session, sampler: Sampler, trials: Trials) -> None:
        """`trials`: of the study, kept up to date by the caller; the sampler knows them."""
        self._plan, self._session, self._sampler, self._trials = plan, session, sampler, trials
        self.starts = still_to_try([*plan.starts, *after_memory(trials, plan.space)], trials)
        self.exhausted = False  # whether the sampler has no further point
        self._backbones: tuple[str, ...] = ()  # those that may be the best, of several; empty until all were probed

    def next(self, number: int) -> Candidate | None:
        """The next point, for trial `number`; None if there is none.

        There may be a start after the sampler's last point: half the batch of one that failed.
        """
        if (start := self._start(number)) or self.exhausted:
            return start
        try:
            return self._drawn(number)
        except Exhausted as end:
            self._end(number, end)
            return None

    def draw_anew(self, candidate: Candidate) -> bool:
        """Give a candidate another point of the sampler; False if it has none."""
        try:
            self._redraw(candidate)
        except Exhausted as end:
            self._end(candidate.number, end)
            return False
        return True

    def _end(self, number: int, end: Exhausted) -> None:
        """There is none for trial `number`."""
        self.exhausted = True
        self._session.observer.note(f"{end}; the search is finished with trial {number - 1}.")

    def _start(self, number: int) -> Candidate | None:
        while self.starts:
            start = self._of_best_backbone(self.starts.pop(0))
            if not self._trials.has(start.point):
                return Candidate(number, dict(start.point), start.origin, one_of=start.one_of, whole=start.whole)
        return None

    def _drawn(self, number: int) -> Candidate:
        """The next point of the sampler, for trial `number`. Raises Exhausted."""
        candidate = Candidate(number, self._sampler.ask(number), Origin.SAMPLER)
        while self._is_useless(candidate.params) and candidate.redraws < MAX_REDRAWS_FOR_NOVELTY:
            self._redraw(candidate)
        return candidate

    def _redraw(self, candidate: Candidate) -> None:
        self._sampler.refuse(candidate.number)
        candidate.params = self._sampler.ask(candidate.number)
        candidate.redraws += 1

    def begun(self, candidate: Candidate) -> None:
        """The candidate becomes a trial: alternatives to it are left out."""
        self.starts = [start for start in self.starts if not start.one_of or start.one_of != candidate.one_of]

    def failed(self, number: int) -> None:
        """A trial failed. If that was for memory, its point with half the batch is a start."""
        if self._trials[number].cause != FailureCause.OUT_OF_MEMORY:  # else all trials are looked through
            return
        halves = [start for start in after_memory(self._trials, self._plan.space) if start.of == number]
        self.starts = sorted([*self.starts, *still_to_try(halves, self._trials)], key=lambda start: start.of)

    def _of_best_backbone(self, start: Start) -> Start:
        """The start with the backbone whose probe was the best; probes keep theirs."""
        is_fixed = start.origin == Origin.SMALLER or dict(start.point) in map(dict, self._plan.probes.values())
        if is_fixed or not self._probed():
            return start
        return replace(start, point=with_backbone(start.point, self._backbones[0]))

    def _is_useless(self, params: Params) -> bool:
        """Whether a point was tried before, or is of a backbone or family that cannot be the best."""
        name = backbone_of(params)
        is_behind = name is not None and self._probed() and name not in self._backbones
        return is_behind or self._trials.has(params) or self._has_lost(params)

    def _has_lost(self, params: Params) -> bool:
        """Whether all trials of the point's family lost the race, and a fold run of it takes much of the time.

        Where there is more time, a family that began badly is searched on.
        """
        family, seconds = params.get(FAMILY), self._plan.seconds
        if not self._plan.of_families or seconds is None:
            return False
        alike = [trial for trial in self._trials if trial.params.get(FAMILY) == family]
        if any(trial.cause not in LOST for trial in alike):
            return False
        return min((fold.seconds for trial in alike for fold in trial.folds), default=0.0) > LOST_SHARE * seconds

    def _probed(self) -> bool:
        """Whether all backbones were probed, of several."""
        probes = self._plan.probes
        if not self._backbones and probes and all(map(self._trials.has, probes.values())):
            self._backbones = may_be_best_of(self._session.store, self._trials, probes) or ()
            if behind := sorted(probes.keys() - set(self._backbones)) if self._backbones else []:
                named = ", ".join(behind)
                self._session.observer.note(f"backbones that are clearly behind, and left out from now on: {named}")
        return bool(self._backbones)
