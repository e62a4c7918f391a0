"""Predictions of a model for pictures: lines for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from reports.terminal.output import Output
from reports.wording.values import visible
from search.results.predictions import Prediction


def show_predictions(classes: Sequence[str], answers: Sequence[Prediction], out: Output, form: str) -> None:
    """Print a prediction for each picture that was read; `form` is 'lines', 'json' or 'csv'.

    JSON also names the pictures that could not be read, and the files that are no pictures.
    """
    read = [answer for answer in answers if not answer.problem]
    match form:
        case "json":
            answer: dict[str, Any] = {
                "classes": list(classes),
                "images": [
                    {
                        "path": answer.path,
                        "class": answer.label(classes),
                        "unknown": answer.unknown,
                        "probabilities": dict(zip(classes, answer.probabilities, strict=True)),
                    }
                    for answer in read
                ],
                "unreadable": [{"path": a.path, "problem": a.problem} for a in answers if a.problem and not a.stray],
                "passed_over": [answer.path for answer in answers if answer.stray],
            }
            lines = json.dumps(answer, indent=2).splitlines()
        case "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(["path", "class", *classes])
            writer.writerows([answer.path, answer.label(classes), *answer.probabilities] for answer in read)
            lines = text.getvalue().splitlines()
        case _:
            wide = max((len(answer.path) for answer in read), default=0)
            lines = [f"{a.path:{wide}}  {visible(a.label(classes))}{_how_sure(a)}" for a in read]
    for line in lines:
        out.say(line)


def _how_sure(answer: Prediction) -> str:
    """The probability of the class that is said; of none where that is UNKNOWN."""
    return "" if answer.unknown else f"  {max(answer.probabilities):.3f}"
