"""Classes that are merged or left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.data.images import read_images
from search.data.origin import Origin
from search.errors import UsageError
from tests.pictures import make_pictures


@pytest.fixture
def root(tmp_path: Path) -> Path:
    counts = {"cat": 4, "Kitten": 3, "dog": 5, "bird": 3}
    return make_pictures(tmp_path / "set", counts, testing=dict.fromkeys(counts, 2))


def test_merging_comes_first_and_testing_images_follow(root: Path) -> None:
    images = read_images(Origin((root,), merge=("pet=cat+Kitten",), classes=("pet", "dog")))
    assert images.classes == ("dog", "pet")
    assert [int((images.labels[~images.testing] == label).sum()) for label in (0, 1)] == [5, 7]
    assert [int((images.labels[images.testing] == label).sum()) for label in (0, 1)] == [2, 4]
    (note,) = [note for note in images.notes if note.kind == "class left out"]
    assert (note.path, note.left_out) == ("bird", True) and "with 5 files" in note.message
    assert images.reading.endswith(
        "As you say, 'cat', 'Kitten' are read as 'pet'; only the classes 'dog', 'pet' of 3 are read."
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"classes": ("cta", "dog")}, "classes: there is no class 'cta'; did you mean 'cat'?"),
        ({"classes": ("kitten", "dog")}, "did you mean 'Kitten'?"),
        ({"classes": ("x", "y")}, "there is no class 'x' and 1 more; the classes are 'Kitten', 'bird', 'cat', 'dog'"),
        ({"merge": ("pet=cat+dgo",)}, "merge: there is no class 'dgo'; did you mean 'dog'?"),
        ({"merge": ("pet",)}, "merge: must be such as pet=cat+dog, but got 'pet'"),
        ({"merge": ("=cat+dog",)}, "must be such as pet=cat+dog"),
        ({"merge": ("pet=cat+",)}, "must be such as pet=cat+dog"),
        ({"merge": ("dog=cat+Kitten",)}, "there is a class 'dog' already; add it to those that are merged"),
        ({"merge": ("a=cat+dog", "b=dog+bird")}, "class 'dog' is merged twice"),
        ({"merge": ("a=cat+cat",)}, "class 'cat' is merged twice"),
        ({"merge": ("pet=cat+dog",), "classes": ("cat", "bird")}, "classes: there is no class 'cat'"),
        ({"classes": ("cat",)}, "one class only, 'cat' 4 training images"),
    ],
)
def test_what_cannot_be_is_refused(root: Path, asked: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_images(Origin((root,), **asked))  # type: ignore[arg-type]
    assert said in str(refused.value)
