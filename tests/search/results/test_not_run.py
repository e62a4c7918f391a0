"""What a search had no time for: told once a model is saved, with the command that makes up for it."""

from __future__ import annotations

from dataclasses import replace

from reports.as_json import as_json
from reports.html.study import render
from reports.wording import answer as words
from search.results.not_run import NotRun, not_run
from tests.studies import references, with_choice, with_parts


def test_plain_methods_and_the_learning_curve_are_missed_once_a_model_is_saved() -> None:
    records = with_choice()
    assert not_run(records.data()) == NotRun(plain=True, curve=True)
    only_guessing = replace(records, references=references(majority=0.5))
    assert not_run(only_guessing.data()) == NotRun(plain=True, curve=True)
    assert not_run(replace(records, references=references(linear_probe=0.8)).data()) == NotRun(curve=True)


def test_nothing_is_missed_while_it_may_still_come_or_where_all_is_there() -> None:
    records, measured = with_choice(), with_parts(0.6, 0.7, 0.75, 0.78)
    assert not_run(replace(records, choices=()).data()) == NotRun()
    assert not_run(replace(records, searching=True).data()) == NotRun()
    whole = replace(records, references=measured.references, parts=measured.parts)
    assert not_run(whole.data()) == NotRun()
    assert words.missing(whole.data()) == ""


def test_a_curve_whose_fits_are_never_begun_is_not_promised() -> None:
    slow = tuple(replace(record, seconds=60.0) for record in references(linear_probe=0.8))
    assert not_run(replace(with_choice(), references=slow).data()) == NotRun()


def test_the_page_and_json_have_the_command() -> None:
    data = with_choice().data()
    told = words.missing(data)
    assert told.startswith(
        "No plain method was run yet to compare the model with, and whether more pictures would help"
    )
    command = as_json(data)["not_run"]["command"]
    assert command.startswith("search resume --trials 30 --time ") and f"`{command}`" in told
    assert f"<code>{command}</code>" in render(data).split("<main>")[0]
    assert as_json(replace(with_choice(), choices=()).data())["not_run"] == {
        "plain_methods": False,
        "more_pictures": False,
        "command": None,
    }
