"""All families in one space: each parameter under its family's condition, and each point what its family knows."""

from __future__ import annotations

import numpy as np
import pytest

from spaces import Choice, SpaceError
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES, PRESETS, Auto, Preset, auto, family_of

WITH, WITHOUT = Facts(32, 32, 3, 2, 200, (LITE0,)), Facts(32, 32, 3, 2, 200)


@pytest.fixture
def chosen() -> Auto:
    found = PRESETS["auto"]
    assert isinstance(found, Auto)
    return found


@pytest.mark.parametrize(
    ("facts", "families"),
    [(WITH, ("frozen", "fine-tune", "cnn", "question")), (WITHOUT, ("cnn", "question"))],
)
def test_families_with_a_backbone_are_there_where_one_is(chosen: Auto, facts: Facts, families: tuple[str, ...]) -> None:
    family = chosen.space(facts).by_name["family"]
    assert isinstance(family, Choice)
    assert (family.values, family.default) == (families, families[0])


def test_a_point_has_its_familys_parameters_only_and_they_are_a_point_of_it(chosen: Auto) -> None:
    space = chosen.space(WITH)
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(40):
        point = space.sample(rng)
        family, params = family_of(chosen, point)
        seen.add(family.name)
        assert isinstance(family, Preset)
        family.space(WITH).check(params)
        assert len(params) == len(point) - 1
        assert all(name.startswith(auto.prefix(family.name)) for name in point if name != "family")
    assert seen == set(FAMILIES)


def test_the_default_point_of_each_family_is_that_familys_own(chosen: Auto) -> None:
    space = chosen.space(WITH)
    for name, family in FAMILIES.items():
        found, params = family_of(chosen, space.defaults(family=name))
        assert (found.name, dict(params)) == (name, family.space(WITH).defaults())


def test_conditions_within_a_family_hold_under_its_name(chosen: Auto) -> None:
    space = chosen.space(WITH)
    assert "cnn_l2" not in space.defaults(family="cnn")
    assert "cnn_l2" in space.defaults(family="cnn", cnn_weight_penalty="l2")


def test_it_is_narrowed_by_the_names_that_the_table_shows(chosen: Auto) -> None:
    space = chosen.space(WITH).narrow({"family": ["cnn", "frozen"], "cnn_dropout": 0.3})
    family = space.by_name["family"]
    assert isinstance(family, Choice)
    assert family.values == ("cnn", "frozen")
    with pytest.raises(SpaceError, match="did you mean 'cnn_dropout'"):
        chosen.space(WITH).narrow({"cnn_droput": 0.3})


def test_a_preset_of_one_family_is_itself() -> None:
    cnn = FAMILIES["cnn"]
    point = cnn.space(WITH).defaults()
    assert family_of(cnn, point) == (cnn, point)
