"""Where faults are tried: pictures, a study that nothing happens to, and the comparison with it, row for row."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from search.session.prepare import prepare
from search.study import config_file
from search.study.config import Config, TrainingConfig
from storage import Store
from tests.commands import fold_rows, reference_rows, table, trials_of, wait_until, workers_of
from tests.faults import warm
from tests.faults.remembered import from_memory
from tests.pictures import make_pictures

TRIALS = 4
FREE = ("learning_rate", "dropout")
"""The parameters that are searched. All others are fixed, so that the networks of all trials share one graph."""
SMALL = {"conv_depth": 1, "filters": 8, "dense_depth": 0, "normalization": "none"}


@dataclass(frozen=True)
class Tried:
    """One try of a fault."""

    wrong: str = ""  # what differs from the undisturbed search, or was not told; empty if nothing
    seconds: float | None = None  # of the command that goes on, to its end; None: nothing had to go on
    lost: int = 0  # committed fold runs that are gone or changed


Random = Callable[["Place", Path, random.Random], Tried]
"""One try, in a new folder."""
Numbered = Callable[["Place", Path, int], Tried | None]
"""One try at the n-th moment of a search; None where it has no more."""


@dataclass(frozen=True)
class Place:
    """A folder with everything, and how commands are started."""

    home: Path
    fresh: bool = False  # whether every command is a new interpreter instead of a fork
    trains: bool = True  # whether each job is done anew; else outcomes of jobs are remembered

    @property
    def pictures(self) -> Path:
        """20 pictures of two classes, 8x8."""
        return self.home / "pictures"

    @property
    def whole(self) -> Path:
        """The study that nothing happened to."""
        return self.home / "whole"

    @property
    def memory(self) -> Path:
        """Where outcomes are remembered."""
        return self.home / "memory"

    @property
    def lasts(self) -> float:
        """Seconds that it took, trained anew or not."""
        return float((self.home / f"seconds-{self.trains}").read_text())

    def settings(self, study: Path, pictures: Path | None = None) -> Path:
        """Make the folder of a study that has not begun."""
        study.mkdir(parents=True)
        values = {**_fixed(self.pictures), "images": str(pictures or self.pictures)}
        config_file.write(study, Config.model_validate(values))
        return study

    def asked(self, study: Path, workers: int = 1) -> tuple[str | Path, ...]:
        """The command that begins and goes on with a study."""
        return ("run", study, "--quiet", "--workers", str(workers))

    def start(self, *arguments: str | Path, cwd: Path, **options: Any) -> warm.Started:
        """As `warm.start`."""
        if not self.trains:
            hook = from_memory(self.memory)
            options = {"command_hook": hook, "worker_hook": hook, **options}
        return warm.start(*arguments, cwd=cwd, fresh=self.fresh, **options)

    def search(self, *arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """As `warm.search`."""
        return self.start(*arguments, cwd=cwd, **options).ended()

    def moment(self, chance: random.Random) -> float:
        """Seconds after the start of a search at which something happens, before its end."""
        return chance.uniform(0.02, 0.95 * self.lasts)


@cache
def _fixed(pictures: Path) -> dict[str, Any]:
    """The settings of all studies, as plain values."""
    config = Config(images=str(pictures), preset="cnn", folds=2, trials=TRIALS, training=TrainingConfig(max_epochs=2))
    parameters = prepare(config, pictures.parent).space.parameters
    fixed = {p.name: p.default for p in parameters if p.name not in FREE} | SMALL
    return {**config.model_dump(exclude={"tries"}), "space": fixed}


def make_place(home: Path, *, fresh: bool = False) -> Place:
    """The pictures, and a search of them to its end; done twice, so that outcomes are remembered."""
    place = Place(home, fresh)
    make_pictures(place.pictures)
    place.memory.mkdir()
    _timed(place, place.settings(place.whole))
    if not fresh:
        remembering = replace(place, trains=False)
        for name in ("first", "second"):  # the second does not train, and is timed
            again = place.settings(home / name)
            _timed(remembering, again)
            if wrong := wrong_of(place, again):
                raise RuntimeError(f"a second undisturbed search: {wrong}")
    return place


def _timed(place: Place, study: Path) -> None:
    began = time.monotonic()
    done = place.search(*place.asked(study), cwd=place.home)
    (place.home / f"seconds-{place.trains}").write_text(str(time.monotonic() - began))
    if done.returncode != 0:
        raise RuntimeError(f"the undisturbed search failed: {done.stderr}")


def stored(study: Path) -> dict[str, Any]:
    """Every value but times: trials with their folds, references, the choice."""
    with Store.open(study / "study.db", read_only=True) as store:
        choices = [(c.trial, c.members, c.pool, c.left_out, _bytes(c.probabilities)) for c in store.choices()]
    # How many parts of the images the learning curve was made of depends on the clock, and decides nothing.
    references = {key: row for key, row in reference_rows(study).items() if "@" not in key[0]}
    return {"trials": table(trials_of(study)), "references": references, "choice": choices[-1:]}


def _bytes(array: Any) -> bytes | None:
    return None if array is None else np.asarray(array).tobytes()


def committed(study: Path) -> dict[tuple[int, int, int], tuple[Any, ...]]:
    """Every fold run that is stored, its bytes included; {} where there is no database that can be read."""
    with suppress(sqlite3.OperationalError):
        return fold_rows(study)
    return {}


def gone_on(place: Place, study: Path, *, ended: int = 0, workers: int = 1) -> Tried:
    """Go on with a study to its end; hold it against the undisturbed one, and what was committed before against now."""
    wait_until(lambda: not workers_of(study), 30)
    before = committed(study)
    began = time.monotonic()
    done = place.search(*place.asked(study, workers), cwd=study.parent)
    seconds = time.monotonic() - began
    lost = missing(before, study)
    if done.returncode != ended or "Traceback" in done.stderr:
        return Tried(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", seconds, lost)
    return Tried(wrong_of(place, study), seconds, lost)


def while_running(
    place: Place, study: Path, disturb: Callable[[warm.Started], object], *, workers: int = 1, **options: Any
) -> Tried:
    """Disturb a search once its first fold is committed; it is to end as if nothing had been.

    `options`: of `warm.start`, and `more`, of the command. The seconds are those from the fault to the end.
    """
    asked = (*place.asked(study if study.exists() else place.settings(study), workers), *options.pop("more", ()))
    process = place.start(*asked, cwd=study.parent, **options)
    wait_until(lambda: bool(committed(study)) or process.poll() is not None)
    began = time.monotonic()
    disturb(process)
    done = process.ended()
    seconds = time.monotonic() - began
    if done.returncode != 0 or "Traceback" in done.stderr:
        return Tried(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", seconds)
    return Tried(wrong_of(place, study), seconds)


def missing(before: Mapping[tuple[int, int, int], object], study: Path) -> int:
    """How many fold runs that were committed are gone or changed."""
    return len(before.items() - committed(study).items())


def wrong_of(place: Place, study: Path) -> str:
    """What is wrong with a study that has ended; '' if nothing."""
    now, whole = stored(study), stored(place.whole)
    problems = [f"{what} differ" for what in whole if now[what] != whole[what]]
    checked = place.search("verify", study, cwd=study.parent)
    if checked.returncode != 0:
        problems.append(f"verify: {(checked.stdout + checked.stderr).strip()[-300:]}")
    with suppress(AssertionError):
        wait_until(lambda: not workers_of(study), 20)
    if workers_of(study):
        problems.append("workers are left")
    problems += [f"{path.name} is left" for path in study.rglob(".*") if path.is_file()]
    return "; ".join(problems)
