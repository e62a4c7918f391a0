"""What is said of a metric: which scores are better, and whether they are shares."""

from __future__ import annotations

import pytest

from reports.html.study import render
from reports.wording.values import better, in_percent
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
