"""Grey of more than 8 bits: one scale for a set, which its study keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search.commands.check import look_over
from search.data.depth import DEPTHS, Scale, depth_for, numbers_to_grey, top_of, words_to_grey
from search.data.images import read_images
from search.session.prepare import prepare
from search.study.config import parse
from search.study.database import create
from search.study.folder import StudyFolder
from storage import RunRecord, Store, TrialRecord
from storage.records import Origin
from tests.pictures import make_pictures, write, write_bytes


def write_words(root: Path, largest: int, each: int = 6, ending: str = "png") -> Path:
    """Two classes of noise in 16-bit grey up to `largest`, which one of them has."""
    rng = np.random.default_rng(largest)
    for place in range(2 * each):
        pixels = rng.integers(0, largest // 2, (8, 8)).astype(np.uint16)
        pixels[0, 0] = largest if not place else 0
        write(root / "ab"[place % 2] / f"{place}.{ending}", Image.fromarray(pixels))
    return root


@pytest.mark.parametrize("bits", DEPTHS)
def test_the_full_range_of_any_depth_becomes_that_of_8_bits(bits: int) -> None:
    top = top_of(bits)
    words = np.arange(top + 1, dtype=np.uint16)
    np.testing.assert_array_equal(words_to_grey(words, Scale.of_bits(bits)), np.floor(words / top * 255 + 0.5))


@given(st.integers(0, 65535))
def test_the_smallest_depth_that_holds_a_value(value: int) -> None:
    bits = depth_for(value)
    assert value <= top_of(bits)
    assert bits == DEPTHS[0] or value > top_of(DEPTHS[DEPTHS.index(bits) - 1])


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
@pytest.mark.parametrize(("largest", "bits"), [(200, 8), (600, 10), (4095, 12), (9000, 14), (40000, 16)])
def test_a_set_has_one_scale(tmp_path: Path, largest: int, bits: int, ending: str) -> None:
    images = read_images(write_words(tmp_path, largest, ending=ending))
    assert images.scale.bits == bits
    assert int(images.pixels.max()) == round(largest / top_of(bits) * 255)


@pytest.mark.parametrize("broken", [1, 3])
def test_the_file_is_named_whose_one_value_decides_the_scale(tmp_path: Path, broken: int) -> None:
    write_words(tmp_path, 4000, each=25)
    for number in range(broken):
        pixels = np.full((8, 8), 50 + number, np.uint16)
        pixels[3, 3] = 65535
        write(tmp_path / "a" / f"broken{number}.png", Image.fromarray(pixels))
    images, found = look_over(tmp_path, None, None)
    said = [sentence for sentence in found.sentences if "broken" in sentence]
    assert images.scale.bits == 16
    if broken == 1:
        (sentence,) = said
        assert sentence.startswith(
            "a/broken0.png: Has the value 65535, where the 50 other images of deep grey have none "
        )
        assert (
            "above 4000: because it alone does, all are scaled from 16 bits instead of 12, and are darker." in sentence
        )
    else:
        assert not said  # more than one in twenty


def test_faint_pictures_are_told_from_each_other_and_the_scale_is_said(tmp_path: Path) -> None:
    images, found = look_over(write_words(tmp_path, 900), None, None)
    assert len(np.unique(images.pixels)) > 100
    assert found.folds == 5 and found.pairs == ()
    assert (
        "12 images have grey of more than 8 bits, none with a value above 1023: all are scaled from 10 bits, and "
        "pictures at prediction too."
    ) in found.sentences


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_that_hold_12_have_that_scale_too(tmp_path: Path, dtype: Any) -> None:
    for place in range(8):
        pixels = np.full((8, 8), [100, 4000][place % 2] + place, dtype)
        write(tmp_path / "ab"[place % 2] / f"{place}.tiff", Image.fromarray(pixels))
    images = read_images(tmp_path)
    assert images.scale.bits == 12
    assert images.pixels.max(axis=(1, 2, 3)).tolist() == [6, 6, 6, 7, 249, 249, 249, 250]


def test_numbers_of_another_range_choose_no_scale(tmp_path: Path) -> None:
    for place in range(8):
        pixels = np.full((8, 8), [0.5, 1.0][place % 2] - place / 100, np.float32)
        write(tmp_path / "ab"[place % 2] / f"{place}.tiff", Image.fromarray(pixels))
    write(tmp_path / "a" / "signed.tiff", Image.fromarray(np.full((8, 8), -7, np.int32)))
    assert read_images(tmp_path).scale.bits == 16


def test_nearly_black_pictures_are_named(tmp_path: Path) -> None:
    for place in range(12):
        write(tmp_path / "ab"[place % 2] / f"{place}.png", Image.new("RGB", (8, 8), (place, 15, 2)))
    _, found = look_over(tmp_path, None, None)
    assert "Half of the images have no value above 15 of 255: these are nearly black." in found.sentences


def test_numbers_that_are_scaled_from_different_ranges_are_named(tmp_path: Path) -> None:
    for place in range(12):
        pixels = np.linspace(0, 1.02 if place == 5 else 0.9, 64, dtype=np.float32).reshape(8, 8) ** (1 + place)
        write(tmp_path / "ab"[place % 2] / f"{place}.tiff", Image.fromarray(pixels * (1.02 if place == 5 else 1)))
    _, found = look_over(tmp_path, None, None)
    (sentence,) = [sentence for sentence in found.sentences if "32-bit" in sentence]
    assert sentence.startswith("12 images of 32-bit grey are scaled from 2 different ranges")
    assert "a/0.tiff" in sentence and "b/5.tiff" in sentence


def test_a_picture_of_the_testing_folder_counts_and_8_bit_ones_do_not(tmp_path: Path) -> None:
    make_pictures(tmp_path / "training")
    write_words(tmp_path / "testing", 3000)
    images = read_images(tmp_path)
    assert images.scale.bits == 12
    assert images.pixels[~images.testing].max() > 200
    assert read_images(make_pictures(tmp_path / "plain")).scale.bits == 16


def test_pgm_of_12_bits_by_its_header_needs_no_other_scale(tmp_path: Path) -> None:
    write_words(tmp_path, 65535)
    words = np.full((8, 8), 4095, ">u2")
    write_bytes(tmp_path / "a" / "full.pgm", b"P5 8 8 4095\n" + words.tobytes())
    images = read_images(tmp_path)
    assert (images.pixels[images.paths.index("a/full.pgm")] == 255).all()


@pytest.mark.parametrize("says", [True, False])
def test_a_study_keeps_the_scale_that_it_began_with(tmp_path: Path, says: bool) -> None:
    """An older study says nothing of it: its scale is that of 16 bits."""
    config = parse({"images": str(write_words(tmp_path / "pictures", 4000)), "preset": "cnn"}, "test")
    prepared = prepare(config, tmp_path)
    assert prepared.identity["grey_bits"] == 12
    database = StudyFolder(tmp_path).database
    with create(StudyFolder(tmp_path), prepared) as store:
        study, images, split = store.study(), store.images(), store.split()
    database.unlink()
    kept = {key: value for key, value in study.config.items() if says or key != "grey_bits"}
    with Store.create(database, replace(study, config=kept), images, [split]) as store:
        run = store.start_run(RunRecord("2025-01-01T00:00:00+00:00", "search run", {}, "box", 1))
        point, started = prepared.space.defaults(), "2025-01-01T00:00:00+00:00"
        store.add_trial(TrialRecord(0, point, Origin.BASELINE, started=started), run=run, seconds=1.0)
    write_words(tmp_path / "pictures", 12_000)
    again = prepare(config, tmp_path)
    assert again.images.scale.bits == (12 if says else 16)
    assert ("grey_bits" in again.identity) == says
    assert any(note.kind == "clipped" for note in again.images.notes) == says


def narrow(root: Path, *, bright: int = 0, each: int = 6) -> Path:
    """12-bit grey of 40 x 40 pixels with values from 1000 to 1200; one pixel of the first file may be bright."""
    rng = np.random.default_rng(1)
    for place in range(2 * each):
        pixels = rng.integers(1000, 1201, (40, 40)).astype(np.uint16)
        pixels[0, 0] = bright if bright and not place else 1100
        pixels[1, :3], pixels[2, :3] = 1000, 1200
        write(root / "ab"[place % 2] / f"{place}.png", Image.fromarray(pixels))
    return root


@pytest.mark.parametrize("bright", [0, 60_000])
def test_values_that_lie_close_together_have_a_window_which_no_broken_pixel_widens(tmp_path: Path, bright: int) -> None:
    images, found = look_over(narrow(tmp_path, bright=bright), None, None)
    assert (images.scale, images.scale.bits) == (Scale(1000, 1200), None)
    assert len(np.unique(images.pixels)) == 201, "each value is still told from the next"
    assert (
        "12 images have grey of more than 8 bits, nearly all of its values from 1000 to 1200: these are scaled to 0 to "
        "255, the same for all, and pictures at prediction too."
    ) in found.sentences
    assert not [sentence for sentence in found.sentences if "0.png" in sentence]
    assert not any(note.kind == "clipped" for note in images.notes), "a pixel is less than one in a hundred"


def test_a_window_is_kept_by_the_study(tmp_path: Path) -> None:
    config = parse({"images": str(narrow(tmp_path / "pictures")), "preset": "cnn"}, "test")
    identity = prepare(config, tmp_path).identity
    assert identity["grey_window"] == [1000, 1200] and "grey_bits" not in identity
    assert Scale.of_plain(identity) == Scale(1000, 1200)


@given(st.integers(0, 65534), st.integers(1, 65535), st.lists(st.integers(0, 65535), min_size=1, max_size=20))
def test_a_window_keeps_the_order_and_both_kinds_of_files_agree(low: int, width: int, values: list[int]) -> None:
    scale = Scale(low, min(low + width, 65535))
    words = np.array([sorted(values)], np.uint16)
    grey = words_to_grey(words, scale)
    assert (np.diff(grey[0].astype(int)) >= 0).all()
    assert (grey[words <= scale.low] == 0).all() and (grey[words >= scale.high] == 255).all()
    if not scale.is_full and words.max() > 1:
        numbers, _ = numbers_to_grey(words.astype(np.float32), scale, integers=False)
        assert np.abs(numbers.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("plain", [{"grey_window": [5, 5]}, {"grey_window": [-1, 5]}, {"grey_window": [0, 70_000]}])
def test_a_scale_that_cannot_be_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a window of grey of"):
        Scale.of_plain(plain)
