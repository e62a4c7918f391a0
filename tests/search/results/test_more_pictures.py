"""Whether more pictures would help, in a study's records, in words, in the page and in JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.as_json import as_json
from reports.html.study import render
from reports.markdown import render as markdown
from reports.wording import more_pictures as words
from search.results.more_pictures import Verdict
from search.stats.metrics import METRICS
from tests.studies import FOLDS, Records, example, references, with_parts

RISING = (0.6, 0.7, 0.75, 0.78)
FLAT = (0.8, 0.8, 0.8, 0.8)


def test_a_rising_curve_says_what_twice_as_many_bring() -> None:
    data = with_parts(*RISING).data()
    assert data.more is not None and data.more.verdict is Verdict.HELPS
    assert [point.images for point in data.more.points] == [22, 44, 66, 88]
    assert [round(point.score, 3) for point in data.more.points] == [*RISING]
    assert words.answer(data).startswith("With twice as many pictures expect about ")
    assert "points more (" in words.answer(data)


def test_a_flat_one_says_that_they_do_not_help() -> None:
    data = with_parts(*FLAT).data()
    assert data.more is not None and data.more.verdict is Verdict.LITTLE
    assert words.answer(data).startswith("More pictures of this kind are not expected to help much")


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (with_parts(*RISING, spread=0.2), "the numbers vary too much."),
        (
            with_parts(0.48, 0.5, 0.5, 0.5),
            "linear probe on a pre-trained network is not clearly better than guessing.",
        ),
    ],
    ids=["folds disagree", "no better than chance"],
)
def test_where_it_cannot_be_said_it_says_so_and_why(records: Records, why: str) -> None:
    data = records.data()
    assert data.more is not None and data.more.verdict is Verdict.UNSURE
    assert words.answer(data) == f"Whether more pictures would help cannot be said: {why}"


@pytest.mark.parametrize(
    "records",
    [
        example(),
        replace(with_parts(*RISING), references=()),
        replace(with_parts(*RISING), references=references(FOLDS - 1, linear_probe=0.8)),
        replace(with_parts(*RISING), parts=with_parts(*RISING).parts[:3]),
        replace(with_parts(*RISING), references=references(logistic_regression=0.8)),
    ],
    ids=["no parts", "no reference", "not all folds", "no whole part", "of another method"],
)
def test_what_is_not_whole_is_not_shown(records: Records) -> None:
    data = records.data()
    assert data.more is None and words.answer(data) == ""
    assert 'id="more"' not in render(data)
    assert as_json(data)["more_pictures"] is None


def test_parts_are_no_reference_rows() -> None:
    data = with_parts(*RISING).data()
    assert [row.name for row in data.references] == ["linear_probe"]


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_has_its_words(metric: str) -> None:
    scores = (0.6, 0.5, 0.45, 0.42) if metric == "log_loss" else RISING
    records = with_parts(*scores)
    data = replace(records, study=replace(records.study, metric=metric)).data()
    assert data.more is not None and data.more.gains[0].value > 0
    assert ("less log loss" if metric == "log_loss" else "points more") in words.answer(data)


def test_the_page_draws_it_and_says_it_to_who_does_not_see_it() -> None:
    data = with_parts(*RISING).data()
    page = render(data)
    section = page[page.index('<section id="more">') :]
    assert words.answer(data) in section
    assert 'href="#more"' in page
    assert "0.780 with 88 pictures" in section


def test_markdown_says_it_too() -> None:
    data = with_parts(*RISING).data()
    assert "## Would more pictures help?" in markdown(data) and "With twice as many pictures" in markdown(data)
    assert "more pictures help" not in markdown(example().data())


def test_json_has_curve_and_gains() -> None:
    plain = as_json(with_parts(*RISING).data())["more_pictures"]
    assert plain["method"] == "linear_probe" and plain["verdict"] == "helps"
    assert [gain["times"] for gain in plain["gains"]] == [2, 4]
    assert plain["points"][-1]["images"] == 88 and plain["points"][0]["draws"] == 1
