"""From a search to a model in use: what is chosen, the file, and what it says of pictures that it never saw."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.data.images import read_images
from search.manifest import ABOUT, PACKAGING, about
from search.stats.calibration import Correction
from search.text import printable
from storage import Store
from tests.commands import fold_rows, integrity, search, search_here, start, wait_until
from tests.pictures import make_pictures, make_trouble, write
from tests.search.worker.test_frozen import needs_weights

FLAGS = ("--preset", "cnn", "--trials", "2", "--folds", "2", "--epochs", "6", "--workers", "1")

LOSES = """
import keras

def build(hp):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(hp.Choice("units", [2]), activation="softmax")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("adam", lost)
    return model

def lost(truth, said):
    raise ValueError("not today")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of pictures with a testing folder."""
    folder = tmp_path_factory.mktemp("choice")
    make_pictures(folder / "shapes", {"left": 14, "top": 14}, testing={"left": 5, "top": 5})
    done = search("run", "shapes", *FLAGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def as_json(*arguments: str | Path, cwd: Path) -> Any:
    """What a command prints with `--json`."""
    done = search_here(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_finished_search_has_a_model_and_says_how_it_does_on_the_images_kept_apart(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    assert "Chosen: " in printed and "On the 10 images kept apart for testing it scores " in " ".join(printed.split())
    assert (home / "shapes-study" / "models" / "choice.keras").is_file()


def test_accuracy_on_the_testing_folder_from_what_predict_says_is_the_report_s(home: Path) -> None:
    answers = as_json("predict", "shapes-study", "shapes/testing", cwd=home)["images"]
    assert len(answers) == 10
    right = [answer["class"] == Path(answer["path"]).parent.name for answer in answers]
    report = as_json("report", "shapes-study", cwd=home)
    assert report["test"]["value"] == pytest.approx(np.mean(right))
    assert report["test"]["low"] <= report["test"]["value"] <= report["test"]["high"]
    assert report["test"]["images"] == 10 and report["test"]["times"] == 1
    assert report["chosen"]["current"]
    members = report["chosen"]["members"]
    assert report["chosen"]["number"] == (members[0]["number"] if len(members) == 1 else None)


def test_labels_in_doubt_are_written_as_a_table_and_pictures_are_in_the_page(home: Path, tmp_path: Path) -> None:
    page, table = home / "shapes-study" / "report.html", tmp_path / "labels.csv"
    assert page.read_text().count('src="data:image/png;base64,') >= 12, "the least sure predictions at least"
    data = as_json("report", "shapes-study", "--labels", table, cwd=home)
    rows = [*csv.DictReader(io.StringIO(table.read_text()))]
    assert [row["path"] for row in rows] == [label["path"] for label in data["labels"]]
    assert all((home / "shapes" / row["path"]).parent.name == row["label"] for row in rows)
    wrong = sum(mistaken["count"] for mistaken in data["mistakes"])
    confusion = np.array(data["out_of_fold"]["confusion"])
    assert wrong == confusion.sum() - confusion.trace() and len(data["least_sure"]) == 12
    refused = search_here("report", "shapes-study", "--labels", tmp_path / "none" / "x.csv", cwd=home)
    assert refused.returncode == 2 and "--labels: " in refused.stderr and "Traceback" not in refused.stderr
    told = search_here("report", "shapes-study", "--labels", table, cwd=home)
    assert f"labels that look wrong: {table}\n" in told.stdout


def test_what_was_stored_of_the_testing_images_is_what_the_file_says_of_their_pictures(home: Path) -> None:
    answers = as_json("predict", "shapes-study", "shapes/testing", cwd=home)
    with Store.open(home / "shapes-study" / "study.db", read_only=True) as store:
        stored = store.choices()[-1].probabilities
    assert stored is not None
    said = [list(answer["probabilities"].values()) for answer in answers["images"]]
    known = about(home / "shapes-study" / "models" / "choice.keras")
    np.testing.assert_allclose(said, Correction(known.temperature, known.doubt).of(stored), atol=1e-5)
    assert answers["classes"] == ["left", "top"]


@needs_weights
def test_a_model_without_a_head_on_frozen_features_tells_what_is_unknown_too(home: Path, tmp_path: Path) -> None:
    """By the network of the linear probe, whatever was searched."""
    write(tmp_path / "noise.png", Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)))
    answers = as_json("predict", "shapes-study", "shapes/training", tmp_path / "noise.png", "--unknown", cwd=home)
    *own, noise = (answer["unknown"] for answer in answers["images"])
    assert noise and answers["images"][-1]["path"].endswith("noise.png")
    assert sum(own) <= len(own) / 2


def test_an_exported_model_answers_as_the_study_does_without_it(home: Path, tmp_path: Path) -> None:
    done = search_here("export", "shapes-study", "--to", tmp_path / "shapes.keras", cwd=home)
    assert done.returncode == 0, done.stderr
    shutil.copytree(home / "shapes" / "training", tmp_path / "own")
    moved = as_json("predict", "shapes.keras", "own", cwd=tmp_path)
    there = as_json("predict", home / "shapes-study", "own", cwd=tmp_path)
    assert moved == there and len(moved["images"]) == 28


def test_a_converted_model_answers_as_the_study_does_and_has_a_card(home: Path, tmp_path: Path) -> None:
    """A SavedModel, which needs no extra; the other formats: `tests/search/export/test_formats.py`."""
    target = tmp_path / "saved"
    told = as_json("export", "shapes-study", "--to", target, cwd=home)
    assert told["agreement"]["largest"] < 1e-5 and told["agreement"]["images"] == 38
    assert (told["agreement"]["judged"], told["agreement"]["testing"]) == (10, True)
    assert told["card"] == str(tmp_path / "saved.card.md") and "How good it is" in Path(told["card"]).read_text()
    ours, theirs = (as_json("predict", model, "shapes/testing", cwd=home) for model in ("shapes-study", target))
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        assert one["class"] == other["class"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_without_the_images_nothing_is_converted(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "shapes-study", tmp_path / "study")
    toml = tmp_path / "study" / "study.toml"
    toml.write_text(toml.read_text().replace(str(home / "shapes"), "gone"))
    done = search_here("export", "study", "--to", "saved", cwd=tmp_path)
    assert done.returncode == 2 and "its images are not in study/gone any more" in done.stderr
    assert not (tmp_path / "saved").exists()


def test_the_winner_as_code_trains_it_again(home: Path, tmp_path: Path) -> None:
    done = search("export", "shapes-study", "--to", tmp_path / "train.py", "--json", cwd=home)
    assert done.stderr == "", "TensorFlow's start messages read as failures"
    told = json.loads(done.stdout)
    assert {Path(file).name for file in told["files"]} == {"train.py", "train.csv"}
    rows = list(csv.DictReader((tmp_path / "train.csv").open()))
    assert len(rows) == 38 and {row["fold"] for row in rows} == {"0", "1", "test"}
    names: dict[str, Any] = {"__name__": "train", "__file__": str(tmp_path / "train.py")}
    exec((tmp_path / "train.py").read_text(), names)  # noqa: S102 - our own code
    data = names["read_table"](tmp_path / "train.csv", home / "shapes")
    assert data[0].shape == (38, 8, 8, 1) and names["CLASSES"] == ["left", "top"]


def test_the_winner_is_no_code_where_its_pictures_or_settings_are_others(home: Path, tmp_path: Path) -> None:
    """They decide the network: the code would be of another one than the winner."""
    shutil.copytree(home, tmp_path / "home")
    toml = tmp_path / "home" / "shapes-study" / "study.toml"
    settings = toml.read_text().replace(str(home / "shapes"), str(tmp_path / "home" / "shapes"))
    toml.write_text(settings.replace("folds = 2", "folds = 3"))
    next((tmp_path / "home" / "shapes" / "training" / "left").iterdir()).unlink()
    done = search_here("export", "shapes-study", "--to", "train.py", cwd=tmp_path / "home")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "images: 1 gone: " in done.stderr and "folds: the study has 2, asked is 3" in done.stderr
    assert not (tmp_path / "home" / "train.py").exists()


def test_it_loads_in_keras_alone_in_safe_mode(home: Path) -> None:
    import keras

    model = keras.saving.load_model(home / "shapes-study" / "models" / "choice.keras", safe_mode=True)
    said = model.predict(np.zeros((1, 8, 8, 1), np.float32), verbose=0)
    assert said.shape == (1, 2) and said.sum() == pytest.approx(1, abs=1e-5)


PLAIN_KERAS = """
import sys
from pathlib import Path
import keras
import numpy as np
from PIL import Image
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
classes = sorted(path.name for path in Path(sys.argv[2]).iterdir())
files = sorted(Path(sys.argv[2]).glob("*/*.png"))
x = np.stack([np.asarray(Image.open(file).convert("L"), np.float32)[..., None] for file in files])
truth = np.array([classes.index(file.parent.name) for file in files])
for said in (model(x), model(x, training=False), model.predict(x, verbose=0)):
    right = np.asarray(said).argmax(axis=1) == truth
    print(np.mean([right[truth == label].mean() for label in range(len(classes))]))
