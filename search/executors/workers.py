"""How many workers a machine has for a study, and how many threads each. Pure.

Workers of one thread do most: on small images, threads wait for each other. But each needs memory, a long fold run
tells the sampler late, and there may be fewer fold runs than cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from search.text import duration_of

USABLE = 0.7  # of a machine's memory that workers may take together
LONG = 60.0  # seconds of a fold run, about: one that takes longer on one thread gets more, if it can use them
WIDE_STEP = 1e9  # multiplications of a training step from which threads are worth having
MAX_THREADS = 8  # of a worker: a guess, as no machine with more cores was measured


@dataclass(frozen=True)
class Machine:
    """What workers share."""

    cores: int  # that this process may use
    memory: int  # bytes
    gpus: int = 0  # that are visible


@dataclass(frozen=True)
class Need:
    """What fold runs of a study need, as far as it is known before the first; 0: unknown, or hardly anything."""

    bytes: int = 0  # of the largest network that is tried first
    step: float = 0.0  # multiplications of a training step of the one with most work, and
    seconds: float = 0.0  # its fold run on one thread, about
    folds: int = 1  # of a trial
    runs: int | None = None  # fold runs that there will be at most; None: no limit


@dataclass(frozen=True)
class Workers:
    """Workers of one machine."""

    number: int
    threads: int  # of each
    why: str

    @property
    def words(self) -> str:
        """One line for people."""
        return f"{_count(self.number, 'worker')} of {_count(self.threads, 'thread')}: {self.why}"


def choose(machine: Machine, need: Need) -> Workers:
    """One worker a GPU, else one a core; fewer where memory or fold runs do not suffice, or threads serve better.

    A worker gets several threads where its steps are large enough, and either its fold runs are long or cores would be
    idle; never so many that fewer fold runs than a trial has folds are trained at a time.
    """
    limits = {machine.gpus or machine.cores: f"one a {'GPU' if machine.gpus else 'core'}"}
    usable = USABLE * machine.memory
    if need.bytes:
        limits.setdefault(
            int(usable / need.bytes), f"a fold run may need {need.bytes / 1e9:.1f} GB of the {usable / 1e9:.0f} GB"
        )
    if need.runs:
        limits.setdefault(need.runs, f"there are {need.runs} fold runs at most")
    is_wide = need.step >= WIDE_STEP and not machine.gpus
    width = min(MAX_THREADS, machine.cores // need.folds, round(need.seconds / LONG)) if is_wide else 1
    if width > 1:
        limits.setdefault(machine.cores // width, f"a fold run takes about {duration_of(need.seconds)} of one thread")
    least = min(limits)
    number = max(1, least)
    threads = min(MAX_THREADS, machine.cores // number) if is_wide else 1
    return Workers(number, max(1, threads), limits[least])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
