"""How far the saved model's probabilities can be believed: in records, words, the page and JSON."""

from __future__ import annotations

import pytest

from reports.as_json import as_json
from reports.html.study import render
from reports.wording import calibration as words
from tests.studies import example, with_choice


@pytest.mark.parametrize(("correct", "surer"), [(0.97, True), (0.6, False)])
def test_the_sentence_says_how_often_it_is_right(correct: float, surer: bool) -> None:
    data = with_choice(correct).data()
    assert data.calibrated is not None and data.pooled is not None
    right = sum(b.right * b.images for b in data.calibrated.after.bins) / data.pooled.images
    assert right == pytest.approx(data.pooled.metrics["accuracy"])
    assert (data.calibrated.temperature < 1) is surer
    assert words.answer(data).startswith("When the saved model says ")
    assert ("surer" if surer else "less sure") in words.about(data)


def test_the_page_draws_it_and_says_it_to_who_does_not_see_it() -> None:
    data = with_choice().data()
    page = render(data)
    section = page[page.index('<section id="calibration">') :]
    assert words.answer(data) in section and words.drawn(data)[:40] in section
    assert 'href="#calibration"' in page


def test_json_has_temperature_error_and_bins() -> None:
    plain = as_json(with_choice().data())["calibration"]
    assert plain.keys() == {"temperature", "error", "error_by_luck", "error_before", "bins"}
    assert plain["bins"][0].keys() == {"images", "said", "right", "low", "high"}


def test_without_a_saved_model_nothing_is_said() -> None:
    data = example().data()
    assert data.calibrated is None and words.answer(data) == words.about(data) == ""
    assert 'id="calibration"' not in render(data)
    assert as_json(data)["calibration"] is None
