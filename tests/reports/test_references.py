"""References in every view: sorted by score, without a number, never the best, and in sentences."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from reports.as_json import as_json
from reports.html.study import render
from reports.terminal.live import PlainLines
from reports.wording import study as words
from search.results.summary import TrialRow
from storage.records import TrialState
from tests.reports.terminal.test_live import TRIALS, played, progress
from tests.reports.terminal.test_study import printed
from tests.studies import FOLDS, Records, example, many, references

KNOWN = references(majority=0.5, logistic_regression=0.73, linear_probe=0.86)
HOSTILE = "<script>window.pwned=1</script> [red] \x1b[31m\u202e"


def with_references(base: Records | None = None) -> Records:
    return replace(base or example(), references=KNOWN)


def names(records: Records) -> list[int | str]:
    """The order of the leaderboard: numbers of trials, names of references."""
    data = records.data()
    return [row.number if isinstance(row, TrialRow) else row.name for row in data.with_references(data.rows)]


# Sentences


def test_each_reference_is_after_trials_as_good_and_before_those_without_a_rank() -> None:
    order = names(with_references())
    assert order[:3] == [7, 8, "linear_probe"]
    scores = {row.number: row.score for row in example().data().rows}
    place = order.index("logistic_regression")
    assert all((scores[int(n)] or 0) >= 0.73 for n in order[:place] if isinstance(n, int))
    assert order.index("majority") < min(order.index(n) for n in (3, 4, 6, 9, 11))
    assert [n for n in order if isinstance(n, int)] == [row.number for row in example().data().rows]


def test_with_a_minimised_metric_the_order_is_reversed() -> None:
    order = names(with_references(example(metric="log_loss")))
    assert order.index("logistic_regression") < order.index("linear_probe")


def test_the_best_is_never_a_reference() -> None:
    best = replace(example(), references=references(linear_probe=0.99)).data().best
    assert best is not None
    assert best.number == 7


@pytest.mark.parametrize("folds", [1, FOLDS - 1, FOLDS + 1])
def test_a_reference_that_lacks_folds_has_no_score_and_no_row(folds: int) -> None:
    records = replace(example(), references=references(folds, linear_probe=0.9))
    (row,) = records.data().references
    assert (row.score, row.spread, len(row.fold_scores)) == (None, None, folds)
    assert "linear_probe" not in names(records)
    assert words.references(records.data()) == ""


def test_a_score_that_is_nan_is_none() -> None:
    broken = tuple(replace(r, scores={} if r.fold == 2 else r.scores) for r in references(linear_probe=0.9))
    records = replace(example(), references=broken)
    (row,) = records.data().references
    assert row.score is None and math.isnan(row.fold_scores[2])
    assert render(records.data())


def test_an_infinite_score_is_none_and_breaks_no_view() -> None:
    records = replace(example(), references=references(linear_probe=math.inf))
    assert [row.score for row in records.data().references] == [None]
    assert render(records.data()) and printed(records)
    json.dumps(as_json(records.data()), allow_nan=False)


def test_json_has_name_label_score_folds_and_seconds() -> None:
    references = json.loads(json.dumps(as_json(with_references().data()), allow_nan=False))["references"]
    assert [r["name"] for r in references] == ["linear_probe", "logistic_regression", "majority"]
    assert references[1] == {
        "name": "logistic_regression",
        "label": "logistic regression on pixels",
        "score": pytest.approx(0.73),
        "folds": pytest.approx([0.71, 0.72, 0.73, 0.74, 0.75]),
        "seconds": pytest.approx(2.5),
    }
    assert as_json(example().data())["references"] == []


def test_the_words_say_by_how_much_the_best_is_better_or_that_it_is_not_clearly() -> None:
    """The best has 0.885 ± 0.041 over five folds, of 110 images: two standard errors are about 0.07."""

    def said(**means: float) -> str:
        return words.references(replace(example(), references=references(**means)).data())

    assert said(logistic_regression=0.73) == (
        "Logistic regression on pixels reaches 0.73; the best trial is better by 0.15."
    )
    assert said(linear_probe=0.86).endswith("reaches 0.86; the best trial is not clearly better (by 0.02).")
    assert said(linear_probe=0.884).endswith("the best trial is no better.")
    assert said(linear_probe=0.96).endswith("the best trial is worse by 0.08.")
    assert said(majority=0.5) == ""
    both = said(linear_probe=0.86, logistic_regression=0.73)
    assert both.index("Logistic regression") < both.index("Linear probe")


def test_without_a_best_trial_the_words_say_what_they_reach() -> None:
    failed = tuple(replace(t, state=TrialState.FAILED, folds=(), cause="error") for t in example().trials)
    records = replace(with_references(), trials=failed, probabilities={})
    assert words.references(records.data()) == (
        "Logistic regression on pixels reaches 0.73. Linear probe on a pre-trained network reaches 0.86."
    )
    assert render(records.data())


# The views


def test_the_terminal_has_a_row_for_each_and_the_words() -> None:
    text = printed(with_references(), 120)
    assert words.references(with_references().data()) in " ".join(text.split())
    row = next(line for line in text.splitlines() if "logistic regression on pixels" in line and "reference" in line)
    assert row.split()[:3] == ["0.730", "±", "0.016"]
    assert "5/5" in row and "reference" in row


def test_references_are_also_among_the_few_best_of_many_trials() -> None:
    records = replace(many(100), references=references(logistic_regression=0.4))
    lines = printed(records, 120).splitlines()
    last = next(n for n, line in enumerate(lines) if "logistic regression on pixels" in line and "reference" in line)
    assert "80 more trials" in " ".join(lines[last + 1 : last + 6])


def test_the_page_has_a_marked_row_for_each_reference_and_the_words() -> None:
    page = render(with_references().data())
    assert page.count('<tr class="reference" ') == 3
    assert words.references(with_references().data()) in page[page.index('id="leaderboard"') :]
    assert "a plain method on the same folds" in page
    assert "a plain method on the same folds" not in render(example().data())


def test_the_live_table_has_one_line_for_references_and_never_grows() -> None:
    running = KNOWN[: 2 * FOLDS + 2]
    text = played([progress(TRIALS, best=7, references=running)])
    assert "references: majority 0.500 · logistic regression 0.730 · linear probe 2/5 folds" in text
    states = [progress(TRIALS[:3], references=KNOWN[:n]) for n in range(len(KNOWN) + 1)]
    for width in (60, 80):
        shown = played(states, width)
        assert len(shown.splitlines()) == len(played(states[:1], width).splitlines())
        assert max(map(len, shown.splitlines())) <= width


def test_plain_lines_have_one_line_per_reference_when_it_has_all_folds() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    for n in range(len(KNOWN) + 1):
        lines.update(progress(TRIALS, references=KNOWN[:n]))
    assert stream.getvalue().splitlines() == [
        "reference majority class; balanced accuracy 0.500",
        "reference logistic regression on pixels; balanced accuracy 0.730",
        "reference linear probe on a pre-trained network; balanced accuracy 0.860",
    ]
    later = io.StringIO()
    PlainLines(later).update(progress(TRIALS, references=KNOWN))
    assert later.getvalue() == "", "an earlier session told of them"


def test_a_hostile_name_is_text_everywhere(browser: Browser) -> None:
    evil = tuple(replace(r, name=HOSTILE) for r in references(x=0.8))
    records = replace(example(), references=evil)
    text = printed(records, 120) + played([progress(TRIALS, references=evil)], 120)
    assert not set("\x1b\u202e") & set(text)
    page = browser.new_page()
    page.set_content(render(records.data()))
    assert page.evaluate("window.pwned") is None
    assert "<script>" in page.locator("tr.reference th").inner_text()
    page.close()


def test_references_are_sorted_by_score_and_last_by_number(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_content(render(with_references().data()))

    def places() -> list[int]:
        classes = page.locator(".board tbody tr").evaluate_all("rows => rows.map(r => r.className)")
        return [n for n, name in enumerate(classes) if name == "reference"]

    before = places()
    page.get_by_role("button", name="Balanced accuracy").click()  # it began descending
    assert places() != before
    page.get_by_role("button", name="Trial").first.click()
    assert places() == [12, 13, 14]
    page.close()


def test_a_console_without_unicode_shows_them() -> None:
    assert re.search(
        r"0\.730 \+/- 0\.016 .* logistic regression on pixels", printed(with_references(), 120, encoding="ascii")
    )
