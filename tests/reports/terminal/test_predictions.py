"""Predictions as lines, CSV and JSON, with pictures that are unlike all training images."""

from __future__ import annotations

import json

import pytest

from reports.terminal.output import Output
from reports.terminal.predictions import show_predictions
from search.results.predictions import Prediction

CLASSES = ("cat", "dog")
ANSWERS = (Prediction("a.png", (0.1, 0.9)), Prediction("far.png", (0.8, 0.2), unknown=True))


def printed(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    show_predictions(CLASSES, ANSWERS, Output(), form)
    return capsys.readouterr().out


def test_lines_say_unknown_instead_of_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("lines", capsys).splitlines() == ["a.png    dog  0.900", "far.png  unknown"]


def test_csv_says_it_in_the_column_of_the_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("csv", capsys).splitlines() == [
        "path,class,cat,dog",
        "a.png,dog,0.1,0.9",
        "far.png,unknown,0.8,0.2",
    ]


def test_json_has_a_field_for_it_so_that_a_class_may_have_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = json.loads(printed("json", capsys))["images"]
    assert (first["class"], first["unknown"]) == ("dog", False)
    assert (second["class"], second["unknown"]) == ("unknown", True)
    assert second["probabilities"] == {"cat": 0.8, "dog": 0.2}
