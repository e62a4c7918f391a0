"""The backbones of a study side by side: each by its best trial on frozen features."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from reports.as_json import as_json
from reports.html.study import render
from reports.terminal.study import show
from reports.wording import study as words
from search.results.backbones import BackboneRow, backbone_rows
from storage.records import TrialRecord, TrialState
from tests.studies import example, trial, with_backbones


def test_each_backbone_is_shown_by_its_best_frozen_trial_with_what_an_image_takes() -> None:
    data = with_backbones().data()
    best, second = data.backbones
    assert (best.name, best.trial, best.side, best.milliseconds) == ("lite0", 7, 192, None)
    assert (second.name, second.trial, second.side, second.milliseconds) == ("lite2", 1, 128, 6.0)
    assert best.score == next(row.score for row in data.rows if row.number == 7)
    shown = as_json(data)["backbones"]
    assert [row["name"] for row in shown] == ["lite0", "lite2"]
    assert shown[1] == vars(second)


def test_views_have_the_table_only_where_there_are_two() -> None:
    with_two, without = with_backbones().data(), example().data()
    assert 'id="backbones"' in render(with_two) and 'href="#backbones"' in render(with_two)
    assert 'id="backbones"' not in render(without)
    assert "backbones" not in as_json(without)
    out = io.StringIO()
    show(with_two, Console(file=out, width=120))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["lite2", f"{with_two.backbones[1].score:.3f}", "1", "128", "6.0"] in lines


def ranked(*points: dict[str, Any]) -> list[TrialRecord]:
    return [replace(trial(8), number=number, params=params) for number, params in enumerate(points)]


LITE0 = {"backbone": "lite0", "input_size": 128, "flip_average": True, "c": 0.1}


def test_times_are_of_all_trials_that_pass_images_in_the_same_way() -> None:
    others: tuple[dict[str, Any], ...] = ({"c": 1.0}, {"input_size": 64}, {"backbone": "lite2"})
    first, twin, other, lite2 = ranked(LITE0, *({**LITE0, **changes} for changes in others))
    trials = [first, _timed(twin, 5.0), _timed(other, 1.0), lite2]
    rows = backbone_rows("frozen", trials, "accuracy")
    assert [(row.name, row.trial, row.milliseconds) for row in rows] == [("lite0", 0, 5.0), ("lite2", 3, None)]
    assert isinstance(rows[0], BackboneRow)


def test_a_time_of_two_passes_says_so() -> None:
    once = {**LITE0, "backbone": "lite2", "flip_average": False}
    twice, single = backbone_rows("frozen", ranked(LITE0, once), "accuracy")
    assert (words.pixels(twice), words.pixels(single)) == ("2 x 128", "128")


@pytest.mark.parametrize("preset", ["frozen", "auto", "fine-tune", "cnn", "net.py", ""])
def test_there_is_no_table_without_two_complete_ones(preset: str) -> None:
    two = ranked(LITE0, {**LITE0, "backbone": "lite2"})
    assert bool(backbone_rows(preset, two, "accuracy")) == (preset == "frozen")
    failed = replace(two[1], state=TrialState.FAILED)
    assert backbone_rows(preset, [two[0], failed], "accuracy") == ()
    assert backbone_rows(preset, ranked({"c": 0.1}, {"c": 1.0}), "accuracy") == (), "a single one is no parameter"


def _timed(record: TrialRecord, milliseconds: float) -> TrialRecord:
    return replace(record, folds=tuple(replace(fold, latency=milliseconds) for fold in record.folds))
