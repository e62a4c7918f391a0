"""A long search with faults, in small: `python -m tests.faults night`.

Two workers, 2,000 fold runs, each with a chance of 2 % that its worker dies, hangs, is stopped, eats memory or leaves
processes behind; then the same search without faults. Both are to end with the same leaderboard. The memory of the
command and of its workers is looked at every second, and is to stay flat.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from search.executors.reaper import below, processes
from search.seeds import derive
from search.study import config_file
from tests.faults import warm
from tests.faults import worker_faults as of_worker
from tests.faults.place import Place, make_place, stored
from tests.warm import Hook

FOLDS = 2
FLAT = 1.15  # the memory of the last third over that of the third before, at most
POINTS = 10  # of the curve that is printed
ACTS: dict[str, Callable[[], object]] = {
    "killed": of_worker.die,
    "crashed, with processes of its own": of_worker.leave_processes,
    "hung": of_worker.wait_for_ever,
    "stopped": of_worker.stop,
    "ate memory": of_worker.eat_memory,
}
Sample = tuple[float, float, float]
"""Seconds since the start, MB of the command, MB of all its workers."""


def at_random(share: float, struck: Path) -> Hook:
    """A worker's hook: before a fold run, with this chance, one of ACTS; once for each fold run.

    Which ones follows from their numbers. Each leaves a file in the folder `struck`.
    """

    def hook() -> None:
        from search.jobs import FoldJob
        from search.worker.worker import Worker

        do = Worker.do

        def doing(self: Worker, job: Any) -> Any:
            if isinstance(job, FoldJob):
                drawn = derive(job.seed, "fault")
                name = list(ACTS)[drawn // 1000 % len(ACTS)]
                mark = struck / f"{job.trial}-{job.repeat}-{job.fold} {name}"
                if drawn % 1000 < 1000 * share and not mark.exists():
                    mark.touch()
                    ACTS[name]()
            return do(self, job)

        Worker.do = doing  # type: ignore[method-assign]

    return hook


def searched(place: Place, study: Path, hook: Hook) -> tuple[list[Sample], float]:
    """Search to the end; samples of memory, and seconds. Raises RuntimeError if it does not end as it should."""
    began = time.monotonic()
    process = place.start(
        *place.asked(study, 2),
        *of_worker.fold_limit(place),
        cwd=study.parent,
        worker_hook=hook,
        command_hook=of_worker.less_memory,
    )
    samples: list[Sample] = []
    while process.poll() is None:
        samples.append((time.monotonic() - began, _memory([process.pid]), _memory(below(process.pid, processes()))))
        time.sleep(1)
    done = process.ended()
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-500:]}")
    return samples, time.monotonic() - began


def _memory(pids: Sequence[int]) -> float:
    """MB that only these processes hold, or their share of what others hold too."""
    found = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found / 1024


def growth(values: Sequence[float]) -> float:
    """The median of the last third over that of the third before."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) / statistics.median(values[-2 * third : -third] or values[-third:])


def main(arguments: Sequence[str]) -> int:
    """0 if it ended, memory stayed flat, and the leaderboards are equal."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults night", description=__doc__)
    parser.add_argument("--fold-runs", type=int, default=2000, help="[default: 2000]")
    parser.add_argument("--share", type=float, default=0.02, help="of fold runs with a fault [default: 0.02]")
    asked = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="night-"))
    warm.preload()
    place = make_place(home)
    problems, found = [], {}
    for name, share in (("with faults", asked.share), ("without", 0.0)):
        study, struck = place.settings(home / name.replace(" ", "-")), home / f"struck {name}"
        struck.mkdir()
        _of_the_night(study, asked.fold_runs // FOLDS)
        samples, seconds = searched(place, study, at_random(share, struck))
        found[name] = stored(study)
        folds = sum(len(row) == 7 for row in found[name]["trials"])
        kinds = [path.name.split(" ", 1)[1] for path in struck.iterdir()]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ACTS)
        print(f"{name}: {folds:,} fold runs in {seconds / 60:.1f} min; workers: {told if kinds else 'no fault'}")
        print("| minutes | MB of the command | MB of its workers |\n| --- | --- | --- |")
        for at, command, workers in samples[:: max(1, len(samples) // POINTS)]:
            print(f"| {at / 60:.1f} | {command:.0f} | {workers:.0f} |")
        for whose, which in (("the command", 1), ("its workers", 2)):
            grown = growth([sample[which] for sample in samples])
            print(f"memory of {whose}: {grown:.2f} times that of the third before", flush=True)
            problems += [f"{name}: the memory of {whose} grew"] if grown > FLAT else []
    problems += [f"{what} differ" for what in found["without"] if found["with faults"][what] != found["without"][what]]
    print("; ".join(problems) or "the leaderboards are equal, memory is flat")
    if problems:
        print(f"kept: {home}")
    else:
        shutil.rmtree(home)
    return int(bool(problems))


def _of_the_night(study: Path, trials: int) -> None:
    """Points that do not depend on the order in which others end, all folds of each trial, one epoch."""
    changes = {"sampler": "random", "race": "none", "trials": trials, "training.max_epochs": 1, "folds": FOLDS}
    config_file.update(study, changes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
