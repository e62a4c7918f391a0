"""The report as Markdown: complete, and names from files are never markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reports.markdown import render, write
from reports.wording import answer as words
from search.results.importance import figures
from tests.studies import a_test, example, judged, many

HOSTILE = "[x](javascript:alert(1)) <script>alert(1)</script> **b** | ` ~~ # \x1b[31m \u202e"


@pytest.fixture(scope="module")
def text() -> str:
    return render(judged(a_test(0.85, 0.75, 0.95)))


def test_it_begins_with_the_answer_and_has_the_sections_of_the_page(text: str) -> None:
    assert text.startswith(
        "# cats and dogs\n\nOn new pictures like these, the model that was saved is right about 86 %"
    )
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## What to do next",
        "## How to use the model",
        "## Labels to look at",
        "## What it confuses",
        "## Leaderboard",
        "## Good and quick, good and small",
        "## Which parameters mattered",
        "## Trials that did not finish",
        "## Where the time went",
        "## How to repeat it",
    ]


def test_every_score_is_in_a_table_with_its_interval(text: str) -> None:
    assert "| expected on new pictures | 86 % (80 to 91 %) |" in text
    assert "| 50 testing pictures | 85 % (75 to 95 %) |" in text
    assert "| guessing | 50 % |" in text


def test_rows_of_a_table_have_as_many_cells_as_its_head(text: str) -> None:
    cells = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        found = line.replace("\\|", "").count("|")
        assert cells in (0, found), line
        cells = found


def test_names_are_never_markup() -> None:
    records = example((HOSTILE, "dogs"))
    params = {HOSTILE: HOSTILE}
    trials = (records.trials[0], replace(records.trials[4], params=params, cause=HOSTILE, detail=HOSTILE))
    study = replace(records.study, name=HOSTILE)
    told = render(replace(records, trials=trials, study=study, notes=(HOSTILE,)).data())
    assert not set("\x1b\u202e") & set(told)
    assert "<script" not in told.replace("\\<script", "") and "](javascript" not in told.replace("\\](javascript", "")


def test_a_long_search_shows_the_best_and_counts_the_others() -> None:
    assert "… and 70 more trials." in render(many(100).data())


def test_an_empty_study_says_so_and_the_file_is_written_in_one_step(tmp_path: Path) -> None:
    data = example().data(trials=(), probabilities={})
    write(data, tmp_path / "report.md")
    assert words.answer(data) in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_importance_is_a_table_with_ranges_or_the_reason_why_there_is_none(text: str) -> None:
    assert "from few trials importance is luck" in text
    data = many(60).data()
    weights, told = figures(data), render(data)
    name, share = next(iter(weights.importance.items()))
    low, high = weights.ranges[name]
    shown = f"| {name.replace('_', chr(92) + '_')} | {100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f} %) |"
    assert shown in told and told == render(data, weights)
