"""Seeds: the same everywhere and for ever, different for different purposes, never 0."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.seeds import derive

purposes = st.lists(st.one_of(st.integers(), st.text(max_size=9)), max_size=4)


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        ((0,), 1_277_483_698),
        ((0, "folds", 0), 72_459_893),
        ((0, "fold", 0, 0, 0), 201_675_410),
        ((1, "fold", 17, 0, 4), 1_270_632_908),
        ((2**31 - 1, "ask", 199, 3), 596_863_089),
        ((0, "été", 1), 1_103_815_499),
    ],
)
def test_seeds_never_change_or_studies_could_not_be_resumed(arguments: tuple[int, str | int], seed: int) -> None:
    assert derive(*arguments) == seed


@given(st.integers(), purposes)
def test_a_seed_is_in_1_to_2147483647(study: int, purpose: list[str | int]) -> None:
    assert 1 <= derive(study, *purpose) <= 2**31 - 1


def test_another_hash_seed_changes_nothing() -> None:
    code = "from search.seeds import derive; print(derive(7, 'fold', 1, 0, 2))"
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(ran.stdout) == derive(7, "fold", 1, 0, 2)


def test_every_purpose_has_its_own() -> None:
    """Of 20,000 seeds below 2**31 about 0.09 pairs are expected to be equal by chance; these have none."""
    seeds = {derive(study, "fold", trial, 0, fold) for study in (0, 1) for trial in range(2000) for fold in range(5)}
    assert len(seeds) == 2 * 2000 * 5


def test_the_parts_of_a_purpose_do_not_run_into_each_other() -> None:
    assert len({derive(0, 1, 11), derive(0, 11, 1), derive(0, 111), derive(1, 11)}) == 4
