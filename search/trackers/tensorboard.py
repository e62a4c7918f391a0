"""TensorBoard's event files: a folder for each run, written without TensorFlow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.trackers.base import TrackedRun, plain_name

_EVENTS = "events.out.tfevents.0."  # TensorBoard knows its files by this word; what follows is the digest of the run


class TensorBoardTracker:
    """Runs in a folder that `tensorboard --logdir` shows: curves, numbers, the table of parameters, the report as text.

    A run is written into a hidden folder, which then takes its name. So what is there is whole.
    """

    def __init__(self, logs: Path) -> None:
        """`logs`: the folder, made when needed. Raises UsageError if it is a link, which could lead anywhere."""
        if logs.is_symlink():
            raise UsageError(f"{logs} is a link, and the logs of a study are not written through one; remove it first")
        self._logs = logs
        self.where = str(logs)

    def written(self) -> Mapping[str, str]:
        """See Tracker."""
        found = self._logs.glob(f"[!.]*/{_EVENTS}*")
        return {path.parent.name: path.name.removeprefix(_EVENTS) for path in found}

    def write(self, run: TrackedRun) -> None:
        """See Tracker."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        place, partial = self._logs / run.name, self._logs / f".{run.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        now = time.time()
        with (partial / f"{_EVENTS}{run.digest}").open("wb") as file:
            writer = RecordWriter(file)
            writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            for step, summary in _summaries(run):
                writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)


def _summaries(run: TrackedRun) -> Iterator[tuple[int, Any]]:
    """(Step, summary) of all that a run holds."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    if run.params:
        yield 0, hparams_pb(dict(run.params), trial_id=run.name)
    for name, number in run.numbers.items():
        yield 0, scalar_pb(plain_name(name), number)
    for name, curve in run.curves.items():
        for step, number in curve.items():
            yield step, scalar_pb(plain_name(name), number)
    for name, fact in run.facts.items():
        yield 0, text_pb(plain_name(name), fact)
    for path in run.files:
        if path.suffix == ".md":
            yield 0, text_pb(path.stem, path.read_text(encoding="utf-8"))
