"""`search run --dry-run`: what would be searched, at what price; nothing is written and nothing trained."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.terminal.dry_run import in_lines
from search.results.dry_run import DryRun, PlannedPoint
from storage import studies_on
from storage.records import Origin
from tests.commands import search_here
from tests.kept.studies import STUDIES, copied
from tests.refusals import snapshot
from tests.storage import servers

PLAN = DryRun(
    study="s",
    begun=False,
    nothing_left="",
    images=120,
    testing=0,
    image_shape=(64, 48, 3),
    class_counts={"cat": 70, "dog": 50},
    folds=5,
    metric="balanced_accuracy",
    preset="auto",
    families=("frozen", "cnn"),
    parameters=("family", "rate"),
    engine="optuna",
    sampler="tpe",
    workers=2,
    trials=200,
    trials_done=0,
    seconds=3600.0,
    seconds_spent=0.0,
    points=(
        PlannedPoint(Origin.BASELINE, {"rate": 1e-3}, "", 1290, 20.0),
        PlannedPoint(Origin.START, {"rate": 1e-2}, "rate = 0.01", 98_000, 400.0),
        PlannedPoint(Origin.TRY, {"rate": 1.0}, "rate = 1", None, None, "it needs 90 GB"),
    ),
    measured=False,
)


def test_it_says_what_how_long_and_at_what_price() -> None:
    assert in_lines(PLAN) == [
        "study: s, not begun",
        "images: 120, 48 x 64 colour: cat 70, dog 50",
        "judged by: balanced accuracy, 5 folds",
        "space: auto, 2 parameters of frozen, cnn; then points by optuna, tpe",
        "first, with what all 5 folds take one after another (from the arithmetic of the networks, not measured here):",
        "  your starting point: every parameter at its default: 1290 parameters, about 20 s",
        "  known-good point: rate = 0.01: 98 k parameters, about 7 min",
        "  your point: rate = 1: left out, it needs 90 GB",
        "ends after 200 trials or 60 min, whichever comes first; 2 workers",
        "200 trials like these take 33 min to 11 h 07 min, if none is stopped early",
        "in 60 min there is time for 18 to 360 of them",
        "nothing was written, and nothing was trained",
    ]


def test_without_a_price_or_a_budget_it_says_less() -> None:
    bare = replace(PLAN, points=(), trials=None, seconds=None)
    assert in_lines(bare)[4:] == ["ends when it is stopped; 2 workers", "nothing was written, and nothing was trained"]
    used_up = replace(PLAN, begun=True, trials_done=1, nothing_left="1 of 1 trials are done")
    assert in_lines(used_up)[0] == "study: s, 1 trial done"
    assert in_lines(used_up)[-1] == "nothing left to do: 1 of 1 trials are done"


def test_classes_with_few_images_are_named_as_by_the_check() -> None:
    few = replace(PLAN, class_counts={"cat": 70, "dog": 3, "owl": 9})
    assert in_lines(few)[2] == "few images: dog 3, owl 9: the estimate will be rough"
    assert not [line for line in in_lines(PLAN) if "few images" in line]


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


def planned(place: Path, *arguments: str) -> dict[str, Any]:
    done = search_here("run", *arguments, "--dry-run", "--json", "--workers", "0", cwd=place)
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def test_of_images_without_a_study_nothing_is_written(pictures: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(pictures, here / "shapes")
    before = snapshot(here)
    plan = planned(here, "shapes", "--preset", "cnn", "--folds", "3", "--time", "10m", "--trials", "7")
    assert snapshot(here) == before
    assert (plan["study"], plan["begun"], plan["measured"]) == ("shapes-study", False, False)
    assert (plan["images"], plan["class_counts"], plan["folds"]) == (27, {"left": 15, "top": 12}, 3)
    assert (plan["trials"], plan["seconds"]) == (7, 600.0)
    assert plan["points"][0]["origin"] == "baseline" and plan["points"][0]["parameters"] > 0
    assert all(point["seconds"] > 0 for point in plan["points"])
    assert plan["cheapest_trial_seconds"] <= plan["dearest_trial_seconds"]


def test_on_a_server_nothing_is_written_either(pictures: Path, tmp_path: Path, server: servers.Server) -> None:
    url = server.url()
    before = snapshot(tmp_path)
    arguments = ("--preset", "question", "--folds", "2", "--storage", str(url))
    assert not planned(tmp_path, str(pictures), *arguments)["begun"]
    assert snapshot(tmp_path) == before
    assert studies_on(url.where) == []


def test_of_a_study_prices_are_measured_and_its_points_are_those_left(tmp_path: Path) -> None:
    study = copied(next(s for s in STUDIES if s.name == "question"), tmp_path)
    before = snapshot(tmp_path)
    plan = planned(tmp_path, study.name, "--trials", "30")
    assert snapshot(tmp_path) == before
    assert plan["begun"] and plan["measured"] and plan["trials_done"] > 0
    assert "baseline" not in [point["origin"] for point in plan["points"]]


def test_the_command_prints_lines_for_people(tmp_path: Path, pictures: Path) -> None:
    arguments = ("run", pictures, "--preset", "question", "--workers", "0", "--dry-run")
    lines = search_here(*arguments, cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "study: shapes-study, not begun" and lines[-1].startswith("nothing was written")
    assert [line for line in lines if re.fullmatch(r"  your starting point: .* parameters, about .*", line)]
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", [("--folds", "1"), ("--sampler", "x"), ("--preset", "qestion"), ("--log", "x")])
def test_what_run_refuses_is_refused(option: tuple[str, str], pictures: Path, tmp_path: Path) -> None:
    done = search_here("run", pictures, *option, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
