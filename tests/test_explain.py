"""`search explain` with real training: killed and asked again, the search as if it had not been, what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from search.api import open_study
from search.session.signals import RESUMABLE
from storage import Store
from tests.commands import search_here, start, table, trials_of, wait_until, workers_of
from tests.pictures import make_pictures
from tests.refusals import Refuse

STUDY = Path("shapes-study")
POINTS = """
conv_depth = 1
dense_depth = 0

[[try]]
learning_rate = 0.01
kernel = 5
optimizer = "adamw"
activation = "elu"
"""
EXPLAIN = ("explain", STUDY, "--from", "0", "--to", "1", "--quiet")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and a finished study of two small networks: the default one, and one that differs in four settings."""
    folder = tmp_path_factory.mktemp("explain")
    make_pictures(folder / "shapes", {"left": 12, "top": 12})
    made = search_here("init", "shapes", "--preset", "cnn", "--no-lock-box", cwd=folder)
    assert made.returncode == 0, made.stderr
    with (folder / STUDY / "study.toml").open("a") as file:
        file.write(POINTS)
    done = search_here("run", STUDY, "--folds", "3", "--epochs", "3", "--trials", "2", "--workers", "0", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a copy of its pictures."""
    shutil.copytree(home, tmp_path / "home")
    settings = tmp_path / "home" / STUDY / "study.toml"
    settings.write_text(settings.read_text().replace(str(home), str(tmp_path / "home")))
    return tmp_path / "home"


def rows_of(study: Path) -> list[Any]:
    with Store.open(study / "explained" / "0-1.db", read_only=True) as store:
        return table(store.trials())


def folds_of(study: Path) -> int:
    """Fold runs that are stored."""
    path = study / "explained" / "0-1.db"
    if not path.exists():
        return 0
    with Store.open(path, read_only=True) as store:
        return store.fold_runs()


@pytest.mark.slow
def test_killed_and_stopped_and_asked_again_it_ends_the_same(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "whole")
    whole = search_here(*EXPLAIN, "--workers", "0", "--json", cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr

    process = start(*EXPLAIN, "--workers", "1", cwd=copy)
    wait_until(lambda: folds_of(copy / STUDY) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: workers_of(copy / STUDY) == [])
    assert folds_of(copy / STUDY) < folds_of(tmp_path / "whole" / STUDY)

    process = start(*EXPLAIN, "--workers", "1", cwd=copy)
    before = folds_of(copy / STUDY)
    wait_until(lambda: folds_of(copy / STUDY) > before)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == RESUMABLE, said
    assert "what was stored stays. Go on with: search explain shapes-study --from 0 --to 1" in said

    again = search_here(*EXPLAIN, "--workers", "0", "--json", cwd=copy)
    assert again.returncode == 0, again.stderr
    assert rows_of(copy / STUDY) == rows_of(tmp_path / "whole" / STUDY)
    told, expected = json.loads(again.stdout), json.loads(whole.stdout)
    assert {**told, "seconds": 0} == {**expected, "seconds": 0}


@pytest.mark.slow
def test_a_search_that_was_explained_goes_on_as_if_it_had_not_been(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "without")
    explained = search_here(*EXPLAIN, "--trials", "4", "--workers", "0", cwd=copy)
    assert explained.returncode == 0, explained.stderr
    assert "Not finished" in explained.stdout
    for folder in (copy, tmp_path / "without"):
        more = search_here("resume", STUDY, "--trials", "4", "--workers", "0", "--quiet", cwd=folder)
        assert more.returncode == 0, more.stderr
    assert table(trials_of(copy / STUDY)) == table(trials_of(tmp_path / "without" / STUDY))
    with Store.open(copy / STUDY / "study.db", read_only=True) as store:
        assert [run.command.split()[1] for run in store.runs()] == ["run", "resume"]


def test_words_page_and_json_agree_with_the_store(copy: Path) -> None:
    done = search_here(*EXPLAIN, "--workers", "0", cwd=copy)
    assert done.returncode == 0, done.stderr
    page = (copy / STUDY / "report.html").read_text()
    told = json.loads(search_here("report", STUDY, "--json", cwd=copy).stdout)["explanation"]
    trials = {trial.number: trial for trial in trials_of(copy / STUDY)}
    assert told["start_score"] == pytest.approx(trials[0].score("balanced_accuracy"))
    assert told["goal_score"] == pytest.approx(trials[1].score("balanced_accuracy"))
    names = [change["name"] for part in told["path"] for change in part["changes"]]
    assert sorted(names) == ["activation", "kernel", "learning_rate", "optimizer"]
    assert told["not_known_yet"] is None
    with Store.open(copy / STUDY / "explained" / "0-1.db", read_only=True) as store:
        assert told["fold_runs"] == store.fold_runs()
        scores = [trial.score("balanced_accuracy") for trial in store.trials()]
    assert told["path"][0]["score"] in scores
    again = open_study(copy / STUDY).explain(start=0, goal=1, quiet=True)
    assert [part.score for part in again.steps] == [part["score"] for part in told["path"]]
    first = told["path"][0]["changes"][0]
    for said in (done.stdout, page):
        assert "From trial 0, your starting point, to trial 1" in said
        assert f"{first['name']} " in said and " → " in said
    assert '<section id="explain">' in page and "What made the difference" in page


def test_what_cannot_be_explained_is_said_with_the_next_step(copy: Path) -> None:
    def refused(*arguments: str | Path, cwd: Path = copy) -> str:
        done = search_here("explain", *arguments, cwd=cwd)
        assert done.returncode == 2, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "--to: must be the number of a trial, 0 to 1, but got 7" in refused(STUDY, "--to", "7")
    assert "--from: must be the number of a trial, 0 or more, got -1" in refused(STUDY, "--from", "-1")
    assert "no setting differs from trial 1 to trial 1" in refused(STUDY, "--from", "1", "--to", "1")
    assert "--trials: must be at least 1, got 0" in refused(STUDY, "--trials", "0")
    assert "shapes is not a study" in refused("shapes")
    assert not (copy / STUDY / "explained").exists()


def test_a_study_that_has_not_begun_and_one_without_a_complete_trial_are_told(refuse: Refuse) -> None:
    assert "new has not begun, so there is nothing to explain; `search run new` starts it" in refuse("explain", "new")
    assert "there is nothing to explain; search on with: search resume study --trials 2" in refuse("explain", "study")
