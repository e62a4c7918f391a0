"""Outcomes of jobs, remembered: training is what takes the time of a search, and it is not what a fault of the command
could change. A job is pure, so its outcome is trained once, in the undisturbed search, and given again where the same
job is asked for. A job that differs in anything is trained.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.manifest import ABOUT
from tests.warm import Hook


def from_memory(memory: Path) -> Hook:
    """A hook of a worker, and of a command that trains itself: outcomes come from the folder `memory`, or get there."""

    def hook() -> None:
        from search.worker.worker import Worker

        do = Worker.do

        def doing(self: Worker, job: Any) -> Any:
            place = memory / hashlib.sha256(repr(_plain(job)).encode()).hexdigest()
            if place.exists():
                outcome = pickle.loads((place / "outcome").read_bytes())  # noqa: S301 - written below
                for number, path in enumerate(_written(job)):
                    _give(place / str(number), path, job)
                return outcome
            outcome = do(self, job)
            _keep(place, outcome, list(_written(job)))
            return outcome

        Worker.do = doing  # type: ignore[method-assign]

    return hook


def _plain(value: Any) -> Any:
    """All that decides a job, without the folder of its study."""
    if is_dataclass(value):
        return type(value).__name__, [(field.name, _plain(getattr(value, field.name))) for field in fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Path):
        return value.name
    if isinstance(value, dict):
        return sorted((str(key), _plain(inner)) for key, inner in value.items() if key != "made")
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _written(job: Any) -> Iterator[Path]:
    """The files that a job writes, in a fixed order."""
    from search.jobs import ComposeJob, FoldJob, RefitJob

    if isinstance(job, FoldJob) and job.keep:
        yield job.keep
    if isinstance(job, RefitJob | ComposeJob):
        yield job.path


def _keep(place: Path, outcome: Any, written: list[Path]) -> None:
    partial = place.with_name(f"{place.name}.{os.getpid()}")
    partial.mkdir()
    (partial / "outcome").write_bytes(pickle.dumps(outcome))
    for number, path in enumerate(written):
        if path.exists():
            shutil.copyfile(path, partial / str(number))
    try:
        partial.rename(place)
    except OSError:  # another process was first
        shutil.rmtree(partial)


def _give(kept: Path, path: Path, job: Any) -> None:
    """Write a file as a worker does: under another name first. A model says when it was made, and by what choice."""
    from search.files import replacing

    if not kept.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about = getattr(job, "about", None)
    with replacing(path) as partial:
        if about is None:
            shutil.copyfile(kept, partial)
            return
        with zipfile.ZipFile(kept) as old, zipfile.ZipFile(partial, "w") as new:
            for member in old.infolist():
                content = old.read(member)
                if member.filename == ABOUT:
                    content = json.dumps({**json.loads(content), "made": about["made"]}).encode()
                new.writestr(member, content)
