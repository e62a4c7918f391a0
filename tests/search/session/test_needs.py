"""What fold runs need is known from the arithmetic of pre-trained networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.executors.workers import WIDE_STEP, Machine, choose
from search.session.needs import need_of
from search.session.prepare import prepare
from search.study.prepared import Prepared
from spaces.backbones.lite import LITE0
from spaces.presets import preset
from tests.search.shapes import FOLDER, settings


@pytest.fixture
def prepared(place: Path) -> Prepared:
    return prepare(settings(), place / FOLDER)


def with_preset(prepared: Prepared, name: str, images: int = 2_000, **narrow: Any) -> Prepared:
    facts = replace(prepared.facts, backbones=(LITE0,), images=images)
    return replace(prepared, preset=preset(name), facts=facts, space=preset(name).space(facts).narrow(narrow))


def test_a_network_from_scratch_needs_nothing_that_matters(prepared: Prepared) -> None:
    need = need_of(replace(prepared, config=prepared.config.model_copy(update={"trials": 4})))
    assert (need.bytes, need.step, need.seconds) == (0, 0.0, 0.0)
    assert (need.folds, need.runs) == (prepared.folds, 4 * prepared.folds)
    assert need_of(replace(prepared, config=prepared.config.model_copy(update={"trials": None}))).runs is None


def test_larger_pictures_need_more_of_everything(prepared: Prepared) -> None:
    small, large = (need_of(with_preset(prepared, "fine-tune", input_size=size)) for size in (96, 224))
    assert large.bytes > 1.5 * small.bytes
    assert large.step > 4 * small.step > 4 * WIDE_STEP
    assert large.seconds > 4 * small.seconds


def test_heads_on_features_need_memory_but_no_threads(prepared: Prepared) -> None:
    need = need_of(with_preset(prepared, "frozen"))
    assert need.bytes > 0 and need.step == need.seconds == 0


def test_in_a_space_of_all_families_the_known_good_points_count(prepared: Prepared) -> None:
    assert need_of(with_preset(prepared, "auto")).step > WIDE_STEP


def test_a_fine_tune_of_large_pictures_gets_fewer_and_wider_workers_on_many_cores(prepared: Prepared) -> None:
    config = prepared.config.model_copy(update={"trials": None})
    need = need_of(replace(with_preset(prepared, "fine-tune", input_size=224), config=config, folds=5))
    chosen = choose(Machine(64, 256 * 10**9), need)
    assert chosen.number * chosen.threads in range(56, 65) and chosen.threads > 1
    assert choose(Machine(2, 24 * 10**9), need).words == "2 workers of 1 thread: one a core"
