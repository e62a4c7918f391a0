"""Where the saved model looks, over the pictures of the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from reports.html.gradcam import look
from reports.html.study import render, write
from reports.wording.gradcam import about, place
from search.results.gradcam import Looks
from search.results.pictures import Pictures, rows_shown
from search.results.summary import StudySummary
from tests.reports.html.test_browser import CONTRAST
from tests.studies import example

CLASSES = ("cats", "dogs", "birds")


@pytest.fixture(scope="module")
def data() -> StudySummary:
    return example(CLASSES, per_class=45).data()


def corner(rows: slice, columns: slice, side: int = 6) -> NDArray[np.uint8]:
    """A map that is strong there alone."""
    made = np.full((side, side), 10, np.uint8)
    made[rows, columns] = 255
    return made


def drawn(data: StudySummary, *, unseen: bool = False, side: int = 96) -> Pictures:
    """A picture for each row that is shown, twice as high as wide, and a map for each but the first mistake."""
    examples = data.telling.examples[1:]
    small = {row: np.full((side, side // 2, 3), row % 256, np.uint8) for row in rows_shown(data)}
    of_rows = {example.row: corner(slice(0, 2), slice(4, 6)) for example in examples}
    looks = Looks("now", 3, unseen, {example.row: example.predicted for example in examples}, of_rows)
    return Pictures(small, looks=looks)


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(0, 2), slice(0, 2), "looks most at the top left"),
        (slice(0, 2), slice(2, 4), "looks most at the top"),
        (slice(2, 4), slice(4, 6), "looks most at the right"),
        (slice(2, 4), slice(2, 4), "looks most in the middle"),
        (slice(4, 6), slice(0, 1), "looks most at the bottom left"),
        (slice(0, 6), slice(0, 6), "looks at most of it"),
    ],
)
def test_the_place_is_said_in_words(rows: slice, columns: slice, words: str) -> None:
    assert place(corner(rows, columns)) == words


def test_of_a_map_with_one_place_in_a_row_the_words_are_right_too() -> None:
    assert place(np.array([[0, 0, 255]], np.uint8)) == "looks most at the right"


def test_of_a_map_without_a_place_that_is_looked_at_nothing_is_said() -> None:
    assert place(np.full((3, 3), 127, np.uint8)) == ""


def test_each_map_lies_over_its_picture_and_a_picture_without_one_stays_as_it_is(data: StudySummary) -> None:
    page = render(data, drawn(data))
    section = page[page.index('<section id="pictures">') : page.index('<section id="leaderboard">')]
    shots = sum(len(mistaken.examples) for mistaken in data.telling.mistakes) + len(data.telling.unsure)
    first = data.telling.examples[0].row
    without = sum(e.row == first for m in data.telling.mistakes for e in m.examples) + sum(
        e.row == first for e in data.telling.unsure
    )
    assert section.count('class="over"') == section.count("looks most at the top right") == shots - without
    assert section.count("<input") == 1
    assert '<label for="show-looks">' in section


def test_a_map_for_another_answer_is_not_shown(data: StudySummary) -> None:
    pictures = drawn(data)
    wrong = {row: (label + 1) % len(CLASSES) for row, label in pictures.looks.classes.items()}
    page = render(data, replace(pictures, looks=replace(pictures.looks, classes=wrong)))
    assert 'class="over"' not in page and 'id="show-looks"' not in page


def test_it_says_whose_it_is_and_that_it_is_no_proof(data: StudySummary) -> None:
    seen, unseen = (drawn(data, unseen=unseen).looks for unseen in (False, True))
    assert "the saved network of trial 3. It was trained on these pictures too" in about(seen, together=False)
    assert "by a network of trial 3 that was not trained on it" in about(unseen, together=False)
    assert "the saved network of trial 3, which counts most in the ensemble. It was" in about(seen, together=True)
    assert "of trial 3, which counts most in the ensemble, that was not trained on it" in about(unseen, together=True)
    for looks in (seen, unseen):
        assert "no proof of the cause" in about(looks, together=False)


def test_the_colours_are_brighter_where_it_looks_more() -> None:
    """So they say the same without colours, on paper and to those who see none."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    (encoded,) = re.findall(r"base64,([\w+/=]+)", str(look(ramp, (1, 48, 3))))
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L")).astype(int)[0]
    assert (np.diff(grey) >= 0).all() and grey[-1] - grey[0] > 150


# In a browser


@pytest.fixture
def page(browser: Browser, data: StudySummary, tmp_path: Path) -> Iterator[Page]:
    write(data, tmp_path / "report.html", drawn(data))
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.goto((tmp_path / "report.html").as_uri())
    yield opened
    opened.close()


def opacity(page: Page) -> set[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('.over')].map(e => getComputedStyle(e).opacity)")
    return set(found)


def test_they_are_shown_by_a_box_and_under_the_pointer(page: Page) -> None:
    assert opacity(page) == {"0"}
    page.locator(".look").first.hover()
    assert opacity(page) == {"0", "0.65"}
    page.get_by_label("Show where it looks").focus()
    page.keyboard.press("Space")
    assert opacity(page) == {"0.65"}


def test_each_map_covers_its_picture(page: Page) -> None:
    boxes = page.evaluate(
        "[...document.querySelectorAll('details[open] .look')].map(e => [...e.children].map("
        "i => { const b = i.getBoundingClientRect(); return [b.x, b.y, b.width, b.height, "
        "i.naturalHeight / i.naturalWidth] }))"
    )
    assert boxes
    for under, over in boxes:
        assert under == over


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_words_can_be_read(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_on_paper_each_map_stands_by_its_picture(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 900})
    assert opacity(page) == {"1"}
    assert not page.get_by_label("Show where it looks").is_visible()
    tops = page.evaluate(
        "[...document.querySelectorAll('details[open] .look')].map("
        "e => [...e.children].map(i => i.getBoundingClientRect().top))"
    )
    assert tops and all(over > under for under, over in tops)
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
