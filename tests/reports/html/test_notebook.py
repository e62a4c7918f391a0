"""A study in a notebook: small, and all names are escaped."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from reports.html.notebook import ROWS, of_study
from reports.wording import study as words
from tests.studies import example, many


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.names.append(tag)


def test_it_has_the_answer_and_the_head_of_the_leaderboard() -> None:
    data = example().data()
    page = of_study(data)
    assert words.headline(data) in page
    assert Tags(page).names.count("tr") == 1 + ROWS
    assert set(Tags(page).names) == {"p", "b", "table", "tr", "th", "td"}


def test_it_stays_small() -> None:
    assert len(of_study(many(300).data())) < 5000


def test_names_are_text() -> None:
    records = example()
    data = records.data()
    evil = replace(data, study=replace(data.study, name="<script>alert(1)</script>\u202e"))
    page = of_study(evil)
    assert "<script>" not in page and "&lt;script&gt;" in page and "\u202e" not in page
