"""`search check`, and what `init`, `run` and the report make of what it finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.commands.check import look_over
from search.session.prepare import prepare
from search.study.config import parse
from search.study.database import create
from search.study.folder import StudyFolder
from storage import RunRecord
from tests.commands import search, search_here
from tests.pictures import make_pictures, make_trouble, write

HOSTILE = '"><img src=x onerror=alert(1)>.png'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures`: a leak, a contradiction under a hostile name, a copy, and a file that is none."""
    home = tmp_path_factory.mktemp("home")
    root = make_pictures(home / "pictures", {"a": 8, "b": 8}, testing={"a": 3, "b": 3})
    shutil.copy(root / "testing" / "a" / "0000.png", root / "training" / "a" / "leak.png")
    shutil.copy(root / "training" / "a" / "0001.png", root / "training" / "b" / HOSTILE)
    shutil.copy(root / "training" / "b" / "0002.png", root / "training" / "b" / "again.png")
    (root / "training" / "b" / "notes.txt").write_text("none")
    return home


def test_it_tells_all_and_writes_a_page_that_holds_no_foreign_tag(home: Path) -> None:
    done = search("check", "pictures", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "1 training image is a copy of a testing image: in no fold" in done.stdout
    assert "1 picture is in two classes" in done.stdout
    assert "2 training images are copies of others (all exactly)" in done.stdout
    assert "folds: 5" in done.stdout
    page = (home / "pictures-check.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "<img src=x" not in page
    assert "<script" not in page
    assert "One picture in two classes" in page


def test_json_is_one_object_and_writes_nothing(home: Path, tmp_path: Path) -> None:
    done = search_here("check", home / "pictures", "--json", cwd=tmp_path)
    data = json.loads(done.stdout)
    assert {"contradiction", "leak", "copy"} == {pair["kind"] for pair in data["pairs"]}
    assert data["folds"] == 5
    assert [row["searched"] for row in data["classes"]] == [8, 10]
    assert [row["independent"] for row in data["classes"]] == [8, 9]
    assert any(note["left_out"] for note in data["notes"])
    assert list(tmp_path.iterdir()) == []


def test_where_most_files_are_no_pictures_it_is_asked_whether_the_folder_is_right(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "project", {"a": 3, "b": 3})
    for number in range(25):
        (root / "a" / f"{number}.txt").write_text("words")
    _, found = look_over(root, None, None)
    assert found.doubt == "25 of the 31 files in it are no pictures."
    for number in range(10):
        (root / "a" / f"{number}.txt").unlink()
    assert not look_over(root, None, None)[1].doubt


def test_how_a_set_was_understood_is_one_line_and_in_json(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pictures", {"cat": 6, "dog": 6, "bird": 6})
    rows = ["file,breed"]
    for place, path in enumerate(sorted(root.rglob("*.png"))):
        path.rename(root / f"{path.parent.name}_{place}.png")
        rows.append(f"{path.parent.name}_{place},{path.parent.name}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    refused = search_here("check", root, cwd=tmp_path)
    assert (refused.returncode, "--label-pattern" in refused.stderr) == (2, True)
    options = ["--labels", str(tmp_path / "labels.csv"), "--merge", "pet=cat+dog"]
    done = search_here("check", root, *options, cwd=tmp_path)
    line = (
        "Read as: the class of each picture from labels.csv (path = file, label = breed). As you say, 'cat', 'dog' are "
        "read as 'pet'."
    )
    assert (done.returncode, done.stdout.count(line)) == (0, 1)
    assert "no copies and no contradictions were found" in done.stdout
    assert json.loads(search_here("check", root, *options, "--json", cwd=tmp_path).stdout)["layout"] == line
    wrong = search_here("check", root, *options, "--classes", "pte,bird", cwd=tmp_path)
    assert (wrong.returncode, "did you mean 'pet'?" in wrong.stderr) == (2, True)
    plain = search_here("check", make_pictures(tmp_path / "plain"), "--json", cwd=tmp_path)
    assert json.loads(plain.stdout)["layout"] == "One folder a class."


def test_pictures_of_one_time_are_written_as_a_table_that_groups_takes(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(8):
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"2024:01:01 {ord(name) - 88:02}:{number // 2:02}:{number % 2:02}"
            pixels = np.random.default_rng([number, ord(name)]).integers(0, 99, (8, 8), np.uint8)
            write(tmp_path / "pictures" / name / f"{number}.png", Image.fromarray(pixels), exif=exif.tobytes())
    done = search_here("check", tmp_path / "pictures", cwd=tmp_path)
    assert "pictures of one time, for --groups: pictures-scenes.csv" in done.stdout
    again = search_here("check", tmp_path / "pictures", "--groups", "pictures-scenes.csv", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "8 groups named, each in one fold." in again.stdout


def test_images_that_cannot_be_searched_are_shown_and_refused(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pictures", {"a": 6, "b": 6})
    done = search_here("check", root, "--groups", "(b)/", cwd=tmp_path)
    assert done.returncode == 2
    assert "class 'b' has 6 training images, of which 1 are independent" in done.stderr
    assert (tmp_path / "pictures-check.html").exists()


def test_a_study_keeps_groups_in_one_fold_leaves_copies_out_and_remembers_it(home: Path, tmp_path: Path) -> None:
    config = parse({"images": str(home / "pictures"), "groups": "training/./000([0-9])"}, "test")
    prepared = prepare(config, tmp_path)
    with create(StudyFolder(tmp_path), prepared) as store:
        assignment, images, notes = store.split().assignment, store.images(), store.study().notes
    fold = {image.path: int(assignment[image.row]) for image in images}
    assert fold["training/a/leak.png"] == -1
    for number in range(8):
        assert fold[f"training/a/000{number}.png"] == fold[f"training/b/000{number}.png"] >= 0
    assert fold["training/b/again.png"] == fold["training/b/0002.png"]
    assert prepared.identity["groups"] == "training/./000([0-9])"
    assert prepared.facts.images == int((assignment >= 0).sum()) == 18
    assert notes[0] == "Left out of the images: 1 not an image."
    assert any("8 groups named" in note for note in notes)


def test_init_writes_the_groups_and_tells_the_findings_in_lines(home: Path, tmp_path: Path) -> None:
    table = home / "who.csv"
    table.write_text("path,group\ntraining/a/0003.png,x\ntraining/a/0004.png,x\n")
    done = search_here("init", "pictures", "--groups", "who.csv", "--dir", tmp_path / "study", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "1 group named, each in one fold." in done.stdout
    assert f'groups = "{table}"' in (tmp_path / "study" / "study.toml").read_text()


def test_sets_full_of_trouble_are_looked_over(tmp_path: Path) -> None:
    images, image_findings = look_over(make_trouble(tmp_path / "pictures"), None, None)
    assert image_findings.problem is None
    assert image_findings.images == len(images.labels)
    leaked = {pair.first.path for pair in image_findings.pairs if pair.second.testing}
    assert leaked


def test_colour_that_tells_classes_apart_is_told(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pictures", {"grey": 6})
    for number in range(6):
        write(root / "colour" / f"{number}.png", np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8))
    _, image_findings = look_over(root, None, None)
    assert any("Class grey is grey and class colour is in colour" in sentence for sentence in image_findings.sentences)


def test_a_class_of_a_fixed_camera_costs_other_classes_none_of_their_copies(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    scene = rng.integers(0, 200, (32, 32), np.uint8)
    for number in range(30):
        write(tmp_path / "training" / "camera" / f"{number:02}.png", scene + rng.integers(0, 8, scene.shape, np.uint8))
        write(tmp_path / "training" / "other" / f"{number:02}.png", rng.integers(0, 200, (32, 32), np.uint8))
    for name in ("00", "01"):  # nearly the same, once in training and once in testing
        part = "testing" if name == "00" else "training"
        pixels = np.asarray(Image.open(tmp_path / "training" / "other" / f"{name}.png"))
        write(tmp_path / part / "other" / f"{name}_brighter.png", pixels + 20)
    _, image_findings = look_over(tmp_path, None, None)
    rows = {row.name: (row.searched, row.independent) for row in image_findings.classes}
    assert rows == {"camera": (30, 30), "other": (30, 29)}
    said = " ".join(image_findings.sentences)
    assert "30 pictures of class camera are nearly equal to others there" in said
    assert "1 training image is a copy of a testing image: in no fold" in said
    assert "1 training image is a copy of another (all nearly)" in said
    assert [pair.first.path for pair in image_findings.pairs] == ["training/other/00.png", "training/other/01.png"]


def test_training_images_of_a_group_that_is_in_testing_are_in_no_fold_and_this_is_said(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pictures", {"a": 12, "b": 12}, testing={"a": 2, "b": 2})
    _, image_findings = look_over(root, "./00([0-9]+)", None)  # 00 and 01 of both classes are in both parts
    assert [(row.searched, row.testing) for row in image_findings.classes] == [(10, 2), (10, 2)]
    assert (
        "4 training images are of groups that are in testing too, such as training/a/0000.png: in no fold, so that "
        "the test stays a test."
    ) in image_findings.sentences
    _, image_findings = look_over(root, "(training|testing)", None)
    assert image_findings.problem is not None and "independent" in image_findings.problem
    _, image_findings = look_over(root, "/([ab])/", None)
    assert image_findings.problem is not None
    assert "is a copy of a testing image, or of a group that has one" in image_findings.problem


def test_pictures_of_a_fixed_camera_count_for_nothing_and_this_is_told_wherever_scores_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    scene = rng.integers(0, 200, (32, 32), np.uint8)
    for number in range(12):
        moment = scene + rng.integers(0, 8, scene.shape, np.uint8)
        write(tmp_path / "pictures" / ("day" if number % 2 else "night") / f"{number}.png", moment)
    said = (
        "12 pictures of the classes day, night are nearly equal to others there, too many for all of them to be "
        "copies, as pictures of a fixed camera are."
    )
    done = search_here("check", "pictures", cwd=tmp_path)
    assert said in done.stdout and "folds: 5" in done.stdout
    page = (tmp_path / "pictures-check.html").read_text()
    assert said in page and "data:image" not in page
    assert said in search_here("init", "pictures", cwd=tmp_path).stdout  # which tells what `run` tells
    study = tmp_path / "pictures-study"
    with create(StudyFolder(study), prepare(parse({"images": "../pictures"}, "test"), study)) as store:
        run = store.start_run(RunRecord("2025-01-01T00:00:00+00:00", "search run", {}, "box", 1))
        store.end_run(run, "stopped", 1.0)
    assert said in " ".join(search_here("report", study, cwd=tmp_path).stdout.split())
    assert said in (study / "report.html").read_text()
