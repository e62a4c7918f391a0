"""The lock-box: which images are drawn, that they stay the same, and that nothing else is learned of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.data import holdout
from search.data.check import Checked
from search.data.groups import Grouping
from search.data.holdout import MIN_IMAGES, draw_holdout
from search.data.images import ImageSet
from search.errors import UsageError
from search.session.prepare import prepare
from search.study.config import parse
from search.study.database import create, open_begun
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from storage import RunRecord, Store, TrialRecord
from storage.records import Origin
from tests.pictures import make_pictures


def image_set(labels: NDArray[np.int16], testing: NDArray[np.bool_] | None = None) -> ImageSet:
    count = len(labels)
    none = np.zeros(count, np.bool_)
    names = tuple(str(row) for row in range(count))
    sizes, pixels = np.full((count, 2), 8, np.int32), np.zeros((count, 8, 8, 1), np.uint8)
    classes = tuple("abc"[: int(labels.max()) + 1])
    return ImageSet(pixels, labels, none if testing is None else testing, names, names, classes, sizes, none, (), "")


def checked(
    images: ImageSet, units: NDArray[np.int32] | None = None, excluded: NDArray[np.bool_] | None = None
) -> Checked:
    own = np.arange(len(images.labels), dtype=np.int32) if units is None else units
    none = np.zeros(len(own), np.bool_)
    grouping = Grouping(own, images.testing if excluded is None else excluded, own, scene=none)
    return Checked((), grouping, None, 5, None, ())


def labels_of(*counts: int) -> NDArray[np.int16]:
    return np.repeat(np.arange(len(counts), dtype=np.int16), counts)


def test_from_1000_images_on_a_sixth_is_drawn_of_each_class_alike() -> None:
    images = image_set(labels_of(900, 240, 60))
    found = draw_holdout(images, checked(images), seed=1)
    assert np.bincount(images.labels[found]).tolist() == [150, 40, 10]


def test_the_seed_decides_which() -> None:
    images = image_set(labels_of(600, 600))
    one, again, other = (draw_holdout(images, checked(images), seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()


def test_what_belongs_together_is_not_split() -> None:
    images = image_set(labels_of(600, 600))
    units = (np.arange(1200) // 7).astype(np.int32)
    found = draw_holdout(images, checked(images, units), seed=3)
    assert 0.14 < found.mean() < 0.2
    assert not set(units[found]) & set(units[~found])


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (image_set(labels_of(500, MIN_IMAGES - 501)), "fewer"),
        (image_set(labels_of(700, 700), np.arange(1400) % 9 == 0), "a testing folder"),
        (image_set(labels_of(1400, 5)), "a class with too few"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_none_is_drawn(images: ImageSet, why: str) -> None:
    assert not draw_holdout(images, checked(images), seed=1).any(), why


def test_few_groups_are_not_drawn_from() -> None:
    images = image_set(labels_of(600, 600))
    assert not draw_holdout(images, checked(images, (np.arange(1200) % 5).astype(np.int32)), seed=1).any()


# In a study


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """36 pictures of two classes, and a limit that they reach."""
    make_pictures(tmp_path / "shapes", {"left": 18, "top": 18})
    (tmp_path / "study").mkdir()
    monkeypatch.setattr(holdout, "MIN_IMAGES", 36)
    return tmp_path / "study"


def prepared(folder: Path, **changes: Any) -> Prepared:
    return prepare(parse({"images": "../shapes", "preset": "cnn", **changes}, "here"), folder)


def begun(folder: Path, **changes: Any) -> Prepared:
    found = prepared(folder, **changes)
    with create(StudyFolder(folder), found) as store:
        run = store.start_run(RunRecord("2026-01-01T00:00:00+00:00", "search run", {}, "here", 1))
        store.add_trial(TrialRecord(0, found.space.defaults(), Origin.BASELINE), run=run, seconds=0.0)
    return found


def test_what_is_locked_away_is_for_testing_and_in_no_fold(place: Path) -> None:
    begun(place)
    with Store.open(place / "study.db", read_only=True) as store:
        locked = np.array([image.testing for image in store.images()])
        assert locked.sum() == 6
        assert ((store.split().assignment == -1) == locked).all()
        assert store.study().config["lock_box"] == 6
        assert "6 of 36 images were drawn and are locked away" in store.study().notes[0]


def test_a_study_goes_on_with_the_images_that_it_locked_away_whatever_would_be_drawn_now(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun(place)
    monkeypatch.setattr(holdout, "MIN_IMAGES", 1000)
    after = prepared(place)
    assert (before.images.testing == after.images.testing).all()
    with Store.open(place / "study.db", read_only=True) as store:
        check_same(store, after)


def test_it_can_be_refused_before_the_study_begins_and_not_afterwards(place: Path) -> None:
    assert not prepared(place, lock_box=False).images.testing.any()
    begun(place)
    with pytest.raises(UsageError, match=r"lock_box: the study has 6, asked is nothing"):
        open_begun(StudyFolder(place), prepared(place, lock_box=False))


def test_a_study_of_a_release_without_goes_on_without(place: Path) -> None:
    begun(place, lock_box=False)
    found = prepared(place)
    assert found.locked == 0 and not found.images.testing.any()
    with Store.open(place / "study.db", read_only=True) as store:
        check_same(store, found)


def test_copies_stay_on_one_side(place: Path) -> None:
    for number in range(12):
        picture = place.parent / "shapes" / "left" / f"{number:04}.png"
        picture.with_name(f"copy-{number:04}.png").write_bytes(picture.read_bytes())
    images = prepared(place).images
    excluded = set(np.array(images.digests)[images.testing])
    assert excluded and not excluded & set(np.array(images.digests)[~images.testing])
