"""Reading a folder of images: the array, its order, its identity, copies and classes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data.images import ImageSet, in_order_of, read_images
from search.data.tree import Note
from search.errors import UsageError
from tests.pictures import make_pictures, plain, write


def notes_of(images: ImageSet, kind: str) -> list[Note]:
    return [note for note in images.notes if note.kind == kind]


def copy_file(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


class TestTheSet:
    def test_a_folder_a_class(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, {"cat": 12, "dog": 10}))
        assert images.classes == ("cat", "dog")
        assert images.pixels.shape == (22, 8, 8, 1)
        assert images.pixels.dtype == np.uint8
        assert images.labels.dtype == np.int16
        assert np.bincount(images.labels).tolist() == [12, 10]
        assert not images.testing.any()
        assert images.paths[0] == "cat/0000.png"
        assert images.notes == ()

    def test_pixels_of_images_that_have_the_size_are_those_of_the_file(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, colour=True))
        for row, path in enumerate(images.paths):
            assert np.array_equal(images.pixels[row], np.asarray(Image.open(tmp_path / path)))

    def test_training_comes_before_testing_then_class_then_name(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, {"b": 10, "a": 10}, testing={"b": 2, "a": 1}))
        assert images.testing.tolist() == [False] * 20 + [True] * 3
        assert images.testing.dtype == np.bool_
        assert images.labels[20:].tolist() == [0, 1, 1]
        assert list(images.paths[:10]) == [f"training/a/{number:04}.png" for number in range(10)]

    @pytest.mark.parametrize("colour", [False, True])
    def test_one_channel_only_where_every_image_is_grey(self, tmp_path: Path, colour: bool) -> None:
        make_pictures(tmp_path)
        write(tmp_path / "a" / "grey_in_rgb.png", plain(50).convert("RGB"))
        if colour:
            write(tmp_path / "b" / "red.png", Image.new("RGB", (8, 8), "red"))
        images = read_images(tmp_path)
        assert images.pixels.shape[3] == (3 if colour else 1)
        assert (images.pixels[images.paths.index("a/grey_in_rgb.png")] == 50).all()
        assert images.pixels.flags.c_contiguous

    def test_progress_counts_every_file_to_the_last(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        read_images(make_pictures(tmp_path), progress=lambda done, total: calls.append((done, total)))
        assert calls == [(done, 20) for done in range(21)]

    def test_a_file_that_vanishes_meanwhile_is_noted(self, tmp_path: Path) -> None:
        def remove_one(done: int, _total: int) -> None:
            if not done:
                (tmp_path / "b" / "0005.png").unlink()

        make_pictures(tmp_path)
        for number in range(200):  # keeps the threads busy until the file is gone
            copy_file(tmp_path / "a" / "0000.png", tmp_path / "a" / f"busy{number}.png")
        images = read_images(tmp_path, progress=remove_one)
        (note,) = (note for note in images.notes if note.left_out)
        assert (note.path, note.kind) == ("b/0005.png", "unreadable")
        assert "No such file" in note.message
        assert len(images.paths) == 219
        assert np.array_equal(images.pixels[-1, ..., 0], np.asarray(Image.open(tmp_path / "b" / "0009.png")))


class TestSize:
    def test_the_median_of_the_training_images(self, tmp_path: Path) -> None:
        for number, (height, width) in enumerate([(10, 30), (20, 32), (24, 40)] * 4):
            write(tmp_path / "training" / "ab"[number % 2] / f"{number}.png", plain(number, height, width))
        for number in range(20):
            write(tmp_path / "testing" / "a" / f"{number}.png", plain(number, 100, 100))
        assert read_images(tmp_path).pixels.shape[1:3] == (20, 32)

    def test_at_least_8_and_at_most_128(self, tmp_path: Path) -> None:
        for number in range(4):
            write(tmp_path / "ab"[number % 2] / f"{number}.png", plain(number, 4, 300))
        assert read_images(tmp_path).pixels.shape[1:3] == (8, 128)

    def test_as_asked(self, tmp_path: Path) -> None:
        assert read_images(make_pictures(tmp_path), size=(5, 11)).pixels.shape == (20, 5, 11, 1)

    def test_refused_below_1(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=re.escape("size: must be two numbers of at least 1")):
            read_images(make_pictures(tmp_path), size=(0, 8))

    def test_shrinking_averages_over_all_source_pixels(self, tmp_path: Path) -> None:
        stripes = np.zeros((64, 64), np.uint8)
        stripes[:, ::2] = 200  # sampling without averaging gives only 0s, or only 200s
        for number in range(4):
            write(tmp_path / "ab"[number % 2] / f"{number}.png", stripes)
        inner = read_images(tmp_path, size=(8, 8)).pixels[:, :, 1:-1]
        assert 98 <= inner.min() <= inner.max() <= 102


class TestFingerprint:
    def test_does_not_depend_on_the_order_files_were_written_in(self, tmp_path: Path) -> None:
        make_pictures(tmp_path / "one", testing={"a": 3, "b": 3})
        for path in sorted((tmp_path / "one").rglob("*.png"), reverse=True):
            copy_file(path, tmp_path / "other" / path.relative_to(tmp_path / "one"))
        one, other = read_images(tmp_path / "one"), read_images(tmp_path / "other")
        assert one.fingerprint == other.fingerprint
        assert one.paths == other.paths
        assert np.array_equal(one.pixels, other.pixels)

    def test_changes_with_a_pixel_a_name_a_label_a_class_and_the_size(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        seen = [read_images(tmp_path).fingerprint, read_images(tmp_path, size=(9, 8)).fingerprint]
        pixels = np.array(Image.open(tmp_path / "a" / "0003.png"))
        pixels[4, 4] += 1
        write(tmp_path / "a" / "0003.png", pixels)
        seen.append(read_images(tmp_path).fingerprint)
        (tmp_path / "a" / "0003.png").rename(tmp_path / "a" / "renamed.png")
        seen.append(read_images(tmp_path).fingerprint)
        (tmp_path / "a" / "renamed.png").rename(tmp_path / "b" / "renamed.png")
        seen.append(read_images(tmp_path).fingerprint)
        (tmp_path / "b").rename(tmp_path / "c")
        seen.append(read_images(tmp_path).fingerprint)
        assert len(set(seen)) == len(seen)

    def test_a_study_of_an_earlier_release_goes_on_in_its_own_order(self, tmp_path: Path) -> None:
        """There whole paths were in the fingerprint, and decided the order: all of train/ before valid/."""
        make_pictures(tmp_path / "valid", {"a": 3, "b": 3}, seed=1)
        make_pictures(tmp_path / "train", {"a": 4, "b": 4})
        for file in sorted((tmp_path / "valid").rglob("*.png")):
            file.rename(file.with_name(f"0{file.stem}a.png"))
        images = read_images(tmp_path)
        by_path = sorted(images.paths, key=lambda path: (path.split("/")[1], path))
        assert list(images.paths) != by_path
        again = in_order_of(images, by_path)
        assert list(again.paths) == by_path
        for row, path in enumerate(by_path):
            before = images.paths.index(path)
            assert (again.pixels[row] == images.pixels[before]).all()
            assert (again.digests[row], again.names[row]) == (images.digests[before], images.names[before])
        assert in_order_of(images, by_path[1:]) is images, "others"
        identity = [(8, 8, 1), ("a", "b"), again.digests, again.labels.tolist(), again.testing.tolist(), again.paths]
        assert again.fingerprint_of_paths == hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        assert again.fingerprint_of_paths != images.fingerprint

    def test_files_that_are_left_out_do_not_count(self, tmp_path: Path) -> None:
        before = read_images(make_pictures(tmp_path)).fingerprint
        (tmp_path / "a" / "notes.txt").write_text("hello")
        assert read_images(tmp_path).fingerprint == before


class TestCopies:
    def test_in_the_same_class(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        copy_file(tmp_path / "a" / "0003.png", tmp_path / "a" / "again.png")
        images = read_images(tmp_path)
        (note,) = images.notes
        assert note == Note(
            "a/again.png", "copy", "The same picture as 'a/0003.png' in the same class; both are kept.", False
        )
        assert len(images.paths) == 21

    def test_in_another_class_are_contradictory(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        copy_file(tmp_path / "a" / "0003.png", tmp_path / "b" / "again.png")
        (note,) = read_images(tmp_path).notes
        assert note.path == "b/again.png"
        assert "'a/0003.png'" in note.message
        assert "contradictory labels" in note.message

    def test_in_testing_are_a_leak(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, testing={"a": 2, "b": 2})
        copy_file(tmp_path / "training" / "a" / "0003.png", tmp_path / "testing" / "a" / "0000.png")
        (note,) = read_images(tmp_path).notes
        assert note.path == "testing/a/0000.png"
        assert "'training/a/0003.png'" in note.message
        assert "leak" in note.message
        assert "contradictory" not in note.message

    def test_under_another_format_and_mode_have_one_digest(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        grey = Image.open(tmp_path / "a" / "0003.png")
        write(tmp_path / "a" / "x.bmp", grey.convert("RGB"))
        write(tmp_path / "a" / "x.tiff", grey)
        write(tmp_path / "a" / "x.webp", grey.convert("RGBA"), lossless=True)
        images = read_images(tmp_path)
        assert [note.path for note in notes_of(images, "copy")] == ["a/x.bmp", "a/x.tiff", "a/x.webp"]
        assert len(set(images.digests)) == 20

    def test_are_compared_at_full_size(self, tmp_path: Path) -> None:
        make_pictures(tmp_path)
        fine = np.zeros((64, 64), np.uint8)
        write(tmp_path / "a" / "x.png", fine)
        fine[0, 0] = 1  # gone once resized
        write(tmp_path / "a" / "y.png", fine)
        assert notes_of(read_images(tmp_path), "copy") == []


class TestClasses:
    def test_one_that_training_lacks_is_left_out_loudly(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, testing={"a": 1, "b": 1, "c": 4}))
        assert images.classes == ("a", "b")
        assert images.testing.sum() == 2
        (note,) = images.notes
        assert (note.path, note.kind, note.left_out) == ("testing/c", "class missing from training", True)
        assert "4 testing images" in note.message

    def test_one_that_testing_lacks_is_noted(self, tmp_path: Path) -> None:
        (note,) = read_images(make_pictures(tmp_path, testing={"a": 1})).notes
        assert (note.path, note.kind, note.left_out) == ("training/b", "class missing from testing", False)

    @pytest.mark.parametrize("content", [None, b"", b"no image"])
    def test_one_without_images_is_no_class(self, tmp_path: Path, content: bytes | None) -> None:
        make_pictures(tmp_path)
        (tmp_path / "empty").mkdir()
        if content is not None:
            (tmp_path / "empty" / "x.png").write_bytes(content)
        images = read_images(tmp_path)
        assert images.classes == ("a", "b")
        (note,) = notes_of(images, "empty class")
        assert (note.path, note.left_out) == ("empty", True)

    def test_few_images_are_noted(self, tmp_path: Path) -> None:
        (note,) = read_images(make_pictures(tmp_path, {"a": 10, "b": 3})).notes
        assert (note.path, note.kind) == ("b", "few images")
        assert "Only 3 training images" in note.message

    def test_names_are_composed_and_sorted(self, tmp_path: Path) -> None:
        images = read_images(make_pictures(tmp_path, {unicodedata.normalize("NFD", "é"): 10, "z": 10, "a": 10}))
        assert images.classes == ("a", "z", "é")

    def test_one_alone_is_refused_with_its_count(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"one class only, 'a' 12 training images\. A classifier needs two"):
            read_images(make_pictures(tmp_path, {"a": 12}))

    def test_a_single_training_image_is_refused_with_all_counts(self, tmp_path: Path) -> None:
        rule = r"at least 2 training images, but 'b' has 1 \(training images: 'a' 5, 'b' 1\)"
        with pytest.raises(UsageError, match=rule):
            read_images(make_pictures(tmp_path, {"a": 5, "b": 1}, testing={"b": 4}))

    def test_no_images_at_all_is_refused_with_what_was_left_out(self, tmp_path: Path) -> None:
        for name in ("a/1.jxl", "a/2.jxl", "b/3.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("not a picture")
        left_out = re.escape("no images in its class folders (left out: 1 not an image, 2 unsupported format;")
        with pytest.raises(UsageError, match=left_out):
            read_images(tmp_path)

    def test_images_in_testing_only_are_refused(self, tmp_path: Path) -> None:
        make_pictures(tmp_path, {"a": 0, "b": 0}, testing={"a": 3, "b": 3})
        with pytest.raises(UsageError, match="no images to learn from: all 6 are in testing folders"):
            read_images(tmp_path)
