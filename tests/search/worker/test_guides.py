"""Builders of Keras Tuner's guides and keras.io's examples run unchanged, or are refused with the line to change.

Both engines are given the space that is discovered here. Whole searches under both are in tests/test_own_model.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, DiscoverJob, Discovery, Failure, WorkerContext
from search.samplers.factory import make_sampler
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Space
from tests.search.worker.conftest import coloured, worker_for
from tests.search.worker.test_trainer import fold_job, trained
from tests.spaces import guides
from tests.warm import ROOT


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prepared, WorkerContext]]:
    """Coloured pictures of 32 x 32 of three classes."""
    with coloured(tmp_path_factory.mktemp("guides"), {"a": 5, "b": 5, "c": 5}, size=32, folds=2) as made:
        yield made


def worker_of(text: str, context: WorkerContext, folder: Path) -> Worker:
    return worker_for(text.replace("FOLDER", str(folder / "tuner")), context, folder, "build_model")


HEAVY = ("Transfer learning and fine-tuning", "EfficientNet")


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in guides.RUN]
)
def test_a_guide_runs_unchanged(
    pictures: tuple[Prepared, WorkerContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where callbacks write
    prepared, context = pictures
    worker = worker_of(guides.RUN[name], context, tmp_path)
    discovery = worker.do(DiscoverJob())
    assert isinstance(discovery, Discovery), discovery
    assert discovery.whole
    params = Space.from_json(discovery.space).defaults()
    assert isinstance(worker.do(DescribeJob(params)), Description)
    result = trained(worker, replace(fold_job(prepared, params or {"batch_size": 8}, max_epochs=2), params=params))
    assert result.epochs == 2
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", guides.RUN)
@pytest.mark.parametrize(("engine", "sampler"), [("optuna", "tpe"), ("keras-tuner", "bayesian")])
def test_a_guide_builds_the_points_of_both_engines(
    pictures: tuple[Prepared, WorkerContext], tmp_path: Path, name: str, engine: str, sampler: str
) -> None:
    worker = worker_of(guides.RUN[name], pictures[1], tmp_path)
    discovery = worker.do(DiscoverJob())
    assert isinstance(discovery, Discovery), discovery
    space = Space.from_json(discovery.space)
    points = make_sampler(space, "accuracy", engine, sampler, seed=1) if space.parameters else None
    described = worker.do(DescribeJob(points.ask(0) if points else {}))
    if not isinstance(described, Description):
        assert isinstance(described, Failure)
        assert guides.FAILS_AT_POINTS[name] in described.detail


@pytest.mark.parametrize("name", guides.REFUSED)
def test_a_guide_is_refused_with_the_line_to_change(
    pictures: tuple[Prepared, WorkerContext], tmp_path: Path, name: str
) -> None:
    text, sentence = guides.REFUSED[name]
    outcome = worker_of(text, pictures[1], tmp_path).do(DiscoverJob())
    assert isinstance(outcome, Failure)
    assert sentence in outcome.detail
    shutil.rmtree(tmp_path / "tuner", ignore_errors=True)


def test_a_trial_that_the_builder_calls_failed_fails_by_its_sentence(
    pictures: tuple[Prepared, WorkerContext], tmp_path: Path
) -> None:
    worker = worker_of(guides.FAILED_TRIALS, pictures[1], tmp_path)
    outcome = worker.do(DescribeJob({"layers": 1, "units_0": 1024}))
    assert isinstance(outcome, Failure)
    assert "net.py, line 16: FailedTrialError: Model too large! It contains more than 2 million" in outcome.detail


@pytest.mark.slow
def test_a_tunable_application_builds(pictures: tuple[Prepared, WorkerContext], tmp_path: Path) -> None:
    worker = worker_of(guides.PREMADE, pictures[1], tmp_path)
    assert worker._own.build({}).output_shape == (None, 3)


def test_the_documentation_lists_them_all() -> None:
    text = (ROOT / "docs/own-models.md").read_text()
    assert [name for name in (*guides.RUN, *guides.REFUSED) if name not in text] == []
