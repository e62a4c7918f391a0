"""From a search to a model in use: what is chosen, the file, and what it says of pictures that it never saw."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store
from tests.commands import fold_rows, integrity, search, start, wait_until
from tests.pictures import make_pictures

FLAGS = ("--preset", "cnn", "--trials", "2", "--folds", "2", "--epochs", "6", "--workers", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of pictures with a testing folder."""
    folder = tmp_path_factory.mktemp("choice")
    make_pictures(folder / "shapes", {"left": 14, "top": 14}, testing={"left": 5, "top": 5})
    done = search("run", "shapes", *FLAGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def told(*arguments: str | Path, cwd: Path) -> Any:
    done = search(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_finished_search_has_a_model_and_says_how_it_does_on_the_images_kept_apart(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    assert "Chosen: " in printed and "On the 10 images kept apart for testing it scores " in " ".join(printed.split())
    assert (home / "shapes-study" / "models" / "choice.keras").is_file()


def test_accuracy_on_the_testing_folder_from_what_predict_says_is_the_report_s(home: Path) -> None:
    answers = told("predict", "shapes-study", "shapes/testing", cwd=home)["images"]
    assert len(answers) == 10
    right = [answer["class"] == Path(answer["path"]).parent.name for answer in answers]
    report = told("report", "shapes-study", cwd=home)
    assert report["test"]["value"] == pytest.approx(np.mean(right))
    assert report["test"]["low"] <= report["test"]["value"] <= report["test"]["high"]
    assert report["test"]["images"] == 10 and report["test"]["times"] == 1
    assert report["chosen"]["current"]
    assert report["chosen"]["number"] in report["ties"]


def test_what_was_stored_of_the_testing_images_is_what_the_file_says_of_their_pictures(home: Path) -> None:
    answers = told("predict", "shapes-study", "shapes/testing", cwd=home)
    with Store.open(home / "shapes-study" / "study.db", read_only=True) as store:
        stored = store.choices()[-1].probabilities
    assert stored is not None
    said = [list(answer["probabilities"].values()) for answer in answers["images"]]
    np.testing.assert_allclose(said, stored, atol=1e-5)
    assert answers["classes"] == ["left", "top"]


def test_an_exported_model_answers_as_the_study_does_without_it(home: Path, tmp_path: Path) -> None:
    done = search("export", "shapes-study", "--to", tmp_path / "shapes.keras", cwd=home)
    assert done.returncode == 0, done.stderr
    shutil.copytree(home / "shapes" / "training", tmp_path / "own")
    moved = told("predict", "shapes.keras", "own", cwd=tmp_path)
    there = told("predict", home / "shapes-study", "own", cwd=tmp_path)
    assert moved == there and len(moved["images"]) == 28


def test_it_loads_in_keras_alone_in_safe_mode(home: Path) -> None:
    import keras

    model = keras.saving.load_model(home / "shapes-study" / "models" / "choice.keras", safe_mode=True)
    said = model.predict(np.zeros((1, 8, 8, 1), np.float32), verbose=0)
    assert said.shape == (1, 2) and said.sum() == pytest.approx(1, abs=1e-5)


def test_csv_has_a_line_a_picture_and_what_cannot_be_read_is_named_with_exit_code_1(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but not really")
    shutil.copy(home / "shapes" / "testing" / "left" / "0000.png", tmp_path / "a, b.png")
    done = search("predict", home / "shapes-study", tmp_path, "--csv", cwd=home)
    assert done.returncode == 1
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["path", "class", "left", "top"]
    assert [Path(row[0]).name for row in rows[1:]] == ["a, b.png"]
    assert "broken.png: " in done.stderr and "Traceback" not in done.stderr


def test_a_picture_of_another_size_and_in_colour_is_read_as_in_training(home: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "large", {"a": 2}, size=50, colour=True)
    assert len(told("predict", home / "shapes-study", tmp_path / "large", cwd=home)["images"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "nothing", "shapes"), "nothing does not exist"),
        (("predict", "shapes", "shapes"), "neither a study nor a model"),
        (("predict", "printed.txt", "shapes"), "is no model of `search export`"),
        (("predict", "shapes-study", "missing.png"), "missing.png does not exist"),
        (("export", "shapes-study"), "--to: name the file to write"),
        (("export", "shapes-study", "--to", "model.onnx"), "must end in .keras"),
        (("export", "shapes-study", "--to", "no/such/model.keras"), "there is no folder no/such"),
    ],
)
def test_a_mistake_is_one_message(home: Path, arguments: tuple[str, ...], said: str) -> None:
    done = search(*arguments, cwd=home)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_search_that_went_on_has_a_new_choice_and_the_test_says_it_was_used_twice(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    done = search("resume", "shapes-study", "--trials", "3", "--workers", "1", cwd=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    report = told("report", "shapes-study", cwd=tmp_path / "home")
    assert report["test"]["times"] == 2 and report["chosen"]["current"]
    again = search("run", "shapes-study", cwd=tmp_path / "home")
    assert "nothing left to do: 3 of 3 trials are done" in again.stdout


def test_killed_while_it_trains_the_choice_it_goes_on_to_the_same_model(home: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", {"left": 14, "top": 14}, testing={"left": 5, "top": 5})
    study = tmp_path / "shapes-study"
    process = start("run", "shapes", *FLAGS, cwd=tmp_path)
    wait_until(lambda: len(fold_rows(study)) == 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert integrity(study) == "ok"
    done = search("resume", "shapes-study", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = (told("predict", folder / "shapes-study", "shapes", cwd=tmp_path) for folder in (home, tmp_path))
    assert one == other


def test_a_search_that_was_stopped_is_exported_from_what_is_stored(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", {"left": 14, "top": 14})
    process = start("run", "shapes", *FLAGS, "--trials", "500", cwd=tmp_path)
    wait_until(lambda: len(fold_rows(tmp_path / "shapes-study")) >= 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 75
    done = search("export", "shapes-study", "--to", "model.keras", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(told("predict", "model.keras", "shapes", cwd=tmp_path)["images"]) == 28
