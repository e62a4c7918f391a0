"""The leaderboard's filter and drawers, and the drawings below it, in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from storage.records import ChoiceRecord
from tests.reports.html.test_browser import CONTRAST, Visit, clean, hostile, opened, visit
from tests.studies import Records, example, many, references, with_backbones

__all__ = ["visit"]  # a fixture

OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


def whole() -> Records:
    """Everything that the sections can show: families, references, an ensemble, confusions of single trials."""
    base = with_backbones()
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 8, ((8, 0.5), (5, 0.5)), (), 0, 30.0, None)
    others = dict.fromkeys((5, 7, 8), base.probabilities)
    return replace(base, references=references(majority=0.5, linear_probe=0.8), others=others, choices=(choice,))


def numbers(page: Page) -> list[str]:
    """The trials that are shown."""
    return [text.strip("=*") for text in page.locator("#board > tbody > tr:visible > th.num").all_inner_texts()]


def test_the_filter_finds_values_and_kinds_and_says_how_many_rows_are_left(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, whole(), tmp_path)
    rows = page.locator("#board > tbody > tr")
    assert page.locator(".filter output").inner_text() == f"{rows.count()} of {rows.count()} rows"
    page.get_by_label("Find").fill("frozen_backbone lite0")
    assert sorted(numbers(page)) == ["7", "8"]
    page.get_by_label("Find").fill("")
    page.get_by_role("checkbox", name="cnn").uncheck()
    assert sorted(numbers(page)) == ["1", "5", "7", "8"]
    page.get_by_role("checkbox", name="reference").uncheck()
    assert page.locator("#board tr.reference:visible").count() == 0
    assert page.locator(".filter output").inner_text() == f"4 of {rows.count()} rows"
    page.get_by_role("button", name="Show all").click()
    page.locator("#board tr.reference").first.wait_for(state="visible")
    assert page.locator("#board > tbody > tr:visible").count() == rows.count()
    clean(visit)


def test_the_filter_works_with_the_keyboard_alone_and_keeps_to_what_it_hides_when_sorting(
    visit: Visit, tmp_path: Path
) -> None:
    page = opened(visit, whole(), tmp_path)
    page.get_by_label("Find").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "checkbox"
    before = numbers(page)
    page.keyboard.press("Space")
    left = numbers(page)
    assert 0 < len(left) < len(before)
    page.get_by_role("button", name="Trial").first.focus()
    page.keyboard.press("Enter")
    assert numbers(page) == sorted(left, key=int)
    page.get_by_label("Find").focus()
    page.keyboard.press("Enter")
    assert page.url.startswith("file:") and numbers(page), "nothing is sent"
    clean(visit)


def test_where_script_is_off_there_is_no_filter_and_every_row(visit: Visit, tmp_path: Path) -> None:
    opened(visit, whole(), tmp_path)
    context = visit.page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr] # it is open
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert not page.locator(".filter").is_visible()
    assert page.locator("#board > tbody > tr:visible").count() == 14
    page.locator("#board summary").first.click()
    assert page.locator("#board .params").first.is_visible()
    context.close()


@pytest.mark.parametrize("width", [400, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_open_drawers_fit_and_can_be_read(visit: Visit, tmp_path: Path, width: int, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of two words
    page = opened(visit, whole(), tmp_path, width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    clean(visit)


def test_values_of_a_hostile_study_can_be_filtered_by(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, hostile(), tmp_path)
    page.evaluate(OPEN_ALL)
    boxes = page.locator(".filter [name=family]")
    assert boxes.count() == 8
    before = page.locator("#board > tbody > tr:visible").count()
    boxes.nth(0).uncheck()
    assert page.locator("#board > tbody > tr:visible").count() == before - 3
    page.get_by_label("Find").fill("<script>window.pwned=1</script>")
    assert page.evaluate("window.pwned") is None
    clean(visit)


@pytest.mark.parametrize("width", [400, 1280])
def test_forty_classes_fit(visit: Visit, tmp_path: Path, width: int) -> None:
    records = example([f"a class with a long name {n}" for n in range(40)], per_class=12)
    page = opened(visit, replace(records, others={7: records.probabilities}), tmp_path, width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clean(visit)


def test_words_in_drawings_stay_inside_of_them(visit: Visit, tmp_path: Path) -> None:
    """At both sizes of letters."""
    outside = (
        "[...document.querySelectorAll('.scatter text, .slice text, .recall-dot text')].filter(t => {"
        "  const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();"
        "  return t.checkVisibility() && (a.left < b.left - 2 || a.right > b.right + 2 || a.bottom > b.bottom + 2);"
        "}).map(t => t.textContent)"
    )
    for width in (400, 1280):
        for records in (whole(), many(60)):
            page = opened(visit, records, tmp_path, width)
            page.evaluate(OPEN_ALL)
            assert page.evaluate(outside) == []
