"""How the saved model is used: commands that can be typed where they are read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reports.html.study import render as page
from reports.markdown import render as markdown
from reports.terminal.study import show
from reports.wording.study import choice
from reports.wording.using import TITLE, uses
from search.results.summary import StudySummary
from tests.studies import a_test, example, judged


@pytest.fixture(scope="module")
def data() -> StudySummary:
    return judged(a_test(0.85, 0.75, 0.95))


def printed(data: StudySummary, study: Path | None) -> str:
    out = io.StringIO()
    show(data, Console(file=out, width=120), study=study)
    return out.getvalue()


def test_page_and_markdown_give_commands_for_the_study_s_folder(data: StudySummary) -> None:
    for use in uses(data):
        assert f"<code>{use.command}</code>" in page(data)
        assert f"`{use.command}`" in markdown(data)
    assert [use.command for use in uses(data)] == ["search predict . NEW", "search export --to model.onnx"]


def test_the_terminal_names_the_study_so_that_they_can_be_typed_where_it_stands(data: StudySummary) -> None:
    elsewhere = printed(data, Path("my study"))
    assert "search predict 'my study' NEW" in elsewhere
    assert "search export 'my study' --to model.onnx" in elsewhere
    assert "search predict . NEW" in printed(data, None)


def test_where_its_file_is_not_there_the_command_that_makes_it_is_named(data: StudySummary) -> None:
    """As after a copy from a server, which has no settings either."""
    assert data.chosen is not None
    gone = replace(data, chosen=replace(data.chosen, missing=True))
    assert [use.command for use in uses(gone)] == ["search export --to model.keras"]
    assert "search predict" not in printed(gone, None) + page(gone) + markdown(gone)
    assert choice(gone) == f"{choice(data)} Its file is not in this folder."
    copied = replace(gone, has_settings=False)
    asked = f"search run IMAGES --preset {data.preset} --seed {data.study.seed} --trials {len(data.rows)} --dir"
    assert [use.command for use in uses(copied)] == [f"{asked} ."]
    assert f"{asked} 'my study'" in printed(copied, Path("my study"))


def test_without_a_saved_model_nothing_is_said_of_it() -> None:
    data = example().data()
    assert data.chosen is None
    assert not uses(data)
    assert all(TITLE not in text for text in (page(data), markdown(data), printed(data, Path("study"))))
