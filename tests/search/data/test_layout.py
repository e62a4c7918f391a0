"""Which folders are classes, which are training and testing, and which cannot be told."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from search.data.images import read_images
from search.data.tree import Note
from search.errors import UsageError
from search.text import printable
from tests.pictures import make_pictures, plain, write


def picture(path: Path, value: int = 77) -> Path:
    return write(path, plain(value))


def only_note(root: Path) -> Note:
    (note,) = read_images(root).notes
    return note


class TestTrainingAndTesting:
    @pytest.mark.parametrize(
        ("training", "testing"),
        [("training", "testing"), ("train", "test"), ("Train", "TEST"), ("TRAINING", "test")],
    )
    def test_go_by_several_names(self, tmp_path: Path, training: str, testing: str) -> None:
        make_pictures(tmp_path, testing={"a": 2, "b": 2})
        (tmp_path / "training").rename(tmp_path / "renamed").rename(tmp_path / training)
        (tmp_path / "testing").rename(tmp_path / "renamed").rename(tmp_path / testing)
        images = read_images(tmp_path)
        assert images.classes == ("a", "b")
        assert (int((~images.testing).sum()), int(images.testing.sum())) == (20, 4)
        assert images.notes == ()

    def test_training_may_stand_alone(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "train")
        assert read_images(tmp_path).classes == ("a", "b")

    @pytest.mark.parametrize("name", ["validation", "val", "Valid"])
    def test_validation_is_added_to_training(self, tmp_path: Path, name: str) -> None:
        make_pictures(tmp_path / "train")
        make_pictures(tmp_path / name, {"a": 2, "b": 3}, seed=1)
        images = read_images(tmp_path)
        assert images.labels.tolist().count(1) == 13
        assert not images.testing.any()
        (note,) = images.notes
        assert (note.path, note.kind, note.left_out) == (name, "merged", False)
        assert "5 files were added to training" in note.message

    def test_a_class_in_validation_alone_is_learned(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "train")
        make_pictures(tmp_path / "val", {"c": 10}, seed=1)
        assert read_images(tmp_path).classes == ("a", "b", "c")

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, {"train": 10, "bus": 10})
        images = read_images(tmp_path)
        assert images.classes == ("bus", "train")
        assert [(note.path, note.kind) for note in images.notes] == [("train", "class name")]

    def test_other_folders_beside_them_are_left_out(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, testing={"a": 1, "b": 1})
        picture(tmp_path / "models" / "x.png")
        assert only_note(tmp_path) == Note(
            "models", "outside any class", "Lies beside the training folder: all in it is left out.", True
        )

    def test_a_testing_class_may_differ_in_case(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, {"cat": 10, "dog": 10}, testing={"Cat": 2, "dog": 2})
        images = read_images(tmp_path)
        assert images.classes == ("cat", "dog")
        assert images.labels[images.testing].tolist() == [0, 0, 1, 1]
        assert [(note.path, note.kind) for note in images.notes] == [("testing/Cat", "merged")]


class TestRefused:
    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"nowhere: no such folder\. Give the folder that holds the class"):
            read_images(tmp_path / "nowhere")

    def test_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"x\.png: not a folder\. Give the folder"):
            read_images(picture(tmp_path / "x.png"))

    def test_no_class_folders(self, tmp_path: Path) -> None:
        picture(tmp_path / "x.png")
        with pytest.raises(UsageError, match="no class folders to learn from; expected FOLDER/<class>"):
            read_images(tmp_path)

    def test_only_links_to_folders(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "real")
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "a").symlink_to(tmp_path / "real" / "a")
        with pytest.raises(
            UsageError,
            match=r"no class folders to learn from, 1 symbolic links \(not followed, .*; `cp -rL .*root real` makes",
        ):
            read_images(tmp_path / "root")

    def test_training_without_class_folders(self, tmp_path: Path) -> None:
        picture(tmp_path / "train" / "x.png")
        picture(tmp_path / "test" / "x.png")
        with pytest.raises(UsageError, match="'test', 'train' hold no class folders"):
            read_images(tmp_path)

    def test_testing_without_training(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, {"cat": 3, "dog": 3})
        picture(tmp_path / "test" / "x.png")
        with pytest.raises(UsageError, match=r"has 'test' but no training folder \(beside it: 'cat', 'dog'\)"):
            read_images(tmp_path)

    def test_two_training_folders(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "train")
        make_pictures(tmp_path / "Training", seed=1)
        with pytest.raises(UsageError, match="2 folders could hold the training images: 'Training', 'train'"):
            read_images(tmp_path)

    def test_training_beside_what_may_be_classes(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "train")
        make_pictures(tmp_path, {"car": 3, "bus": 3})
        with pytest.raises(UsageError, match=r"can be read in two ways: 'train' holds folders .* 'bus', 'car' beside"):
            read_images(tmp_path)

    def test_the_message_stays_on_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"^[^\n\x1b]+$"):
            read_images(tmp_path / "a\nb\x1b[31m")


class TestWithinAClass:
    def test_nested_folders_count_with_one_note_each(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        picture(tmp_path / "a" / "more" / "1.png", 1)
        picture(tmp_path / "a" / "more" / "2.png", 2)
        picture(tmp_path / "a" / "more" / "deep" / "3.png", 3)
        images = read_images(tmp_path)
        assert images.labels.tolist().count(0) == 13
        assert [(note.path, note.kind) for note in images.notes] == [
            ("a/more", "nested"),
            ("a/more/deep", "nested"),
        ]
        assert images.notes[0].message == "Folder inside class 'a': its 2 files count for that class."

    @pytest.mark.parametrize("name", [".hidden.png", "._0001.png", "Thumbs.db", "DESKTOP.INI", "__MACOSX", ".git"])
    def test_hidden_things_are_ignored(self, tmp_path: Path, name: str) -> None:
        make_pictures(tmp_path)
        if name in {"__MACOSX", ".git"}:
            picture(tmp_path / "a" / name / "x.png")
        else:
            picture(tmp_path / "a" / "x.png").rename(tmp_path / "a" / name)
        note = only_note(tmp_path)
        assert (note.path, note.kind, note.left_out) == (f"a/{name}", "hidden", True)

    def test_a_hidden_folder_is_no_class(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        picture(tmp_path / ".ipynb_checkpoints" / "x.png")
        assert only_note(tmp_path).kind == "hidden"

    def test_a_pipe_is_not_opened(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        os.mkfifo(tmp_path / "a" / "pipe.png")
        assert only_note(tmp_path).kind == "not an image"

    def test_a_deep_folder_ends_in_a_note(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        start = Path.cwd()
        os.chdir(tmp_path / "a")
        try:
            for _ in range(30):  # step by step: the whole path is longer than a system call takes
                Path("d" * 200).mkdir()
                os.chdir("d" * 200)
        finally:
            os.chdir(start)
        note = only_note(tmp_path)
        assert (note.kind, note.left_out) == ("unreadable", True)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission_is_noted(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        (tmp_path / "a" / "0000.png").chmod(0)
        (tmp_path / "locked").mkdir(mode=0)
        images = read_images(tmp_path)
        assert [(note.path, note.kind) for note in images.notes if note.kind == "unreadable"] == [
            ("a/0000.png", "unreadable"),
            ("locked", "unreadable"),
        ]


class TestLinks:
    def test_to_a_file_inside_shows_as_a_copy(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        (tmp_path / "b" / "link.png").symlink_to("../a/0000.png")
        note = only_note(tmp_path)
        assert (note.path, note.kind, note.left_out) == ("b/link.png", "copy", False)

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("../../outside.png", "leads out of the folder"),
            ("nowhere.png", "leads nowhere"),
            ("link.png", "leads nowhere"),  # to itself
            ("..", "not followed"),
            ("../b", "nothing is counted twice"),
            ("../../elsewhere", "to a folder that leads out of the folder"),
            ("/dev/null", "leads out of the folder"),
        ],
    )
    def test_elsewhere_are_left_out(self, tmp_path: Path, target: str, said: str) -> None:
        root = make_pictures(tmp_path / "root")
        picture(tmp_path / "outside.png")
        (tmp_path / "elsewhere").mkdir()
        (root / "a" / "link.png").symlink_to(target)
        images = read_images(root)
        (note,) = images.notes
        assert (note.path, note.kind, note.left_out) == ("a/link.png", "link", True)
        assert said in note.message
        assert len(images.paths) == 20

    def test_the_root_itself_may_be_one(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "real")
        (tmp_path / "real" / "a" / "link.png").symlink_to("0000.png")
        (tmp_path / "root").symlink_to("real")
        assert only_note(tmp_path / "root").kind == "copy"


class TestNamesOfFiles:
    def test_that_differ_in_composition_or_case_are_different_files(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        names = ["caf\u00e9.png", "cafe\u0301.png", "Cat.png", "cat.png"]
        for value, name in enumerate(names):
            picture(tmp_path / "a" / name, 40 + value)
        if len(list((tmp_path / "a").iterdir())) < 14:
            pytest.skip("this file system composes names itself, or knows no case")
        images = read_images(tmp_path)
        assert images.labels.tolist().count(0) == 14
        assert images.notes == () and len(set(images.paths)) == 24


class TestNamesOfClasses:
    def test_are_printable_in_every_message(self, tmp_path: Path) -> None:
        training = {"bad\nname": 10, "b\x1b[2J": 5, "B\x1b[2J": 5, "empty\n": 0}
        make_pictures(tmp_path, training, testing={"BAD\nNAME": 2, "new\n": 2})
        picture(tmp_path / "training" / "bad\nname" / "x\ny" / "1.png")
        write(tmp_path / "training" / "b\x1b[2J" / "x\n.png", plain(77))
        notes = read_images(tmp_path).notes
        assert {"merged", "nested", "similar names", "class missing from training", "copy"} <= {n.kind for n in notes}
        assert [note.message for note in notes if printable(note.message) != note.message] == []

    def test_equal_but_for_composition_are_one_class(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, {"b": 10, unicodedata.normalize("NFC", "é"): 10})
        make_pictures(tmp_path / "x", {unicodedata.normalize("NFD", "é"): 5}, seed=1)
        folder = next((tmp_path / "x").iterdir())
        folder.rename(tmp_path / folder.name)
        (tmp_path / "x").rmdir()
        if len(list(tmp_path.iterdir())) == 2:
            pytest.skip("this file system composes names itself")
        images = read_images(tmp_path)
        assert images.classes == ("b", "é")
        assert images.labels.tolist().count(1) == 15
        assert [note.kind for note in images.notes] == ["merged"]

    def test_equal_but_for_spaces_are_two_classes_and_noted(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, {"red fox": 10, "Red_fox": 10, "_": 10, "owl ": 10}))
        assert [(note.path, note.kind) for note in images.notes] == [
            ("Red_fox", "similar names"),
            ("red fox", "similar names"),
        ]
        assert "Differs from class 'Red_fox' in spaces and case only: kept as two classes." in images.notes[1].message

    def test_equal_but_for_case_are_two_classes_and_noted(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, {"Cat": 10, "cat": 10}))
        assert images.classes == ("Cat", "cat")
        assert [(note.path, note.kind) for note in images.notes] == [
            ("Cat", "similar names"),
            ("cat", "similar names"),
        ]
