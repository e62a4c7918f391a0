"""`--nested`: the search again without each fold's images, its estimate, and going on after a kill."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.stats.metrics import scores
from storage import Store
from tests.commands import fold_rows, search, start, table, trials_of, wait_until
from tests.pictures import make_pictures

pytestmark = pytest.mark.slow  # whole searches

FLAGS = ("--preset", "cnn", "--trials", "1", "--folds", "2", "--epochs", "3", "--workers", "0", "--nested")
STUDY, OUTER = Path("shapes-study"), Path("shapes-study", "nested")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with its outer folds."""
    folder = tmp_path_factory.mktemp("nested")
    make_pictures(folder / "shapes", {"left": 9, "top": 9})
    done = search("run", "shapes", *FLAGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def json_of(study: Path, cwd: Path) -> Any:
    done = search("report", study, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stored(home: Path) -> list[Any]:
    """Every trial of all the searches but times, and what was said of the images held out."""
    nested: list[Any] = []
    for study in (STUDY, OUTER / "outer-1", OUTER / "outer-2"):
        nested.append(table(trials_of(home / study)))
        with Store.open(home / study / "study.db", read_only=True) as store:
            last = store.choices()[-1]
            nested.append(
                (last.trial, last.members, None if last.probabilities is None else last.probabilities.tolist())
            )
    return nested


def test_it_says_what_it_will_cost_and_where_it_is(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    assert "nested cross-validation: 2 more searches after this one" in printed
    assert "Each has at most 1 trial and 2.67 hours, its share of the total." in printed
    assert "outer fold 2 of 2: searching without its 9 images" in printed


def test_each_image_is_held_out_once_and_in_no_fold_of_that_search(home: Path) -> None:
    with Store.open(home / STUDY / "study.db", read_only=True) as store:
        assignment = store.split().assignment
    for fold in range(2):
        with Store.open(home / OUTER / f"outer-{fold + 1}" / "study.db", read_only=True) as store:
            held_out = np.array([image.testing for image in store.images()])
            assert (held_out == (assignment == fold)).all()
            assert (store.split().assignment[held_out] == -1).all() and (store.split().assignment[~held_out] >= 0).all()


def test_the_estimate_is_the_score_of_what_was_chosen_on_all_images_held_out(home: Path) -> None:
    nested = json_of(STUDY, home)["nested"]
    assert (nested["folds"], nested["of"], nested["images"], nested["method"]) == (2, 2, 18, "nested cross-validation")
    assert nested["low"] <= nested["value"] <= nested["high"]
    said, labels = [], []
    for fold in range(2):
        with Store.open(home / OUTER / f"outer-{fold + 1}" / "study.db", read_only=True) as store:
            labels += [image.label for image in store.images() if image.testing]
            choice = store.choices()[-1]
        assert choice.probabilities is not None
        assert (nested["chosen"][fold]["fold"], nested["chosen"][fold]["number"]) == (fold, choice.trial)
        said.append(choice.probabilities)
    assert nested["value"] == pytest.approx(scores(np.array(labels), np.concatenate(said))["balanced_accuracy"])


def test_the_report_of_an_outer_fold_says_that_its_test_was_locked_away(home: Path) -> None:
    outer = json_of(OUTER / "outer-1", home)
    assert (outer["test"]["source"], outer["test"]["images"], outer["study"]["testing_images"]) == ("lock-box", 9, 9)
    printed = " ".join(search("report", OUTER / "outer-1", cwd=home).stdout.split())
    assert "On the 9 of 18 images that were locked away from the start it scores" in printed


@pytest.mark.slow
def test_killed_in_the_midst_of_an_outer_fold_it_goes_on_to_the_same(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "shapes", tmp_path / "shapes")
    process = start("run", "shapes", *FLAGS, cwd=tmp_path)
    wait_until(lambda: len(fold_rows(tmp_path / OUTER / "outer-2")) >= 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json_of(STUDY, tmp_path)["nested"]["folds"] == 1
    done = search("resume", STUDY, "--workers", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path) == stored(home)
    assert json_of(STUDY, tmp_path)["nested"] == json_of(STUDY, home)["nested"]


def test_a_report_tells_how_many_outer_folds_there_are_so_far(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / STUDY, tmp_path / STUDY)
    shutil.rmtree(tmp_path / OUTER / "outer-1")
    done = search("report", STUDY, cwd=tmp_path)
    assert "(1 of 2 outer folds so far)" in done.stdout
    assert "Nested" in (tmp_path / STUDY / "report.html").read_text()


def test_what_is_done_is_left_alone(home: Path) -> None:
    assert "nothing left to do: 1 of 1 trials are done" in search("run", STUDY, cwd=home).stdout


def test_an_outer_fold_of_other_images_is_refused(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / STUDY, tmp_path / STUDY)
    shutil.rmtree(tmp_path / OUTER / "outer-1")
    shutil.copytree(tmp_path / OUTER / "outer-2", tmp_path / OUTER / "outer-1")
    done = search("report", STUDY, cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a search without the images of fold 1" in done.stderr and "Traceback" not in done.stderr
