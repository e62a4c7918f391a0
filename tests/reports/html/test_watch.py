"""A page that follows a search, in a real browser: it loads itself anew, at the same place, and disturbs nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from reports.html.study import render, write
from tests.studies import example

BEFORE, AFTER = "12:00:00", "12:00:05"


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page of a running search, whose clock stands still until a test moves it."""
    write(example().data(), tmp_path / "report.html", watched=BEFORE)
    opened = browser.new_page(viewport={"width": 1000, "height": 600})
    opened.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )
    opened.clock.install()
    opened.goto((tmp_path / "report.html").as_uri())
    write(example().data(), tmp_path / "report.html", watched=AFTER)
    yield opened
    opened.close()


def shown(page: Page) -> str:
    return page.locator(".kicker").inner_text()


def stays(page: Page) -> None:
    """Fails if the page loads itself anew. That begins a little after the script asks for it, so it is asked twice."""
    for _ in range(2):
        page.clock.run_for(20_000)
        page.evaluate("new Promise(done => requestIdleCallback(done))")
        page.wait_for_load_state()
        assert BEFORE in shown(page)


def test_it_loads_itself_anew_at_the_same_place_and_asks_for_nothing_else(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    assert BEFORE in shown(page)
    page.evaluate("scrollTo(0, 700)")
    page.clock.run_for(5_000)
    page.get_by_text(AFTER).wait_for(state="attached")
    page.wait_for_load_state()
    page.wait_for_function("scrollY === 700")
    assert {*requests} == {page.url}
    assert page.evaluate("violations") == []


def test_what_the_reader_opened_stays_open(page: Page) -> None:
    page.locator(".board details").first.evaluate("one => one.open = true")
    stays(page)
    page.locator(".board details").first.evaluate("one => one.open = false")
    page.clock.run_for(5_000)
    page.get_by_text(AFTER).wait_for(state="attached")


def test_what_the_reader_marked_stays_marked(page: Page) -> None:
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    stays(page)


@pytest.mark.parametrize("where", ["a[href]", "#board thead button", "#board summary"])
def test_the_keyboard_stays_where_it_is(page: Page, where: str) -> None:
    page.locator(where).first.focus()
    stays(page)
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(5_000)
    page.get_by_text(AFTER).wait_for(state="attached")


def test_a_filter_stays_until_all_rows_are_shown_again(page: Page) -> None:
    page.get_by_label("Find").fill("no such trial")
    page.evaluate("document.activeElement.blur()")
    stays(page)
    page.get_by_role("button", name="Show all").click()
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(5_000)
    page.get_by_text(AFTER).wait_for(state="attached")


def test_the_order_of_a_table_stays(page: Page) -> None:
    page.locator("#board thead button").first.click()
    page.evaluate("document.activeElement.blur()")
    stays(page)


def test_a_page_that_nobody_watches_has_no_such_script() -> None:
    assert "location.reload" not in render(example().data())
