"""Groups: as the user names them, joined with copies, and never split between folds."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.data import patterns
from search.data.folds import choose_folds, draw_folds
from search.data.groups import group_images, is_table, named_groups
from search.errors import UsageError

PATHS = ("a/p1_1.png", "a/p1_2.png", "b/p2_1.png", "b/other.png")


class TestNamed:
    @pytest.mark.parametrize("pattern", ["p([0-9]+)_", "(?:a|b)/(?P<group>p[0-9])", "(x)?/p(?P<group>[0-9])"])
    def test_by_the_one_group_of_a_pattern(self, pattern: str, tmp_path: Path) -> None:
        found = named_groups(pattern, tmp_path, PATHS)
        first, second, third, none = found.of
        assert first == second != third
        assert none is None
        assert found.remark == "1 images have no group and stand alone, such as b/other.png."
        assert found.identity == pattern

    def test_by_a_table_beside_the_study(self, tmp_path: Path) -> None:
        rows = (
            "path,age,group",
            "a/p1_1.png,7,ann",
            "a/p1_2.png,7, ann ",
            "b/p2_1.png,9,",
            "b/other.png,9,bob",
            "c,1,x",
        )
        table = "\ufeff" + "\n".join(rows)
        (tmp_path / "who.csv").write_text(table, encoding="utf-8")
        found = named_groups("who.csv", tmp_path, PATHS)
        assert found.of == ("ann", "ann", None, "bob")
        (tmp_path / "same.csv").write_text("group,path\nann,a/p1_1.png\nann,a/p1_2.png\nbob,b/other.png\n")
        assert named_groups("same.csv", tmp_path, PATHS).identity == found.identity
        (tmp_path / "other.csv").write_text("group,path\nann,a/p1_1.png\n")
        assert named_groups("other.csv", tmp_path, PATHS).identity != found.identity

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("who.csv", "Path, Group\n"),
            ("who.csv", " group ;PATH\n"),
            ("who.tsv", "path\tGroup\n"),
            ("who.txt", "path;group\n"),
            ("who", "group,path\n"),
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_by_a_table_as_spreadsheets_write_it(self, name: str, content: str, encoding: str, tmp_path: Path) -> None:
        delimiter = next(sign for sign in ",;\t" if sign in content)
        rows = [("a\\p1_1.png", "ann"), ("./a/p1_2.png", "ann"), ("b/p2_1.png", " bob")]
        backwards = content.strip().lower().startswith("group")
        lines = [delimiter.join(reversed(row) if backwards else row) for row in rows]
        (tmp_path / name).write_text(content + "\n".join(lines), encoding=encoding)
        assert is_table(name, tmp_path)
        assert named_groups(name, tmp_path, PATHS).of == ("ann", "ann", "bob", None)

    def test_several_parts_of_a_pattern_are_one_group_together(self, tmp_path: Path) -> None:
        of = named_groups("^([ab])/p([0-9]+)_", tmp_path, PATHS).of
        assert of[0] == of[1] is not None and of[2] not in (None, of[0]) and of[3] is None
        assert named_groups("^(z)?(?P<group>.)", tmp_path, PATHS).of == ("a", "a", "b", "b")

    def test_a_name_is_found_whatever_its_composition(self, tmp_path: Path) -> None:
        (tmp_path / "who.csv").write_text("path,group\na/caf\u00e9.png,x\n", encoding="utf-8")
        assert named_groups("who.csv", tmp_path, ("a/cafe\u0301.png", "a/b.png")).of == ("x", None)

    @pytest.mark.parametrize("pattern", ["p([0-9]+)_", "(?:a|b)/(.)", "x" * 5000, "nul\0"])
    def test_a_pattern_is_no_table(self, pattern: str, tmp_path: Path) -> None:
        assert not is_table(pattern, tmp_path)

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(.*a){30}c"])
    def test_a_pattern_that_takes_for_ever_is_given_up(
        self, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patterns, "_SECONDS", 0.05)
        before = signal.getsignal(signal.SIGVTALRM)
        with pytest.raises(UsageError, match=r"must be found in all 1 paths within 0[.]05 s, and was not"):
            named_groups(pattern, tmp_path, ("a" * 60 + "b.png",))
        assert signal.getsignal(signal.SIGVTALRM) == before
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ("nowhere.csv", "nowhere.csv cannot be read: No such file or directory; name a CSV file"),
            ("empty.csv", "must have the columns path and group in its first line, got none"),
            ("columns.csv", "got file, group"),
            ("twice.csv", "line 3: a/p1_1.png is in two groups, x and y"),
            ("latin.csv", "is not UTF-8"),
            ("strange.csv", "has none of the 4 images: its paths begin at the folder of images, as 'a/p1_1.png'"),
            ("quote.csv", "is not CSV"),
            ("sheet.xlsx", "is a spreadsheet; save it as CSV in UTF-8, and name that file"),
            ("old", "is a spreadsheet"),
            ("p([0-9]+", "is no regular expression"),
            ("p[0-9]+", "must have a group in parentheses"),
            ("zebra([0-9])", "matches none of the 4 images"),
        ],
    )
    def test_what_cannot_be_read_is_told_with_the_next_step(self, asked: str, said: str, tmp_path: Path) -> None:
        files = {
            "empty.csv": b"",
            "columns.csv": b"file,group\n",
            "twice.csv": b"path,group\na/p1_1.png,x\na/p1_1.png,y\n",
            "latin.csv": b"path,group\ncaf\xe9.png,x\n",
            "strange.csv": b"path,group\n/home/a/p1_1.png,x\n",
            "quote.csv": b'path,group\n"a"b,x\n',
            "sheet.xlsx": b"PK\x03\x04",
            "old": b"\xd0\xcf\x11\xe0",
        }
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"^groups: .*{re.escape(said)}"):
            named_groups(asked, tmp_path, PATHS)


def together(
    labels: str, same: str = "", near: str = "", named: str = "", testing: str = ""
) -> tuple[list[set[int]], set[int], set[int]]:
    """Units of two and more images, the images excluded, and pictures of one scene.

    A letter an image: equal ones are equal, nearly equal, in one group, for testing; '.' is none of it.
    """

    def parts(letters: str) -> NDArray[np.int32]:
        padded = letters.ljust(len(labels), ".")
        return np.array([row if letter == "." else padded.index(letter) for row, letter in enumerate(padded)], np.int32)

    found = group_images(
        np.array([int(label) for label in labels], np.int16),
        np.array([letter == "t" for letter in testing.ljust(len(labels))], np.bool_),
        parts(same),
        parts(near),
        [None if letter == "." else letter for letter in named],
    )
    units = [set(np.flatnonzero(found.units == unit).tolist()) for unit in np.unique(found.units)]
    excluded, scene = (set(np.flatnonzero(which).tolist()) for which in (found.excluded, found.scene))
    return [unit for unit in units if len(unit) > 1], excluded, scene


class TestTogether:
    def test_copies_and_groups_are_joined_along_chains(self) -> None:
        found = together("00000000001111", same="aa............", near="......bb......", named=".xx..y.y......")
        assert found == ([{0, 1, 2}, {5, 7, 6}], set(), set())

    def test_training_copies_of_testing_images_are_in_no_fold(self) -> None:
        _, excluded, _ = together("00000111000000", same="aa......a.....", near="b.b..c...c....", testing="        tt")
        assert excluded == {0, 1, 2, 5, 8, 9}

    def test_training_images_of_a_group_that_is_in_testing_too_are_in_no_fold(self) -> None:
        _, excluded, _ = together("0000011111", named="xx.yy.zz.x", testing="         t")
        assert excluded == {0, 1, 9}

    def test_near_copies_that_are_most_of_a_class_are_pictures_of_one_scene(self) -> None:
        found = together("0000111111", same="....aa....", near="bbb.......", testing="         t")
        assert found == ([{4, 5}], {9}, {0, 1, 2})

    def test_a_scene_costs_no_other_its_near_copies(self) -> None:
        units, excluded, scene = together(
            "00001111112222",
            same="........ss....",
            near="aaa.bb.c......",
            named=".......y..y...",
            testing="             t",
        )
        assert (units, excluded, scene) == ([{4, 5}, {7, 10}, {8, 9}], {13}, {0, 1, 2})
        units, excluded, _ = together("00001111112222", near="aaa.bb.c.....c", testing="             t")
        assert (units, excluded) == ([{4, 5}, {7, 13}], {7, 13})

    def test_a_scene_over_several_classes_is_one_wherever_it_is_most_of_one(self) -> None:
        found = together("000000001111", near="aa......aaa.", named="..........gg")
        assert found == ([{10, 11}], set(), {0, 1, 8, 9, 10})

    def test_an_exact_copy_of_a_picture_of_a_scene_stays_its_copy(self) -> None:
        found = together("00000111", same="ab..ab..", near="aaa.....")
        assert found == ([{0, 4}, {1, 5}], set(), {0, 1, 2})

    def test_what_groups_join_by_themselves_is_no_scene(self) -> None:
        found = together("000011", near="aa....", named="ggg...")
        assert found == ([{0, 1, 2}], set(), set())

    def test_exact_copies_count_however_many_they_are(self) -> None:
        assert together("000111", same="aaa...") == ([{0, 1, 2}], set(), set())


Drawing = tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.int32], int, int]


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Labels, what is excluded, groups within classes, a number of folds that suits them, a seed."""
    sizes = draw(st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=8), min_size=2, max_size=4))
    sizes[0].append(2)  # at least one group is one
    labels = [label for label, groups in enumerate(sizes) for size in groups for _ in range(size)]
    units = np.repeat(np.arange(sum(map(len, sizes))), [size for groups in sizes for size in groups]).tolist()
    more = draw(st.integers(0, 4))
    labels, units = labels + [0] * more, units + [units[0]] * more
    excluded = [False] * (len(labels) - more) + [True] * more
    order = draw(st.permutations(range(len(labels))))
    folds = draw(st.integers(2, min(map(len, sizes))))
    arrays = np.array(labels, np.int16)[order], np.array(excluded, np.bool_)[order], np.array(units, np.int32)[order]
    return *arrays, folds, draw(st.integers(0, 2**64))


