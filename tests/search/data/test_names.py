"""Names that say which picture a file is made from, and names that only look so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.commands.check import look_over
from search.data.names import Versions, find_versions, mask_rows
from tests.pictures import noise, plain, write

HASH = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
UUIDS = ("3f1c8a52-5b1d-4c8e-9a0b-1c2d3e4f5a6b", "7d9e0f11-2233-4455-8677-8899aabbccdd")


def versions_of(*names: str, folder: str = "a") -> Versions:
    return find_versions([f"{folder}/{name}" for name in names], [0] * len(names))


def units(versions: Versions) -> list[list[int]]:
    """Rows of each picture that has more than one."""
    ids = versions.sources.tolist()
    return [rows for unit in dict.fromkeys(ids) if len(rows := [row for row, own in enumerate(ids) if own == unit]) > 1]


def rotated(number: int) -> str:
    return HASH[number:] + HASH[:number]


class TestToolsAreKnown:
    @pytest.mark.parametrize("ending", ["_jpg", "_JPG", "_jpeg", "_png", "_webp"])
    def test_roboflow(self, ending: str) -> None:
        names = [f"DSC 0{n}{ending}.rf.{rotated(k)}.jpg" for n in (1, 2) for k in range(3)]
        versions = versions_of(*names, "DSC 03.jpg")
        assert units(versions) == [[0, 1, 2], [3, 4, 5]]
        assert versions.sentences == (
            f"6 images are versions of 2 pictures, by the names that Roboflow gives, such as a/{names[-1]}: those of "
            "one picture stay in one fold.",
        )

    def test_roboflow_across_training_and_testing_but_not_across_classes(self) -> None:
        paths = [f"{place}/x_jpg.rf.{rotated(k)}.jpg" for k, place in enumerate(["train/a", "test/a", "train/b"])]
        assert units(find_versions(paths, [0, 0, 1])) == [[0, 1]]

    def test_roboflow_where_every_upload_had_one_name_does_not_say_which(self) -> None:
        names = [f"image_jpg.rf.{rotated(k)}.jpg" for k in range(10)]
        others = [f"cat{k // 3}_jpg.rf.{rotated(10 + k)}.jpg" for k in range(6)]
        versions = versions_of(*names, *others)
        assert units(versions) == [[10, 11, 12], [13, 14, 15]]
        assert "10 images have names that Roboflow gives" in versions.sentences[0]
        assert "with one name for many, so they do not say which picture each is made from" in versions.sentences[0]
        assert units(versions_of(*names[:3], *others)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]  # as many as of others
        assert units(versions_of(*(name.replace("image", "x7") for name in names))) == []  # the whole class
        assert units(versions_of("image.png", *(f"image - Copy ({n}).png" for n in range(2, 8)))) == [list(range(7))]

    def test_augmentor_with_the_picture_itself_in_the_folder_above(self) -> None:
        names = ["x.png", *(f"output/a_original_x.png_{uuid}.PNG" for uuid in UUIDS), "y.png"]
        assert units(versions_of(*names)) == [[0, 1, 2]]

    def test_keras_save_to_dir(self) -> None:
        names = ["_0_8412345.png", "_1_3312345.png", "_0_412345.png", "_1_9912345.png", "_2_7112345.png"]
        versions = versions_of(*names)
        assert units(versions) == [[0, 2], [1, 3]]
        assert "by the names that Keras (save_to_dir) gives" in versions.sentences[0]
        assert units(find_versions(["a/p_3_8412345.jpeg", "b/p_3_3312345.jpeg"], [0, 0])) == []  # of two folders

    def test_keras_with_one_number_for_all_does_not_say_which(self) -> None:
        names = [f"aug_0_{number}.png" for number in (8412345, 3312345, 1412345, 5912345, 9112345)]
        versions = find_versions([f"{folder}/{name}" for folder in "ab" for name in names], [0] * 5 + [1] * 5)
        assert units(versions) == []
        (sentence,) = versions.sentences
        assert "with one number for many, so they do not say which picture each is made from" in sentence

    @pytest.mark.parametrize(
        "names",
        [
            ("x.jpg", "x - Copy.jpg", "x - Copy (2).jpg"),
            ("x - Kopie.jpg", "x - Kopie (3).jpg"),
            ("x.jpg", "x copy.jpg", "x copy 2.jpg"),
            ("x.jpg", "Copy of x.jpg"),
            ("x.jpg", "Copy of x.jpg", "x - Copy.jpg"),
        ],
    )
    def test_file_managers(self, names: tuple[str, ...]) -> None:
        assert units(versions_of("w.jpg", *names)) == [list(range(1, len(names) + 1))]


HARMLESS = [
    ("cam_0_1000000.png", "cam_0_1600000.png", "cam_0_3800000.png", "cam_0_9000000.png"),
    ("video_3_0001234.png", "video_3_0001235.png", "video_3_0001236.png"),
    ("shop_12_1000345.jpg", "shop_12_1000346.jpg", "shop_12_1000347.jpg", "shop_12_1000348.jpg", "shop_12_1000350.jpg"),
    ("cat_1.png", "cat_2.png", "cat_3.png"),
    ("photocopy.png", "photocopy 2.png"),
    ("blue copy.png", "red copy.png"),
    (f"{HASH}.jpg", f"{rotated(5)}.jpg"),
    (f"{UUIDS[0]}.jpg", f"{UUIDS[1]}.jpg"),
    ("x.rf.jpg", "x.png.jpg"),
]


@pytest.mark.parametrize("names", HARMLESS, ids=lambda names: names[0])
def test_other_names_are_of_no_tool(names: tuple[str, ...]) -> None:
    versions = versions_of(*names)
    assert (units(versions), versions.sentences, versions.named) == ([], (), frozenset())


def test_versions_stay_in_one_fold_and_out_of_the_test(tmp_path: Path) -> None:
    for place, number in enumerate(n for n in range(8) for _ in range(3)):
        for name in "ab":
            pixels = noise(np.random.default_rng([place, ord(name)]), 16)
            write(tmp_path / "train" / name / f"{number}_png.rf.{rotated(place % 30)}{place:02}.jpg", pixels)
    write(tmp_path / "test" / "a" / f"3_png.rf.{HASH}.jpg", noise(np.random.default_rng(999), 16))
    write(tmp_path / "test" / "b" / "other.jpg", noise(np.random.default_rng(998), 16))
    _, found = look_over(tmp_path, None, None)
    assert [(row.searched, row.independent) for row in found.classes] == [(21, 7), (24, 8)]
    said = " ".join(found.sentences)
    assert "49 images are versions of 16 pictures, by the names that Roboflow gives" in said
    assert "3 training images are versions of pictures that are in testing too, such as train/a/3_png.rf." in said


class TestMasks:
    def test_beside_their_pictures(self) -> None:
        paths = [
            "a/1.png",
            "a/1_mask.png",
            "a/1_mask_1.png",
            "a/2.png",
            "a/2-Segmentation.png",
            "a/3_mask.png",
            "b/gt.png",
        ]
        assert mask_rows(paths) == [1, 2, 4]
        assert mask_rows(["a/mask_x.png", "a/x.png", "a/mask_y.png"]) == [0]

    def test_in_a_folder_of_their_own(self) -> None:
        assert mask_rows(["images/1.png", "images/2.png", "masks/1.png", "masks/2.png", "masks/9.png"]) == [2, 3, 4]
        assert mask_rows(["label/1.png", "other/2.png"]) == []

    def test_are_named_where_they_have_two_values(self, tmp_path: Path) -> None:
        for number in range(4):
            for name in "ab":
                rng = np.random.default_rng([number, ord(name)])
                write(tmp_path / name / f"{number}.png", noise(rng, 16))
                mask = plain(0, 16, 16)
                mask.paste(255, (number, 2, 9, 12))
                write(tmp_path / name / f"{number}_mask.png", mask)
                write(tmp_path / name / f"{number}_gt.png", noise(rng, 16))
        _, found = look_over(tmp_path, None, None)
        assert any(sentence.startswith("8 images are named as the mask of another") for sentence in found.sentences)
