"""Folders as people bring them: which of them are classes, and which are for training and testing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from search.data.images import ImageSet, read_images
from search.data.origin import Origin
from search.data.tree import DOUBT, Note
from search.errors import UsageError
from tests.pictures import noise, write, write_bytes


def fill(root: Path, *folders: str, each: int = 3, size: int = 8) -> Path:
    """`each` pictures in every folder, all different, under the same names."""
    for place, folder in enumerate(folders):
        for number in range(each):
            write(root / folder / f"{number}.png", noise(np.random.default_rng([len(folders), place, number]), size))
    return root


def counts(images: ImageSet) -> dict[str, tuple[int, int]]:
    """Training and testing images by class."""
    rows = [(images.labels == label, name) for label, name in enumerate(images.classes)]
    return {name: (int((of & ~images.testing).sum()), int((of & images.testing).sum())) for of, name in rows}


def of_kind(images: ImageSet, kind: str) -> list[Note]:
    return [note for note in images.notes if note.kind == kind]


def refusal(root: Path) -> str:
    with pytest.raises(UsageError) as refused:
        read_images(root)
    return str(refused.value)


class TestSplitsUnderOtherNames:
    @pytest.mark.parametrize(
        ("training", "testing"),
        [
            ("scenes_train/scenes_train", "scenes_test/scenes_test"),
            ("TrainingSet", "TestSet"),
            ("train-images", "eval-images"),
            ("train2017", "test2017"),
            ("Xtrain", "Xtest"),
            ("trainset", "holdout"),
            ("Train/images", "Test/images"),
            ("data/train", "data/test"),
            ("unpacked/leaves/train", "unpacked/leaves/test"),
            ("images/train", "images/test"),
            ("train_resized", "test"),
        ],
    )
    def test_are_read_with_one_note(self, tmp_path: Path, training: str, testing: str) -> None:
        fill(tmp_path, *(f"{part}/{name}" for part in (training, testing) for name in ("oak", "elm", "ash")))
        images = read_images(tmp_path)
        assert counts(images) == {"ash": (3, 3), "elm": (3, 3), "oak": (3, 3)}
        (note,) = of_kind(images, "layout")
        assert (
            note.path == "."
            and f"'{training}' for training" in note.message
            and f"'{testing}' for testing" in note.message
        )

    @pytest.mark.parametrize("name", ["dev", "val_data", "ValidationSet"])
    def test_validation_is_added_to_training(self, tmp_path: Path, name: str) -> None:
        images = read_images(fill(tmp_path, "train_data/a", "train_data/b", f"{name}/a", f"{name}/b"))
        assert counts(images) == {"a": (6, 0), "b": (6, 0)}
        assert [note.path for note in of_kind(images, "merged")] == [name]

    def test_pictures_without_labels_are_left_out_in_one_note(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "train/a", "train/b", "val/images", "test/test", "seg_pred/seg_pred"))
        assert counts(images) == {"a": (3, 0), "b": (3, 0)}
        assert [(note.path, note.left_out) for note in of_kind(images, "outside any class")] == [
            ("seg_pred", True),
            ("test", True),
            ("val", True),
        ]
        assert not of_kind(images, "class missing from testing")

    def test_splits_may_lie_in_the_classes(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "owl/train", "owl/test", "jay/Train", "jay/Test", "emu/train", "emu/val"))
        assert counts(images) == {"emu": (6, 0), "jay": (3, 3), "owl": (3, 3)}
        assert len(of_kind(images, "layout")) == 1 and not of_kind(images, "nested")

    def test_splits_may_lie_in_one_class_alone(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "owl/train", "owl/test", "jay"))
        assert counts(images) == {"jay": (3, 0), "owl": (3, 3)}

    @pytest.mark.parametrize(("other", "beside"), [("owl/aug", "'aug'"), ("owl", "3 pictures")])
    def test_splits_in_a_class_beside_other_pictures_of_it_are_refused(
        self, tmp_path: Path, other: str, beside: str
    ) -> None:
        message = refusal(fill(tmp_path, "owl/train", "owl/test", other, "jay"))
        assert (
            f"'owl' holds 'test', 'train', which are parts of a set by their names, and beside them {beside}" in message
        )

    def test_splits_may_lie_in_the_names_of_classes(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "owl_train", "owl_test", "emu 2_train", "emu 2_test"))
        assert counts(images) == {"emu 2": (3, 3), "owl": (3, 3)}
        assert len(of_kind(images, "layout")) == 1

    def test_splits_in_a_split_are_refused(self, tmp_path: Path) -> None:
        message = refusal(fill(tmp_path, "train/train/a", "train/train/b", "train/val/a", "train/val/b", "test/a"))
        assert "'train' holds 'train', 'val', which are parts of a set by their names" in message

    @pytest.mark.parametrize("name", ["fold_1", "Part_A", "batch 7", "subset-b", "augmented", "Raw"])
    def test_parts_that_no_word_calls_training_are_refused(self, tmp_path: Path, name: str) -> None:
        message = refusal(fill(tmp_path, f"{name}/a", f"{name}/b", "fold_2/a", "fold_2/b"))
        assert "are parts of a set by their names, and each holds 'a', 'b'" in message and f"'{name}'" in message

    @pytest.mark.parametrize(("pictures", "other"), [("images", "labels"), ("imgs", "masks"), ("data", "annotations")])
    def test_labels_beside_images_are_left_out(self, tmp_path: Path, pictures: str, other: str) -> None:
        parts = [
            f"{folder}/{part}/{name}" for folder in (pictures, other) for part in ("train", "val") for name in "ab"
        ]
        images = read_images(fill(tmp_path, *parts))
        assert counts(images) == {"a": (6, 0), "b": (6, 0)}
        (note,) = of_kind(images, "outside any class")
        assert (note.path, note.left_out) == (other, True)
        assert f"masks or labels of the pictures in '{pictures}'" in note.message

    def test_classes_that_are_called_so_are_classes(self, tmp_path: Path) -> None:
        assert counts(read_images(fill(tmp_path, "labels", "images"))) == {"images": (3, 0), "labels": (3, 0)}
        assert set(counts(read_images(fill(tmp_path / "x", "masks/a", "faces/a")))) == {"masks", "faces"}

    @pytest.mark.parametrize("folders", [("train_ok", "test_ok"), ("train_ok", "test_ok", "train_bad")])
    def test_parts_of_one_class_in_names_are_refused_with_the_next_step(
        self, tmp_path: Path, folders: tuple[str, ...]
    ) -> None:
        message = refusal(fill(tmp_path, *folders))
        assert "By their names 'test_ok', 'train_ok' are parts of a class, 'ok'" in message
        assert (
            "each of two or more classes needs one for training and one for testing. If they are classes, rename"
            in message
        )

    def test_pictures_in_the_splits_themselves_are_refused(self, tmp_path: Path) -> None:
        assert "'test_set', 'train_set' hold no class folders" in refusal(fill(tmp_path, "train_set", "test_set"))


class TestHonestClasses:
    @pytest.mark.parametrize(
        "names",
        [
            ("train", "bus", "car"),
            ("test_tube", "beaker", "flask"),
            ("bullet_train", "steam_train", "tram"),
            ("valid", "invalid"),
            ("data", "noise"),
            ("0", "1", "2"),
            ("part_a", "part_b"),
        ],
    )
    def test_hold_pictures(self, tmp_path: Path, names: Iterable[str]) -> None:
        assert read_images(fill(tmp_path, *names)).classes == tuple(sorted(names))

    def test_may_hold_folders_of_the_same_names_which_is_said(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "test_tube/day", "test_tube/night", "beaker/day", "beaker/night"))
        assert images.classes == ("beaker", "test_tube")
        (note,) = of_kind(images, "layout")
        assert "Each class holds folders of the same names, 'day', 'night'" in note.message

    def test_the_only_one_with_folders_is_named(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "labeled/owl", "labeled/jay", "unlabeled"))
        (note,) = of_kind(images, "layout")
        assert note.path == "labeled" and "Holds 'jay', 'owl', and is read as one class" in note.message

    def test_of_equal_files_are_no_second_copies(self, tmp_path: Path) -> None:
        fill(tmp_path, "a/day", "a/night", "b/day", "b/night")
        for file in tmp_path.rglob("*.png"):  # of one size, as BMP files are
            write_bytes(file.with_suffix(".bmp"), b"BM" + file.read_bytes().ljust(300, b"\0"))
        assert not [note for note in read_images(tmp_path).notes if "second time" in note.message]


class TestSeveralSets:
    """The folder around two sets, whose names would be the classes."""

    SETS = (*(f"stamps/{part}/{name}" for part in ("training", "testing") for name in ("food", "ship")),)
    OTHERS = (*(f"birds/{part}/{name}" for part in ("train", "test") for name in ("jay", "owl", "emu")),)

    def test_are_refused_with_a_command_for_each_reading(self, tmp_path: Path) -> None:
        message = refusal(fill(tmp_path, *self.SETS, *self.OTHERS))
        assert "looks like 2 sets of images, not one: 'birds', 'stamps'" in message
        assert f"search run {tmp_path / 'birds'}`" in message
        assert "--label-pattern '^([^/]+)/'`" in message
        as_classes = read_images(Origin((tmp_path,), pattern="^([^/]+)/"))
        assert counts(as_classes) == {"birds": (9, 9), "stamps": (6, 6)}

    def test_one_may_have_no_testing_images(self, tmp_path: Path) -> None:
        assert "looks like 2 sets" in refusal(fill(tmp_path, *self.SETS, "birds/jay", "birds/owl"))

    def test_a_folder_around_them_is_looked_through(self, tmp_path: Path) -> None:
        message = refusal(fill(tmp_path, *(f"my sets/{folder}" for folder in (*self.SETS, *self.OTHERS))))
        assert r"--label-pattern '^my\ sets/([^/]+)/'`" in message

    @pytest.mark.parametrize(
        "folders",
        [
            ("ill/train/p1", "ill/train/p2", "ill/test/p3", "well/train/p4", "well/train/p5", "well/test/p6"),
            ("ill/train/day", "ill/test/day", "well/train/day", "well/test/day"),
            ("ill/day", "ill/night", "well/day", "well/night"),
            ("mammal/cat", "mammal/dog", "bird/owl", "bird/jay"),
            (*SETS, "plain"),
        ],
    )
    def test_folders_within_classes_are_none(self, tmp_path: Path, folders: Iterable[str]) -> None:
        assert len(read_images(fill(tmp_path, *folders)).classes) == 2


class TestLookedThrough:
    @pytest.mark.parametrize("wrapper", ["pictures", "my set/final", "x/y/z"])
    def test_a_folder_alone(self, tmp_path: Path, wrapper: str) -> None:
        write_bytes(tmp_path / "README", b"words")
        write_bytes(tmp_path / "labels" / "a.txt", b"words")
        images = read_images(fill(tmp_path, f"{wrapper}/a", f"{wrapper}/b"))
        assert images.classes == ("a", "b")
        assert [note.message for note in of_kind(images, "layout")] == [f"Its classes are the folders in '{wrapper}'."]

    def test_links_into_a_folder_of_files_named_by_hashes(self, tmp_path: Path) -> None:
        """As a cache of the Hugging Face hub is."""
        fill(tmp_path / "set" / "snapshots" / "4f2a", "cat", "dog")
        for path in sorted((tmp_path / "set").rglob("*.png")):
            blob = tmp_path / "set" / "blobs" / f"{path.parent.name}{path.stem}00"
            blob.parent.mkdir(exist_ok=True)
            path.rename(blob)
            path.symlink_to(blob)
        images = read_images(tmp_path / "set")
        assert counts(images) == {"cat": (3, 0), "dog": (3, 0)}
        assert [note.path for note in of_kind(images, "link")] == ["blobs"]

    def test_not_where_a_class_is_still_empty(self, tmp_path: Path) -> None:
        (tmp_path / "dog").mkdir()
        message = refusal(fill(tmp_path, "cat/day", "cat/night"))
        assert "one class only, 'cat'" in message
        assert f"'{tmp_path}/cat' holds folders such as 'day' and 'night': if these are the classes, name" in message

    def test_not_a_class_with_a_folder_of_more(self, tmp_path: Path) -> None:
        assert "one class only, 'cat' 12" in refusal(fill(fill(tmp_path, "cat", each=9), "cat/more"))

    def test_a_testing_class_with_folders_stays_one(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "train/a", "train/b", "test/a/near", "test/a/far"))
        assert counts(images) == {"a": (3, 6), "b": (3, 0)}


class TestUnpackedTwice:
    def test_into_itself(self, tmp_path: Path) -> None:
        fill(tmp_path / "birds", "a", "b")
        shutil.copytree(tmp_path / "birds", tmp_path / "birds" / "birds")
        for root in (tmp_path, tmp_path / "birds"):
            images = read_images(root)
            assert counts(images) == {"a": (3, 0), "b": (3, 0)}
            assert [note.kind for note in images.notes if "a second time" in note.message] == ["outside any class"]

    def test_beside_itself(self, tmp_path: Path) -> None:
        fill(tmp_path / "birds", "train/a", "train/b", "test/a", "test/b")
        shutil.copytree(tmp_path / "birds", tmp_path / "birds (1)")
        images = read_images(tmp_path)
        assert counts(images) == {"a": (3, 3), "b": (3, 3)}
        assert any("Holds the pictures of 'birds' a second time" in note.message for note in images.notes)

    def test_in_one_part(self, tmp_path: Path) -> None:
        fill(tmp_path, "train/a", "train/b", "test/a", "test/b")
        shutil.copytree(tmp_path / "train", tmp_path / "copy")
        shutil.move(tmp_path / "copy", tmp_path / "train" / "train")
        assert counts(read_images(tmp_path)) == {"a": (3, 3), "b": (3, 3)}

    def test_equal_testing_images_are_no_second_copy_but_a_leak(self, tmp_path: Path) -> None:
        shutil.copytree(fill(tmp_path, "train/a", "train/b") / "train", tmp_path / "test")
        assert counts(read_images(tmp_path)) == {"a": (3, 3), "b": (3, 3)}

    def test_only_in_part_it_can_be_read_in_two_ways(self, tmp_path: Path) -> None:
        fill(tmp_path / "birds", "a", "b", "birds/a", "birds/c")
        assert "can be read in two ways: 'birds' holds 'a', 'c'" in refusal(tmp_path / "birds")

    def test_with_other_pictures_it_can_be_read_in_two_ways(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        message = refusal(fill(tmp_path, "images/a", "images/b", size=9))
        assert "can be read in two ways: 'images' holds 'a', 'b', and folders of these names lie beside it" in message


class TestTheFolderAroundASet:
    """It is asked first whether it is the right one."""

    SET = ("shapes/train/a", "shapes/train/b", "shapes/test/a", "shapes/test/b")

    def test_beside_folders_without_pictures(self, tmp_path: Path) -> None:
        (tmp_path / "papers").mkdir()
        message = refusal(fill(tmp_path, *self.SET))
        assert "one class only, 'shapes' 6 training images. Is this the right folder? 'shapes' in it looks" in message
        assert "training and testing hold the same folders there, 'a', 'b'" in message

    def test_beside_and_within_other_folders(self, tmp_path: Path) -> None:
        images = read_images(fill(tmp_path, "old", *(f"new/{path}" for path in self.SET)))
        assert set(images.classes) == {"new", "old"}
        (note,) = of_kind(images, DOUBT)
        assert note.path == "new/shapes" and note.message.startswith("'new/shapes' in it looks like a set")

    def test_not_for_patients(self, tmp_path: Path) -> None:
        parts = ("sick/train/p1", "sick/train/p2", "sick/test/p3", "sick/test/p4")
        assert not of_kind(read_images(fill(tmp_path, "well/train/p5", "well/test/p6", *parts)), DOUBT)
