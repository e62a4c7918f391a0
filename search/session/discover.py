"""Discovers the parameters of a user's model, in a worker process: this runs the user's code and Keras."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from search.errors import UsageError
from search.executors.local import LocalProcesses
from search.jobs import DiscoverJob, Discovery, Failure, WorkerContext
from spaces import Space
from spaces.custom.file import ModelFile
from spaces.facts import Facts


def discover(file: ModelFile, facts: Facts) -> tuple[Space, bool]:
    """(Space of the builder, whether there was time to call it at every value of its parameters).

    Raises UsageError, which names the line of the user's file, if the builder fails at its defaults.
    """
    with tempfile.TemporaryDirectory() as logs:
        executor = LocalProcesses(1)
        try:
            executor.prepare(WorkerContext(None, np.zeros(0, np.int16), facts, "", "", file), Path(logs))
            outcome = executor.submit(DiscoverJob()).result()
        finally:
            executor.close(kill=True)
    if isinstance(outcome, Failure):
        raise UsageError(f"--model: {outcome.detail}")
    assert isinstance(outcome, Discovery)  # noqa: S101 - the answer to a DiscoverJob
    return Space.from_json(outcome.space), outcome.whole
