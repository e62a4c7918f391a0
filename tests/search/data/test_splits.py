"""Names of folders: which are those of a split, and which only have such a word in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.data.splits import Role, by_role, is_neutral, split_name, splits_among, without_split


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", Role.TRAINING),
        ("Training", Role.TRAINING),
        ("training_set", Role.TRAINING),
        ("TrainData", Role.TRAINING),
        ("trainset", Role.TRAINING),
        ("train-2017", Role.TRAINING),
        ("images_train_01", Role.TRAINING),
        ("train_val", Role.TRAINING),
        ("Val", Role.VALIDATION),
        ("dev", Role.VALIDATION),
        ("ValidationSet", Role.VALIDATION),
        ("TEST", Role.TESTING),
        ("test images", Role.TESTING),
        ("eval", Role.TESTING),
        ("evaluation-data", Role.TESTING),
        ("Hold-Out", Role.TESTING),
        ("hold_out_set", Role.TESTING),
    ],
)
def test_plain_splits(name: str, role: Role) -> None:
    split = split_name(name)
    assert split is not None and (split.role, split.rest) == (role, "")


@pytest.mark.parametrize(
    "name", ["cats", "contest", "trainers", "devil", "evaluate_me_not", "validity", "invalid", "12", ""]
)
def test_names_without_such_a_word(name: str) -> None:
    assert split_name(name) is None


def test_a_name_that_says_two_things_says_nothing() -> None:
    assert split_name("train_test_split") is None


@pytest.mark.parametrize(
    "names",
    [["test_tube", "beaker"], ["bullet_train", "steam_train", "tram"], ["crash test", "car"], ["valid", "invalid"]],
)
def test_a_class_may_have_such_a_word(names: list[str]) -> None:
    assert splits_among(names) == {}


def test_another_part_with_the_same_word_makes_it_a_split() -> None:
    assert set(splits_among(["xray_train", "xray_val", "xray_pred"])) == {"xray_train", "xray_val"}


def test_evaluation_beside_testing_is_for_validation() -> None:
    assert by_role(splits_among(["train", "eval", "test"])) == {
        Role.TRAINING: ["train"],
        Role.VALIDATION: ["eval"],
        Role.TESTING: ["test"],
    }
    assert by_role(splits_among(["train", "eval", "dev"]))[Role.TESTING] == ["eval"]


@pytest.mark.parametrize(
    ("name", "rest"), [("cats_train", "cats"), ("test-Dogs", "Dogs"), ("class 1 train", "class 1"), ("owls", "owls")]
)
def test_the_class_in_a_name(name: str, rest: str) -> None:
    assert without_split(name) == rest


def test_neutral_names() -> None:
    assert is_neutral("Images") and is_neutral("data_set") and not is_neutral("apples") and not is_neutral("12")


@given(st.text(max_size=30))
def test_any_name_has_an_answer(name: str) -> None:
    split_name(name), is_neutral(name), splits_among([name])
    assert without_split(name) is not None
