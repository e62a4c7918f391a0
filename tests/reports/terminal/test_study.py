"""The report in a terminal and in a pipe."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reports.as_json import as_json
from reports.html.history import history
from reports.terminal.study import show
from reports.wording import study as words
from search.results.summary import StudySummary
from storage.records import OUT_OF_TIME, TrialState
from tests.studies import Records, example, judged, many, with_two_objectives

HOSTILE = "[red]cat[/red] \x1b[31m\x1b]0;title\x07 \u202eevil\u2028\r\n<b>"


def printed(records: Records | StudySummary, width: int = 80, terminal: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    show(records.data() if isinstance(records, Records) else records, console)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("terminal", [False, True])
def test_no_line_but_a_command_is_longer_than_the_terminal_is_wide(width: int, terminal: bool) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(judged(), width, terminal))
    commands = [line for line in text.splitlines() if line.startswith("   search ")]
    assert "   search export --to model.onnx" in commands, "it can be copied"
    assert max(len(line) for line in text.splitlines() if line not in commands) <= width


def test_a_pipe_gets_text_without_colour_or_lines() -> None:
    text = printed(example())
    assert "\x1b" not in text
    assert not set("─│┃━╭") & set(text)


def test_it_begins_with_the_answer_and_the_caution() -> None:
    text = " ".join(printed(example()).split())
    assert words.headline(example().data()) in text
    assert "This number is optimistic: it is the best of 6 trials" in text
    assert "Changed from trial 0: filters 19, dense_layers 3" in text


def test_the_leaderboard_names_scores_folds_and_states() -> None:
    lines = printed(example()).splitlines()
    head = next(i for i, line in enumerate(lines) if "changed from trial 0" in line)
    assert lines[head + 1].split()[:6] == ["=7", "0.885", "±", "0.041", "5/5", "complete"]
    assert any(line.split()[:2] == ["11", "0.808"] and "unfinished" in line for line in lines)


def test_a_trial_that_ran_out_of_time_is_called_so_wherever_its_state_is_told() -> None:
    base = example()
    late = tuple(
        replace(t, state=TrialState.PRUNED, cause=OUT_OF_TIME, detail="its time was over after 2 of 5 folds")
        if t.number == 3
        else t
        for t in base.trials
    )
    records = replace(base, trials=late)
    data = records.data()
    assert "1 out of time" in words.counts_words(data)
    drawn = history(data)
    assert drawn is not None and any("out of time" in word for _, word in drawn.states)
    table = printed(records, 120).partition("Trials that did not finish")[2]
    assert re.search(r"1 +out of time +its time was over after 2 of 5 folds +3 *$", table, re.MULTILINE)


@pytest.mark.parametrize(("width", "shown"), [(100, ["time"]), (200, ["worst to best", "epochs", "weights", "time"])])
def test_less_important_columns_give_way_to_the_changes_of_a_trial(width: int, shown: list[str]) -> None:
    lines = printed(many(30), width).splitlines()
    head = next(line for line in lines if "changed from trial 0" in line)
    assert [title for title in ("worst to best", "epochs", "weights", "time") if title in head] == shown
    assert width - head.index("changed from trial 0") >= 44


def test_what_the_race_saved_is_printed_if_it_stopped_a_trial() -> None:
    """Trial 3 of the example has two folds, which took 48 s together."""
    base = example()
    assert "The race" not in printed(base)
    trials = tuple(replace(t, cause="behind") if t.number == 3 else t for t in base.trials)
    text = " ".join(printed(replace(base, trials=trials)).split())
    assert "1 trial was stopped for falling behind, which spared 3 fold runs, about 70 s." in text
    assert as_json(replace(base, trials=trials).data())["saved"] == {"folds": 3, "seconds": 70.5}
    assert as_json(base.data())["saved"] == {"folds": 0, "seconds": 0.0}


def test_the_leaderboard_says_which_points_were_written_by_hand() -> None:
    text = printed(example(), 160)
    assert re.search(r"^0 .*complete +\(your starting point\)", text.replace("    0", "0"), re.MULTILINE)
    assert len(re.findall(r"complete +\(known-good point\) \w+", text)) == 2


def test_failures_are_grouped_by_cause() -> None:
    text = printed(example(), 120)
    assert "out of memory, such as: the model with 41,000,000 parameters did not fit into memory" in text
    assert "4, 9" in text


def test_only_the_best_are_listed_and_the_rest_counted() -> None:
    assert "… and 80 more trials" in printed(many(100))


def test_names_are_never_markup_and_never_control_the_terminal() -> None:
    records = example()
    params = {HOSTILE: HOSTILE}
    trials = (records.trials[0], replace(records.trials[4], params=params, cause=HOSTILE, detail=HOSTILE))
    study = replace(records.study, name=HOSTILE)
    text = printed(replace(records, trials=trials, study=study, notes=(HOSTILE,), probabilities={}))
    assert "[red]cat" in text
    assert not set("\x1b\x07\u202e\u2028\r") & set(text)
    assert "\\x1b[31m" in text


def test_a_terminal_without_unicode_still_shows_everything() -> None:
    records = example()
    named = replace(records, study=replace(records.study, name="Kätzchen 猫"))
    assert "0.885 +/- 0.041" in printed(named, encoding="ascii")


def test_an_empty_study_says_so() -> None:
    assert "No trial has been run yet." in printed(replace(example(), trials=(), probabilities={}))


def test_a_star_marks_the_front_and_latency_has_a_column_where_it_is_minimised() -> None:
    text = printed(with_two_objectives("latency"), 140)
    assert "ms/image" in text and "Pareto front" in text
    assert re.search(r"^ *=\*7 .* 8\.000 ", text, re.MULTILINE)
    assert "*" not in printed(example()) and "ms/image" not in printed(example())
