"""How far the saved model's probabilities can be believed: in records, words, the page and JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.as_json import as_json
from reports.html.page import unbroken
from reports.html.study import render
from reports.wording import calibration as words
from search.results.summary import StudySummary
from search.stats.calibration import Bin, Reliability
from tests.studies import example, with_choice


@pytest.mark.parametrize(("correct", "surer"), [(0.97, True), (0.6, False)])
def test_the_sentence_says_how_often_it_is_right(correct: float, surer: bool) -> None:
    data = with_choice(correct).data()
    assert data.calibrated is not None and data.pooled is not None
    right = sum(b.right * b.images for b in data.calibrated.after.bins) / data.pooled.images
    assert right == pytest.approx(data.pooled.metrics["accuracy"])
    assert (data.calibrated.correction.temperature < 1) is surer
    said = sum(b.said * b.images for b in data.calibrated.after.bins) / data.pooled.images
    overall = f"over all pictures it says {100 * said:.0f} %, and {100 * right:.0f} % are right."
    assert overall in words.answer(data)
    assert ("surer" if surer else "less sure") in words.about(data)


def of_bins(*bins: tuple[float, float], luck: float = 0.01) -> StudySummary:
    """100 pictures in each: what the model says, and how many of them are right."""
    data = with_choice().data()
    assert data.calibrated is not None
    found = tuple(Bin(100, said, right, right - 0.05, right + 0.05) for said, right in bins)
    error = sum(abs(said - right) for said, right in bins) / len(bins)
    return replace(data, calibrated=replace(data.calibrated, after=Reliability(found, error, luck)))


@pytest.mark.parametrize(
    ("bins", "verdict"),
    [
        (((0.6, 0.61), (0.9, 0.89)), "You can take its probabilities as they are: over all pictures it says 75 %"),
        (((0.6, 0.5), (0.9, 0.8)), "It is surer than it should be: over all pictures it says 75 %, and 65 % are right"),
        (((0.6, 0.7), (0.9, 0.97)), "It is less sure than it should be"),
        (((0.6, 0.5), (0.8, 0.9)), "Its probabilities are too high for some pictures and too low for others"),
    ],
)
def test_the_whole_is_told_and_both_ends(bins: tuple[tuple[float, float], ...], verdict: str) -> None:
    told = words.answer(of_bins(*bins))
    assert told.startswith(verdict)
    (least, of_least), (most, of_most) = bins
    assert f"least sure, it says {100 * least:.0f} % and {100 * of_least:.0f} % are right" in told
    assert told.endswith(f"surest, {100 * most:.0f} % and {100 * of_most:.0f} %.")


def test_few_pictures_are_not_called_a_proof() -> None:
    told = words.answer(of_bins((0.6, 0.58), (0.9, 0.91), luck=0.04))
    assert told.startswith("Nothing speaks against its probabilities, as far as 200 pictures can tell: over all")


def test_the_page_draws_it_and_says_it_to_who_does_not_see_it() -> None:
    data = with_choice().data()
    page = render(data)
    section = page[page.index('<section id="calibration">') :]
    assert unbroken(words.answer(data)) in section and unbroken(words.drawn(data)[:40]) in section
    assert 'href="#calibration"' in page


def test_json_has_the_correction_the_error_and_bins() -> None:
    plain = as_json(with_choice().data())["calibration"]
    assert plain.keys() == {"temperature", "doubt", "error", "error_by_luck", "error_before", "bins"}
    assert plain["bins"][0].keys() == {"images", "said", "right", "low", "high"}


def test_without_a_saved_model_nothing_is_said() -> None:
    data = example().data()
    assert data.calibrated is None and words.answer(data) == words.about(data) == ""
    assert 'id="calibration"' not in render(data)
    assert as_json(data)["calibration"] is None