"""


def test_keras_alone_in_a_process_of_its_own_scores_on_the_testing_folder_what_the_report_says(
    home: Path, tmp_path: Path
) -> None:
    """Without this project: decoded with Pillow, and called in each of the ways that Keras has."""
    model = home / "shapes-study" / "models" / "choice.keras"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN_KERAS, model, home / "shapes" / "testing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = as_json("report", "shapes-study", cwd=home)
    assert [float(line) for line in ran.stdout.split()] == [pytest.approx(report["test"]["value"])] * 3


def of_the_first_release(model: Path) -> None:
    """Have the file say nothing of how it was packaged."""
    with zipfile.ZipFile(model) as source:
        content = {name: source.read(name) for name in source.namelist()}
    about = json.loads(content[ABOUT])
    assert about.pop("packaging") == PACKAGING
    content[ABOUT] = json.dumps(about).encode()
    with zipfile.ZipFile(model, "w") as target:
        for name, data in content.items():
            target.writestr(name, data)


def test_a_model_of_an_earlier_release_is_named_by_predict_and_report_and_made_anew_by_export(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "home")
    folder = tmp_path / "home"
    of_the_first_release(folder / "shapes-study" / "models" / "choice.keras")
    shutil.copy(folder / "shapes-study" / "models" / "choice.keras", folder / "old.keras")
    for model, command in (
        ("shapes-study", "search export shapes-study --to FILE.keras"),
        ("old.keras", "search export shapes-study --to old.keras"),
    ):
        done = search_here("predict", model, "shapes/testing", cwd=folder)
        assert done.returncode == 0 and f"{model}: its model was made by an earlier release" in done.stderr
        assert f"`{command}` makes it anew" in done.stderr
    said = " ".join(search_here("report", "shapes-study", cwd=folder).stdout.split())
    assert "Its file was made by an earlier release" in said and "`search export --to FILE.keras` makes it anew" in said
    assert as_json("report", "shapes-study", cwd=folder)["chosen"]["outdated"]
    done = search_here("export", "shapes-study", "--to", "old.keras", "--workers", "0", cwd=folder)
    assert done.returncode == 0, done.stderr
    for model in ("shapes-study", "old.keras"):
        assert search_here("predict", model, "shapes/testing", cwd=folder).stderr == ""
    assert not as_json("report", "shapes-study", cwd=folder)["chosen"]["outdated"]


def test_csv_has_a_line_a_picture_and_what_cannot_be_read_is_named_with_exit_code_1(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but not really")
    shutil.copy(home / "shapes" / "testing" / "left" / "0000.png", tmp_path / "a, b.png")
    done = search_here("predict", home / "shapes-study", tmp_path, "--csv", cwd=home)
    assert done.returncode == 1
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["path", "class", "left", "top"]
    assert [Path(row[0]).name for row in rows[1:]] == ["a, b.png"]
    assert "broken.png: " in done.stderr and "Traceback" not in done.stderr


def test_what_training_leaves_out_is_refused_in_its_words_and_what_is_no_picture_is_passed_over(
    home: Path, tmp_path: Path
) -> None:
    root = make_trouble(tmp_path / "trouble")
    images = read_images(root)
    done = search_here("predict", home / "shapes-study", "trouble", "--json", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    printed = json.loads(done.stdout)
    of_classes = {"outside any class", "empty class", "class missing from training"}
    left_out = {
        f"trouble/{note.path}": note
        for note in images.notes
        if note.left_out and note.kind not in of_classes | {"hidden"}
    }
    strays = {f"trouble/{path}" for path in ("README.md", "training/bag/drawing.svg", "training/sneaker/notes.txt")}
    assert set(printed["passed_over"]) == strays
    assert {one["path"] for one in printed["unreadable"]} == left_out.keys() - strays
    for one in printed["unreadable"]:
        assert left_out[one["path"]].message.startswith(one["problem"])
        assert "left out" not in one["problem"].lower()
    read = {one["path"] for one in printed["images"]}
    assert {f"trouble/{printable(path)}" for path in images.paths} <= read
    assert "trouble/training/bag/bad_crc.png: Cannot be decoded" in done.stderr


def test_a_folder_with_strays_beside_its_pictures_is_no_failure_and_a_stray_that_is_named_is(
    home: Path, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "new", {"a": 2})
    (tmp_path / "new" / "a" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "new" / "notes.txt").write_text("remember the milk")
    done = search_here("predict", home / "shapes-study", "new", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "search: passed over, no pictures: new/notes.txt\n")
    assert len(done.stdout.splitlines()) == 2
    done = search_here("predict", home / "shapes-study", "new/notes.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "new/notes.txt: Not one of PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM" in done.stderr


@pytest.mark.slow
def test_a_choice_from_before_the_search_went_on_is_used_and_said_to_be_old(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    folder = tmp_path / "home"
    before = len(fold_rows(folder / "shapes-study"))
    assert search("predict", "shapes-study", "shapes", cwd=folder).stderr == ""
    process = start("resume", "shapes-study", "--trials", "500", "--workers", "1", cwd=folder)
    wait_until(lambda: len(fold_rows(folder / "shapes-study")) > before)
    process.send_signal(signal.SIGINT)
    process.communicate()
    done = search("predict", "shapes-study", "shapes", cwd=folder)
    assert done.returncode == 0
    assert done.stderr == (
        "search: shapes-study: more has been searched since its model was made; "
        "`search export shapes-study --to FILE.keras` makes it anew\n"
    )
    done = search("export", "shapes-study", "--to", "FILE.keras", "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    for model in ("shapes-study", "FILE.keras"):
        assert search("predict", model, "shapes", cwd=folder).stderr == ""


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"classes": ["left", "top"], "image_shape": [9, 9, 1]}, "is damaged: its network takes (None, 8, 8, 1)"),
        ({"classes": list("abcde"), "image_shape": [8, 8, 1]}, "is damaged: its network takes (None, 8, 8, 1)"),
        ({"classes": ["left", "left"], "image_shape": [8, 8, 1]}, "is damaged: classes ['left', 'left']"),
        ({"classes": ["left", "top"], "image_shape": [100000, 100000, 1]}, "is damaged: classes ['left', 'top']"),
        ({"classes": ["left", "top"], "image_shape": [float("inf"), 8, 1]}, "is no model of `search export`"),
        ("[" * 100_000, "is no model of `search export`"),
    ],
)
def test_a_file_that_says_of_itself_what_is_not_true_is_refused(
    home: Path, tmp_path: Path, about: dict[str, Any] | str, said: str
) -> None:
    real, altered = home / "shapes-study" / "models" / "choice.keras", tmp_path / "model.keras"
    with zipfile.ZipFile(real) as source, zipfile.ZipFile(altered, "w") as target:
        for name in source.namelist():
            text = about if isinstance(about, str) else json.dumps(about)
            target.writestr(name, text if name == ABOUT else source.read(name))
    done = search_here("predict", altered, "shapes/testing", cwd=home)
    assert done.returncode == 2
    assert "model.keras" in done.stderr and said in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


def test_a_picture_of_another_size_and_in_colour_is_read_as_in_training(home: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "large", {"a": 2}, size=50, colour=True)
    assert len(as_json("predict", home / "shapes-study", tmp_path / "large", cwd=home)["images"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "nothing", "shapes"), "nothing does not exist"),
        (("predict", "shapes", "shapes"), "neither a study nor a model"),
        (("predict", "printed.txt", "shapes"), "is no model of `search export`"),
        (("predict", "shapes-study", "missing.png"), "missing.png does not exist"),
        (("predict", "shapes-study", "/dev/null"), "/dev/null is neither a file nor a folder"),
        (("export", "shapes-study"), "--to: name the file to write"),
        (("export", "shapes-study", "--to", "model.h5"), "must end in .keras, .tflite, .onnx, .py, or be a folder"),
        (("export", "shapes-study", "--to", "shapes"), "this folder has other files in it"),
        (("export", "shapes-study", "--to", "model.keras", "--quantize", "int8"), "--quantize: is for converted files"),
        (("export", "shapes-study", "--to", "no/such/model.keras"), "there is no folder no/such"),
    ],
)
def test_a_mistake_is_one_message(home: Path, arguments: tuple[str, ...], said: str) -> None:
    done = search_here(*arguments, cwd=home)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_search_that_went_on_has_a_new_choice_and_the_test_says_it_was_used_twice(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    done = search_here("resume", "shapes-study", "--trials", "3", "--workers", "0", cwd=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    report = as_json("report", "shapes-study", cwd=tmp_path / "home")
    assert report["test"]["times"] == 2 and report["chosen"]["current"]
    again = search_here("run", "shapes-study", cwd=tmp_path / "home")
    assert "nothing left to do: 3 of 3 trials are done" in again.stdout


@pytest.mark.slow
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
    one, other = (as_json("predict", folder / "shapes-study", "shapes", cwd=tmp_path) for folder in (home, tmp_path))
    assert one == other


@pytest.mark.slow
def test_a_kept_network_whose_file_was_damaged_is_trained_again(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    study = tmp_path / "home" / "shapes-study"
    (study / "models" / "choice.keras").unlink()
    for path in (study / "cache" / "refits").iterdir():
        path.write_bytes(path.read_bytes()[:-500])
    done = search("export", "shapes-study", "--to", "model.keras", "--workers", "1", cwd=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    one, other = (
        as_json("predict", folder / "shapes-study", "shapes", cwd=folder) for folder in (home, tmp_path / "home")
    )
    assert one == other


def test_an_export_that_is_asked_to_stop_says_so_and_the_same_command_goes_on(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "shapes-study", tmp_path / "study")
    shutil.copytree(home / "shapes", tmp_path / "shapes")
    shutil.rmtree(tmp_path / "study" / "cache" / "refits")
    (tmp_path / "study" / "models" / "choice.keras").unlink()
    process = start("export", "study", "--to", "model.keras", "--workers", "1", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("training the choice")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    stopped = "search: stopped; nothing that was stored is lost, and the same command can be run again\n"
    assert (process.returncode, err) == (75, stopped)
    assert not (tmp_path / "model.keras").exists()


def test_a_search_without_a_result_fails_and_every_command_names_the_one_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.session.time_left.FIRST_FOLD", 0.0)
    make_pictures(tmp_path / "shapes", {"left": 14, "top": 14})
    begun = search_here("run", "shapes", *FLAGS, "--trials", "1", "--hours", "0.00001", cwd=tmp_path)
    again = search_here("run", "shapes-study", cwd=tmp_path)
    asked = search_here("predict", "shapes-study", "shapes", cwd=tmp_path)
    exported = search_here("export", "shapes-study", "--to", "model.keras", cwd=tmp_path)
    assert [done.returncode for done in (begun, again, asked, exported)] == [1, 1, 2, 2]
    on = "search resume shapes-study --time 1m"
    assert begun.stderr.endswith(f"go on with: {on} --workers 1\n")
    for done in (begun, again, asked, exported):
        assert "shapes-study: no trial is complete, so there is no model, and " in done.stderr
        assert " of 1s are used; " in done.stderr and f"go on with: {on}" in done.stderr
    resumed = search_here(*on.split()[1:], "--workers", "0", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert len(as_json("predict", "shapes-study", "shapes", cwd=tmp_path)["images"]) == 28


def test_a_study_whose_trials_all_failed_goes_on_with_more_of_them(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", {"left": 14, "top": 14})
    (tmp_path / "net.py").write_text(LOSES)
    flags = ("--model", "net.py:build", "--trials", "1", "--folds", "2", "--workers", "0")
    assert search_here("run", "shapes", *flags, cwd=tmp_path).returncode == 1
    done = search_here("predict", "shapes-study", "shapes", cwd=tmp_path)
    assert done.returncode == 2
    assert "it failed (error: " in done.stderr and "not today" in done.stderr
    assert done.stderr.endswith("go on with: search resume shapes-study --trials 2 --model net.py:build\n")


def test_a_study_that_has_not_begun_has_no_model_and_says_what_starts_it(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes")
    assert search_here("init", "shapes", cwd=tmp_path).returncode == 0
    done = search_here("predict", "shapes-study", "shapes", cwd=tmp_path)
    assert (done.returncode, "`search run shapes-study` starts it" in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_search_that_was_stopped_is_exported_from_what_is_stored(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", {"left": 14, "top": 14})
    process = start("run", "shapes", *FLAGS, "--trials", "500", cwd=tmp_path)
    wait_until(lambda: len(fold_rows(tmp_path / "shapes-study")) >= 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 75
    done = search("export", "shapes-study", "--to", "model.keras", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(as_json("predict", "model.keras", "shapes", cwd=tmp_path)["images"]) == 28
