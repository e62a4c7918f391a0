"""MLflow: one experiment for the studies of a name, one run for each trial and one for the study."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from search.errors import UsageError
from search.trackers.base import TrackedRun, plain_name

URI = "MLFLOW_TRACKING_URI"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Environment by which MLflow sends nothing about its use to its makers; what the user has set stays."""

_OF_STUDY, _NAME, _DIGEST = "smallsearch.study", "smallsearch.run", "smallsearch.digest"
_MOST_METRICS, _MOST_PARAMS, _LONGEST = 1000, 100, 5000  # of one request, and of a value: MLflow's own limits
_Item = TypeVar("_Item")


class MlflowTracker:
    """Runs on the server that MLFLOW_TRACKING_URI names, else in `mlflow.db` in the study's folder."""

    def __init__(self, folder: Path, experiment: str, study: str) -> None:
        """`study`: the id by which its runs are known again, see `study_id`. Raises UsageError."""
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        database, files = folder.absolute() / "mlflow.db", folder.absolute() / "mlflow-files"
        named = os.environ.get(URI)
        for path in () if named else (database, files):
            if path.is_symlink():
                raise UsageError(f"{path} is a link, and a study is not logged through one; remove it first")
        self._study, self.where = study, named or f"sqlite:///{database}"
        self._client = MlflowClient(tracking_uri=self.where)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment: str = (
            found.experiment_id
            if found
            else self._client.create_experiment(experiment, artifact_location=None if named else files.as_uri())
        )

    def written(self) -> Mapping[str, str]:
        """See Tracker."""
        tags = [run.data.tags for run in self._runs()]
        return {each[_NAME]: each[_DIGEST] for each in tags if _DIGEST in each}

    def write(self, run: TrackedRun) -> None:
        """See Tracker. The digest comes last, so a run without it is known to be a part."""
        from mlflow.entities import Metric, Param, RunTag

        for old in self._runs(run.name):
            self._client.delete_run(old.info.run_id)
        tags = {_OF_STUDY: self._study, _NAME: run.name}
        made = self._client.create_run(self._experiment, _milliseconds(run.started), tags, run.name)
        number, ended = made.info.run_id, _milliseconds(run.ended)
        stamp = ended or made.info.start_time
        metrics = [Metric(plain_name(name), value, stamp, 0) for name, value in run.numbers.items()]
        for name, curve in run.curves.items():
            metrics += [Metric(plain_name(name), value, stamp, step) for step, value in curve.items()]
        params = [Param(plain_name(name), str(value)[:_LONGEST]) for name, value in run.params.items()]
        facts = [RunTag(plain_name(name), fact[:_LONGEST]) for name, fact in run.facts.items()]
        for some in _portions(metrics, _MOST_METRICS):
            self._client.log_batch(number, metrics=some)
        for several in _portions(params, _MOST_PARAMS):
            self._client.log_batch(number, params=several)
        self._client.log_batch(number, tags=facts)
        for path in run.files:
            self._client.log_artifact(number, str(path))
        self._client.set_terminated(number, end_time=ended)
        self._client.set_tag(number, _DIGEST, run.digest)

    def _runs(self, name: str | None = None) -> Iterator[Any]:
        """The study's runs that were not deleted, or those of a name."""
        wanted, page = f"tags.`{_OF_STUDY}` = '{self._study}'", None
        if name is not None:
            wanted += f" and tags.`{_NAME}` = '{name}'"
        while True:
            found = self._client.search_runs([self._experiment], wanted, page_token=page)
            yield from found
            page = found.token
            if not page:
                return


def _milliseconds(time: str) -> int | None:
    """Milliseconds since 1970 of an ISO time; None if it is empty."""
    return int(1000 * datetime.fromisoformat(time).timestamp()) if time else None


def _portions(items: Sequence[_Item], most: int) -> Iterator[list[_Item]]:
    there = iter(items)
    while some := list(islice(there, most)):
        yield some
