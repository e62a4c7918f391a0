"""What is said of a metric: which scores are better, and whether they are shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.html.study import render
from reports.wording.values import better, cut, in_percent
from tests.studies import example


@pytest.mark.parametrize(
    ("metric", "which", "percent"),
    [
        ("accuracy", "higher", True),
        ("balanced_accuracy", "higher", True),
        ("auroc", "higher", False),
        ("log_loss", "lower", False),
    ],
)
def test_each_metric_has_its_direction_and_kind(metric: str, which: str, percent: bool) -> None:
    assert (better(metric), in_percent(metric)) == (which, percent)


@pytest.mark.parametrize(
    ("metric", "side", "order"), [("balanced_accuracy", "right", "descending"), ("log_loss", "left", "ascending")]
)
def test_the_page_says_which_side_is_better_and_sorts_so(metric: str, side: str, order: str) -> None:
    page = render(example(metric=metric).data())
    assert f"Further {side} is better." in page and f'aria-sort="{order}" class="num"' in page


def test_a_long_message_is_cut_behind_a_sentence_else_behind_a_word_and_a_short_one_not_at_all() -> None:
    assert cut("It broke. It did so twice.", 26) == "It broke. It did so twice."
    assert cut("It broke down. It did so twice.", 24) == "It broke down."
    assert cut("It broke. It did so again, and again.", 28) == "It broke. It did so again…"
    assert cut("x" * 100, 10) == "x" * 9 + "…"
    assert cut("\x1b[31m", 20) == "\\x1b[31m"


@given(st.text(max_size=300), st.integers(2, 200))
def test_what_is_cut_is_never_longer_than_it_may_be(text: str, most: int) -> None:
    assert len(cut(text, most)) <= most
