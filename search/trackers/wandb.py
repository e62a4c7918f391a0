"""Weights & Biases: one run for each trial and one for the study; offline unless the user has set a mode."""

from __future__ import annotations

import glob
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from search.errors import UsageError
from search.trackers.base import TrackedRun, plain_name

MODE = "WANDB_MODE"
QUIET = {"WANDB_ERROR_REPORTING": "false"}
"""Environment by which wandb sends no reports of its own errors; what the user has set stays."""

_DONE = "logged"  # begins the name of a folder, one a mode, with an empty file NAME.DIGEST for each run that is whole


class WandbTracker:
    """Runs of a project with the study's name, in the folder `wandb` of the study.

    An offline run cannot be asked what it holds, so what is whole is noted beside the runs, for each mode: what was
    written offline is not on a server.
    """

    def __init__(self, folder: Path, project: str, study: str) -> None:
        """`study`: the id of the study, a part of the ids of its runs. Raises UsageError."""
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        self._folder, self._project, self._study = folder.absolute(), plain_name(project).replace("/", "_"), study
        self._runs = self._folder / "wandb"
        if self._runs.is_symlink():
            raise UsageError(f"{self._runs} is a link, and a study is not logged through one; remove it first")
        self._mode = os.environ.get(MODE, "offline")
        self._done = self._runs / f"{_DONE}-{plain_name(self._mode).replace('/', '_')}"
        self.where = str(folder / "wandb") if self._mode == "offline" else f"wandb ({self._mode})"

    def written(self) -> Mapping[str, str]:
        """See Tracker."""
        return {path.stem: path.suffix[1:] for path in self._done.glob("*.*")}

    def write(self, run: TrackedRun) -> None:
        """See Tracker."""
        import wandb

        number = f"{self._study}-{run.name}-{run.digest}"  # online, an id can never be used again after it was deleted
        if self._mode == "offline":  # else they are whole, and noted so
            for half in self._runs.glob(f"offline-run-*-{self._study}-{run.name}-*"):
                shutil.rmtree(half)
        for older in self._done.glob(f"{run.name}.*"):
            older.unlink()
        with wandb.init(
            project=self._project,
            group=self._study,
            id=number,
            name=run.name,
            dir=self._folder,
            mode=self._mode,
            config={plain_name(name): value for name, value in run.params.items()} | dict(run.facts),
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        ) as made:
            by_step: dict[int, dict[str, float]] = defaultdict(dict)
            for name, curve in run.curves.items():
                for step, value in curve.items():
                    by_step[step][plain_name(name)] = value
            for step, values in sorted(by_step.items()):
                made.log(values, step=step)
            made.summary.update({plain_name(name): value for name, value in run.numbers.items()})
            for path in run.files:
                made.save(glob.escape(str(path.absolute())), base_path=glob.escape(str(self._folder)), policy="now")
        done = self._done / f"{run.name}.{run.digest}"
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()