class TestFolds:
    @settings(deadline=None, max_examples=60)
    @given(drawings())
    def test_no_group_is_split_and_every_image_is_validated_once(self, drawing: Drawing) -> None:
        labels, excluded, units, folds, seed = drawing
        assignment = draw_folds(labels, excluded, folds, seed, units)
        assert (assignment[excluded] == -1).all()
        assert set(assignment[~excluded].tolist()) == set(range(folds))
        for unit in np.unique(units[~excluded]):
            assert len(set(assignment[(units == unit) & ~excluded].tolist())) == 1
        assert np.array_equal(assignment, draw_folds(labels, excluded, folds, seed, units))

    @settings(deadline=None, max_examples=60)
    @given(drawings())
    def test_each_class_is_as_even_as_its_largest_group_allows(self, drawing: Drawing) -> None:
        labels, excluded, units, folds, seed = drawing
        assignment = draw_folds(labels, excluded, folds, seed, units)
        for label in np.unique(labels):
            rows = (labels == label) & ~excluded
            counts = np.bincount(assignment[rows], minlength=folds)
            assert counts.min() >= 1
            assert counts.max() - counts.min() <= np.bincount(units[rows]).max()

    def test_groups_of_one_change_nothing(self) -> None:
        labels, excluded = np.repeat(np.arange(2, dtype=np.int16), 20), np.zeros(40, np.bool_)
        alone = draw_folds(labels, excluded, 5, 3, np.arange(40, dtype=np.int32))
        assert np.array_equal(alone, draw_folds(labels, excluded, 5, 3))

    def test_groups_across_classes_leave_each_class_something_to_learn_from(self) -> None:
        labels = np.tile(np.arange(2, dtype=np.int16), 30)
        units = np.repeat(np.arange(6, dtype=np.int32), 10)
        assignment = draw_folds(labels, np.zeros(60, np.bool_), 3, 0, units)
        assert all((np.bincount(labels[assignment == fold], minlength=2) == 10).all() for fold in range(3))

    def test_fewer_groups_than_folds_are_fewer_folds_and_said(self) -> None:
        labels, excluded = np.repeat(np.arange(2, dtype=np.int16), (20, 12)), np.zeros(32, np.bool_)
        units = np.concatenate([np.arange(20), np.repeat([20, 21, 22], 4)]).astype(np.int32)
        folds, said = choose_folds(labels, excluded, None, ("cat", "dog"), units)
        assert folds == 3
        assert (
            said
            == "3 folds instead of 5: class 'dog' has 12 training images, of which 3 are independent of each other."
        )
        with pytest.raises(UsageError, match=r"must be at most the number of independent training images .*Ask for 3"):
            choose_folds(labels, excluded, 4, ("cat", "dog"), units)

    def test_a_class_of_one_group_cannot_be_searched(self) -> None:
        labels, excluded = np.repeat(np.arange(2, dtype=np.int16), 5), np.zeros(10, np.bool_)
        units = np.array([0, 1, 2, 3, 4, 5, 5, 5, 5, 5], np.int32)
        with pytest.raises(UsageError, match=r"class 'dog' has 5 training images, of which 1 .*`search check IMAGES`"):
            choose_folds(labels, excluded, None, ("cat", "dog"), units)

    def test_a_class_whose_images_are_all_in_testing_cannot_be_searched(self) -> None:
        labels = np.repeat(np.arange(2, dtype=np.int16), 5)
        with pytest.raises(UsageError, match="every training image of class 'dog' is a copy of a testing image"):
            choose_folds(labels, labels == 1, None, ("cat", "dog"))
