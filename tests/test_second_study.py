"""A study for two objectives, and a second one that begins with the best of it: commands with real training.

In this process, since each fold run here is shorter than the start of another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from search.errors import UsageError
from search.study import config as toml
from storage import TrialState
from storage.records import Origin
from tests.commands import small_study, trials_of

pytestmark = pytest.mark.slow  # whole searches

SMALL = ("--workers", "0", "--quiet")


def search(*arguments: str | Path) -> str:
    """What the command prints; raises what it refuses with."""
    done = CliRunner().invoke(cli.app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def first(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials for score and latency."""
    folder = tmp_path_factory.mktemp("home") / "first"
    search(
        "run", small_study(folder, pictures, second_objective="latency", trials=3, training={"max_epochs": 1}), *SMALL
    )
    return folder


def test_latency_is_stored_with_each_fold_and_the_front_is_marked(first: Path) -> None:
    assert all(f.latency is not None and 0 < f.latency < 1000 for t in trials_of(first) for f in t.folds)
    data: dict[str, Any] = json.loads(search("report", first, "--json"))
    assert (data["study"]["second_objective"], data["study"]["sampler"]) == ("latency", "nsga2")
    front = {trial["number"] for trial in data["trials"] if trial["pareto"]}
    assert min(data["trials"], key=lambda trial: trial["latency"])["number"] in front
    assert data["best"]["score"] in {trial["score"] for trial in data["trials"] if trial["pareto"]}
    shown = search("report", first)
    assert "* on the Pareto front" in shown
    assert all(f"*{number} " in shown for number in front)


def test_the_best_of_another_study_are_tried_first_then_rungs_of_hyperband_and_more_points_when_asked(
    first: Path, pictures: Path
) -> None:
    settings = {"engine": "keras-tuner", "sampler": "hyperband", "trials": 4, "training": {"max_epochs": 3}}
    second = small_study(first.parent / "second", pictures, **settings)
    assert "warm start from" in search("run", second, "--warm-start", first, "--workers", "0")
    config, trials = toml.read(second), trials_of(second)
    assert config.tries
    assert [t.origin for t in trials if t.origin == Origin.TRY] == [Origin.TRY] * min(len(config.tries), 3)
    assert "# trial " in (second / toml.FILE).read_text()
    search("run", second, "--trials", "5", *SMALL)
    (second / toml.FILE).write_text((second / toml.FILE).read_text() + "\n[[try]]\ndropout = 0.4\nepochs = 2\n")
    search("run", second, "--trials", "6", *SMALL)

    trials = trials_of(second)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(f.epochs <= t.params["epochs"] for t in trials for f in t.folds)
    assert {t.params["epochs"] for t in trials if t.origin == Origin.SAMPLER} == {1}
    assert (trials[-1].origin, trials[-1].params["dropout"], trials[-1].params["epochs"]) == (Origin.TRY, 0.4, 2)
    shown = " ".join(search("report", second).split())
    assert "Rungs of hyperband are trained anew, not continued" in shown
    assert "Pareto" not in shown


def test_points_that_are_none_are_refused_before_anything_is_trained(first: Path, pictures: Path) -> None:
    third = small_study(first.parent / "third", pictures, **{"try": [{"dropout": 0.7}, {"dense_units": 16}]})
    with pytest.raises(UsageError) as caught:
        search("run", third, *SMALL)
    assert str(caught.value).splitlines()[1:] == [
        "  try 1: dropout: must be in 0 to 0.5, step 0.1, got 0.7",
        "  try 2: dense_units: only where dense_depth >= 1; set that too",
    ]
    assert not (third / "study.db").exists()
