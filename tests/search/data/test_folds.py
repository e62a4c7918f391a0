"""Folds: every training image is validated once, each class evenly, and the same seed gives the same folds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.data.folds import choose_folds, draw_folds, image_records, not_validated
from search.data.images import read_images
from search.errors import UsageError
from tests.pictures import make_pictures

Drawing = tuple[NDArray[np.int16], NDArray[np.bool_], int, int]


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Labels in any order, testing, a number of folds that suits them, a seed."""
    counts = draw(st.lists(st.integers(2, 12), min_size=2, max_size=5))
    testing_count = draw(st.integers(0, 8))
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    labels += draw(st.lists(st.integers(0, len(counts) - 1), min_size=testing_count, max_size=testing_count))
    testing = [False] * sum(counts) + [True] * testing_count
    order = draw(st.permutations(range(len(labels))))
    folds = draw(st.integers(2, min(counts)))
    seed = draw(st.integers(0, 2**64))
    return np.array(labels, np.int16)[order], np.array(testing, np.bool_)[order], folds, seed


def of_classes(*counts: int) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    labels = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
    return labels, np.zeros(len(labels), np.bool_)


class TestDraw:
    @settings(deadline=None)
    @given(drawings())
    def test_every_training_image_is_in_one_fold_and_testing_in_none(self, drawing: Drawing) -> None:
        labels, testing, folds, seed = drawing
        assignment = draw_folds(labels, testing, folds, seed)
        assert assignment.dtype == np.int16
        assert assignment.shape == labels.shape
        assert (assignment[testing] == -1).all()
        assert set(assignment[~testing].tolist()) == set(range(folds))

    @settings(deadline=None)
    @given(drawings())
    def test_each_class_is_spread_within_one(self, drawing: Drawing) -> None:
        labels, testing, folds, seed = drawing
        assignment = draw_folds(labels, testing, folds, seed)
        for label in np.unique(labels):
            counts = np.bincount(assignment[(labels == label) & ~testing], minlength=folds)
            assert counts.min() >= 1
            assert counts.max() - counts.min() <= 1

    @settings(deadline=None)
    @given(drawings())
    def test_the_same_seed_gives_the_same_folds(self, drawing: Drawing) -> None:
        assert np.array_equal(draw_folds(*drawing), draw_folds(*drawing))

    def test_another_seed_gives_other_folds(self) -> None:
        labels, testing = of_classes(50, 50)
        drawn = {draw_folds(labels, testing, 5, seed).tobytes() for seed in range(20)}
        assert len(drawn) == 20

    def test_adding_testing_images_changes_nothing(self) -> None:
        labels, testing = of_classes(9, 7)
        longer = np.append(labels, labels[:3])
        more = np.append(testing, [True] * 3)
        assert np.array_equal(draw_folds(labels, testing, 5, 1), draw_folds(longer, more, 5, 1)[:16])

    def test_refuses_more_folds_than_the_rarest_class_has_images(self) -> None:
        with pytest.raises(UsageError, match="class number 1 has 4"):
            draw_folds(*of_classes(9, 4), 5, 0)


class TestChoose:
    def test_five_where_nothing_is_asked(self) -> None:
        assert choose_folds(*of_classes(5, 60), None) == (5, None)

    def test_fewer_where_the_rarest_class_has_fewer_and_says_so(self) -> None:
        folds, said = choose_folds(*of_classes(20, 3), None, ("cat", "dog"))
        assert (folds, said) == (3, "3 folds instead of 5: class 'dog' has only 3 training images.")

    @pytest.mark.parametrize("asked", [2, 5, 7])
    def test_as_asked(self, asked: int) -> None:
        assert choose_folds(*of_classes(7, 9), asked) == (asked, None)

    def test_testing_images_do_not_count(self) -> None:
        labels, testing = of_classes(9, 9)
        testing[12:] = True
        assert choose_folds(labels, testing, None)[0] == 3

    @pytest.mark.parametrize("asked", [1, 0, -3])
    def test_refuses_fewer_than_two(self, asked: int) -> None:
        with pytest.raises(UsageError, match=f"folds: must be at least 2, but got {asked}. Leave it out for 5"):
            choose_folds(*of_classes(9, 9), asked)

    def test_refuses_more_than_the_rarest_class_has(self) -> None:
        rule = "at most the number of training images of the rarest class (class 'dog' has 4)"
        with pytest.raises(UsageError, match=re.escape(rule) + r".*but got 6\. Ask for 4 or fewer"):
            choose_folds(*of_classes(9, 4), 6, ("cat", "dog"))

    def test_refuses_a_class_of_one(self) -> None:
        with pytest.raises(UsageError, match="class 'dog' has 1 training image, and at least 2 are needed"):
            choose_folds(*of_classes(9, 1), None, ("cat", "dog"))

    def test_refuses_no_training_images(self) -> None:
        labels, testing = of_classes(2, 2)
        with pytest.raises(UsageError, match="no training images among 4"):
            choose_folds(labels, ~testing, None)


def test_a_class_that_groups_keep_out_of_a_fold_is_named() -> None:
    labels, none = of_classes(12, 3)
    units = np.arange(15, dtype=np.int32)
    units[12:] = [12, 12, 13]  # the second class can be in two of three folds
    with pytest.raises(UsageError, match="class 'dog' has 3 training images, of which 2 are independent"):
        draw_folds(labels, none, 3, 0, units, ("cat", "dog"))
    assignment = np.array([0, 1, 2] * 4 + [0, 0, 1], np.int16)
    said = not_validated(labels, assignment, ("cat", "dog"))
    assert said is not None and said.startswith("Fold 2 has no image of class 'dog' to judge by, since groups")
    assert not_validated(labels, draw_folds(labels, none, 3, 0), ("cat", "dog")) is None


def test_a_class_that_would_be_in_one_fold_alone_is_named_before_training() -> None:
    """Both of its groups come with images of the other class, of which one fold has to take most."""
    labels = np.array([0] * 8 + [1, 1], np.int16)
    units = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0, 1], np.int32)
    try:
        assignment = draw_folds(labels, np.zeros(10, bool), 2, 0, units, ("cat", "dog"))
    except UsageError as error:
        assert "cannot be assigned to 2 folds" in str(error)
    else:
        assert all(set(labels[assignment != fold]) == {0, 1} for fold in (0, 1))


def test_records_are_in_the_order_of_the_pixels(tmp_path: Path) -> None:
    images = read_images(make_pictures(tmp_path, testing={"a": 1, "b": 2}))
    records = image_records(images)
    assert [record.row for record in records] == list(range(23))
    assert tuple(record.path for record in records) == images.paths
    assert tuple(record.digest for record in records) == images.digests
    assert [record.label for record in records] == images.labels.tolist()
    assert [record.testing for record in records] == images.testing.tolist()
    assert {type(record.label) for record in records} == {int}  # not numpy's, which JSON refuses
    assert {type(record.testing) for record in records} == {bool}
