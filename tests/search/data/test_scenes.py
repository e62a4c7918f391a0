"""Pictures of one scene, by the time in their EXIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search.commands.check import look_over
from search.data.decoding import Header, read_header
from search.data.groups import named_groups
from search.data.scenes import find_scenes, table
from tests.pictures import noise

CAMERA, TAKEN, FRACTION = 0x8769, 0x9003, 0x9291
START = 1_000_000.0


def photograph(path: Path, seed: int, taken: str | None, fraction: str | None = None) -> None:
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(CAMERA)[TAKEN] = taken
    if fraction is not None:
        exif.get_ifd(CAMERA)[FRACTION] = fraction
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(np.random.default_rng(seed), 16)).save(path, quality=95, exif=exif.tobytes())


def scenes(*seconds: float, labels: list[int] | None = None) -> list[list[int]] | None:
    """Rows of each scene of several pictures; None: none are told."""
    found = find_scenes(np.array(seconds), np.array(labels or [0] * len(seconds)))
    if found is None:
        return None
    ids = found.tolist()
    return [rows for own in dict.fromkeys(ids) if len(rows := [row for row, each in enumerate(ids) if each == own]) > 1]


class TestTimes:
    @pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
    def test_are_read_with_their_fraction(self, ending: str, tmp_path: Path) -> None:
        for name, moment, fraction in (("a", "07", None), ("b", "09", "25"), ("c", "09", "5")):
            photograph(tmp_path / f"{name}.{ending}", 1, f"2024:02:29 10:20:{moment}", fraction)
        first, second, third = (read_header(tmp_path / f"{name}.{ending}") for name in "abc")
        assert isinstance(first, Header) and isinstance(second, Header) and isinstance(third, Header)
        assert first.taken is not None and second.taken is not None and third.taken is not None
        assert (second.taken - first.taken, third.taken - first.taken) == (2.25, 2.5)

    @pytest.mark.parametrize("taken", [None, "", "0000:00:00 00:00:00", "yesterday", "2024:02:30 10:00:00", "2" * 5000])
    def test_may_be_missing_or_wrong(self, taken: str | None, tmp_path: Path) -> None:
        photograph(tmp_path / "a.jpg", 1, taken, "x")
        header = read_header(tmp_path / "a.jpg")
        assert isinstance(header, Header) and header.taken is None


class TestScenes:
    def test_hang_together_by_short_gaps_within_a_class(self) -> None:
        assert scenes(0, 2, 4, 60, 61, 120, 122, 500, 600) == [[0, 1, 2], [3, 4], [5, 6]]
        assert scenes(*range(0, 60, 5)) is None
        two = [second for n in range(8) for second in (60 * n, 60 * n + 2)]
        assert scenes(*two, labels=[0, 1] * 8) is None
        assert scenes(*two, labels=[0] * 8 + [1] * 8) == [[n, n + 1] for n in range(0, 16, 2)]

    def test_few_are_chance(self) -> None:
        assert scenes(0, 1, 60, 61, 120, 180, 240) is None

    def test_a_camera_on_a_stand_and_a_clock_that_was_not_set_are_none(self) -> None:
        assert scenes(*range(0, 40, 2)) is None
        assert scenes(*[START] * 20, 5, 6, 70, 71, 150, 151) is None

    def test_unknown_times_are_of_no_scene(self) -> None:
        nan = float("nan")
        assert scenes(nan, nan, nan) is None
        assert scenes(nan, 0, 1, nan, 60, 61, 120, 121, 300, nan) == [[1, 2], [4, 5], [6, 7]]

    @given(st.lists(st.one_of(st.floats(0, 300), st.just(float("nan"))), min_size=1, max_size=40))
    def test_the_order_does_not_matter(self, seconds: list[float]) -> None:
        order = np.random.default_rng(len(seconds)).permutation(len(seconds))
        labels = np.arange(len(seconds)) % 2
        first, other = find_scenes(np.array(seconds), labels), find_scenes(np.array(seconds)[order], labels[order])
        assert (first is None) == (other is None)
        if first is not None and other is not None:
            assert ((first[order, None] == first[None, order]) == (other[:, None] == other[None])).all()


def test_the_table_is_one_for_groups_with_what_names_say(tmp_path: Path) -> None:
    paths = ["a/x,1.jpg", "a/2.jpg", 'b/"3".jpg', "b/4.jpg", "b/5.jpg"]
    (tmp_path / "t.csv").write_text(table(np.array([0, 0, 1, 2, 3], np.int32), paths, (None, None, "n", "n", None)))
    of = named_groups("t.csv", tmp_path, paths).of
    assert of[0] == of[1] != of[2] == of[3] and of[0] is not None and of[2] is not None and of[4] is None


def test_they_are_shown_with_a_table(tmp_path: Path) -> None:
    for place, name in enumerate("ab"):
        for number in range(12):
            minute, again = divmod(number, 2)
            taken = f"2024:01:0{place + 1} 10:{3 * minute:02}:{2 * again:02}"
            photograph(tmp_path / name / f"IMG_{number:04}.jpg", 100 * place + number, taken)
    _, found = look_over(tmp_path, None, None)
    (sentence,) = (said for said in found.sentences if "EXIF" in said)
    assert sentence.startswith(
        "24 images were taken within 3 s of another of their class, by the times in their EXIF, such as a/IMG_0000.jpg "
        "and a/IMG_0001.jpg: 12 groups. If a group shows one thing"
    )
    assert found.scenes is not None
    (tmp_path / "t.csv").write_text(found.scenes)
    _, kept = look_over(tmp_path, str(tmp_path / "t.csv"), None)
    assert [row.independent for row in kept.classes] == [6, 6]
    assert kept.scenes is None and not any("EXIF" in said for said in kept.sentences)
