"""The recipe: what parameters say about training, whoever declares them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import Value
from spaces.facts import Facts
from spaces.recipe import SCHEDULES, WARM_UP, Recipe, own_recipe, recipe_of

FACTS = Facts(8, 8, 3, 2, 100)


def test_what_is_not_named_stays_as_it_is() -> None:
    assert recipe_of({}, FACTS) == Recipe()
    assert recipe_of({"learning_rate": 0.1, "filters": 8}, FACTS) == Recipe()


def test_every_name_that_is_read() -> None:
    params: dict[str, Value] = {
        "batch_size": 8,
        "epoch": "50 steps",
        "schedule": "cosine",
        "augmentation": "mixup",
        "vertical_flip": True,
        "class_weights": "balanced",
        "ema": True,
        "flip_average": True,
    }
    assert recipe_of(params, FACTS) == Recipe(8, 50, "cosine", "mixup", True, True, True, True, True)


def test_where_flips_are_not_allowed_there_are_none() -> None:
    recipe = recipe_of({"vertical_flip": True, "flip_average": True}, Facts(8, 8, 3, 2, 100, flip=False))
    assert (recipe.flip, recipe.vertical_flip, recipe.flip_average) == (False, False, False)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"schedule": "cosin"}, "schedule: there is no 'cosin'; did you mean 'cosine'?"),
        ({"augmentation": "none at all"}, "augmentation: there is no 'none at all'"),
    ],
)
def test_an_unknown_word_is_named(params: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of(params, FACTS)


@given(st.integers(1, 500), st.sampled_from(SCHEDULES))
def test_rates_are_shares_and_only_a_cosine_changes_them(steps: int, schedule: str) -> None:
    rates = [Recipe(schedule=schedule).rate(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    if schedule != "cosine":
        assert set(rates) == {1.0}


@given(st.integers(40, 500))
def test_a_cosine_warms_up_and_then_only_falls(steps: int) -> None:
    rates = [Recipe(schedule="cosine").rate(step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert 0 < top <= WARM_UP * steps + 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.55
    assert rates[-1] < 0.01


def test_a_cosine_counts_as_a_whole() -> None:
    assert [Recipe(schedule=schedule).judged_at_the_end for schedule in SCHEDULES] == [False, True, False]


def test_a_builder_of_ones_own_declares_three_things_and_means_its_own_by_all_else() -> None:
    theirs: dict[str, Value] = {"schedule": "step", "ema": True, "class_weights": "balanced", "epoch": "50 steps"}
    assert own_recipe({"batch_size": 8, "epochs": 3, "augmentation": "mixup", **theirs}, FACTS) == Recipe(
        batch_size=8, augmentation="mixup"
    )
    assert own_recipe({"augmentation": "mosaic"}, FACTS) == Recipe()
    assert own_recipe({"augmentation": 3}, FACTS) == Recipe()
