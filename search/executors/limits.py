"""When a job that is running is given up: rules without effects, and what they look at."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.executors.reaper import below
from search.jobs import FailureCause
from search.text import duration_of

FACTOR = 5.0  # a job may be silent for so many times the longest silence in a finished job
ACTIVE_SHARE = 1 / 300  # of `Limits.idle` in processor time, with which a job counts as working within it
OVER_SHARE = 1.25  # of `Limits.memory` that a job may take; between two jobs a worker has its share alone

OWN_TICKS, WAITED_TICKS, PAGES = slice(11, 13), slice(13, 15), 21
"""Places in /proc/PID/stat after the name: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""


@dataclass(frozen=True)
class Limits:
    """What a job may take before it is given up."""

    silence: float = 1800.0  # seconds without a sign of progress: an epoch that begins, a piece of features
    whole: float = math.inf  # seconds, after its worker is ready, and those of the tries from whose state it goes on
    idle: float = 300.0  # seconds with hardly any processor time: 1 s of 300
    memory: float = math.inf  # bytes that a worker may keep between jobs


@dataclass(frozen=True)
class Use:
    """What the processes of a worker have used so far, and use now."""

    seconds: float  # of processor time
    memory: int  # bytes


def use_of(reaper: int, among: Mapping[int, Sequence[str]], above: float = math.inf) -> Use | None:
    """What the processes below a reaper use, among the result of `reaper.processes`; None if nothing is known.

    If they seem to use more than `above` bytes, pages that several of them share are counted once, and pages of files,
    such as mapped pixels, not at all: the system takes those back when it needs them.
    """
    if reaper not in among:
        return None
    pids = [reaper, *below(reaper, among)]
    fields = [among[pid] for pid in pids]
    ticks = sum(int(ticks) for of in fields for ticks in (*of[OWN_TICKS], *of[WAITED_TICKS]))
    memory = sum(int(of[PAGES]) for of in fields) * os.sysconf("SC_PAGE_SIZE")
    if memory > above:
        memory = sum(map(_in_proportion, pids))
    return Use(ticks / os.sysconf("SC_CLK_TCK"), memory)


def _in_proportion(pid: int) -> int:
    """Bytes of memory of a process but for pages of files, one that n processes share counted as 1 / n."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    told = {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
    if "Pss_Anon" not in told:  # Linux before 5.3
        return told.get("Pss", 0)
    return told["Pss_Anon"] + told.get("Pss_Shmem", 0)


@dataclass
class Watch:
    """One job, from outside. Its clock runs only while it is looked at, so a computer that slept costs no job."""

    limits: Limits
    known: float = 0.0  # seconds of the longest silence in a finished job
    ready: bool = True  # whether the worker has imported its libraries already; else its first sign says so
    longest: float = 0.0  # seconds of the longest silence in this one so far
    given_up: tuple[FailureCause, str] | None = None  # see `look`
    _now: float = 0.0
    _began: float = 0.0  # when the worker was ready
    _before: float = 0.0  # seconds of earlier tries
    _sign: float = 0.0  # when the last sign of progress came
    _active: float = 0.0  # when it was last seen to have worked
    _seconds: float | None = None  # of processor time then

    def sign(self, before: float = 0.0) -> None:
        """Note a sign of progress. `before`: seconds that earlier tries spent on the job, see `jobs.Step`."""
        self._before = before
        if not self.ready:
            self.ready, self._began = True, self._now
        self.longest, self._sign = max(self.longest, self._now - self._sign), self._now

    def look(self, passed: float, use: Use | None) -> tuple[FailureCause, str] | None:
        """Why the job is given up now, and what its worker did, in words; None if it may go on.

        `passed`: seconds since the last look; `use`: None where the system does not tell.
        """
        self._now += passed
        enough = ACTIVE_SHARE * self.limits.idle
        if use and (self._seconds is None or abs(use.seconds - self._seconds) >= enough):
            self._seconds, self._active = use.seconds, self._now
        self.given_up = self._too_much(use)
        return self.given_up

    def _too_much(self, use: Use | None) -> tuple[FailureCause, str] | None:
        limits, silence = self.limits, max(self.limits.silence, FACTOR * self.known)
        if use and use.memory > OVER_SHARE * limits.memory:
            held, most = f"{use.memory / 1e9:.1f} GB", f"{OVER_SHARE * limits.memory / 1e9:.1f} GB"
            return FailureCause.OUT_OF_MEMORY, f"held {held} of memory, and may take {most}"
        if use and self._now - self._active >= limits.idle:
            return FailureCause.HUNG, f"did nothing for {duration_of(limits.idle)}"
        if self.ready and self._before + self._now - self._began >= limits.whole:
            return FailureCause.TOO_LONG, f"took longer than the fold limit of {duration_of(limits.whole)}"
        if self._now - self._sign >= silence:
            return FailureCause.HUNG, f"made no progress for {duration_of(silence)}"
        return None
