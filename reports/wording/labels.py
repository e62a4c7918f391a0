"""Labels in doubt, mistakes and unsure predictions, in words."""

from __future__ import annotations

from collections.abc import Sequence

from reports.wording.values import count, number, shortened
from search.results.labels import SuspectLabel, accused
from search.results.shipped import Example
from search.results.summary import StudySummary
from search.stats.labels import ACCUSED

Words = Sequence[tuple[str, str]]
"""A caption in pieces: (text, 'b' if it is emphasised, else '')."""

RAREST = 1_000_000  # what is rarer is not told apart: probabilities are not known so exactly
COMMAND = "search report --labels FILE.csv"  # in the study's folder: a table of the labels in doubt


def of_whom(data: StudySummary) -> str:
    """Whose predictions the confusion matrix and the pictures show."""
    members = data.pooled.members if data.pooled else ()
    numbers = [str(number) for number, _ in members]
    if len(numbers) > 1:
        return f"the ensemble of trials {', '.join(numbers)}"
    return f"trial {', '.join(numbers)}"


def about(data: StudySummary) -> str:
    """What the list of labels is, and how much to believe it."""
    wrong = accused(data.suspects)
    usual = f"If every label was right, about {100 * ACCUSED:g} % of the images would be among these, or fewer."
    first = f"{_look_wrong(wrong)}. {usual}" if wrong else "No label clearly looks wrong."
    return (
        f"{first} For each image here another class is more probable than its label, by networks that were not trained "
        "on it. “1 in 200” says how rarely a right label looks as improbable as this one; the rarest is first (after "
        "Northcutt et al. 2021). Some of these images are only hard: look at them before you change a label."
    )


def _look_wrong(wrong: int) -> str:
    return f"{count(wrong, 'label')} {'looks' if wrong == 1 else 'look'} wrong"


def caption(data: StudySummary, suspect: SuspectLabel) -> Words:
    """'labelled cat, likely dog, 1 in 300'."""
    names = data.study.classes
    return (
        ("labelled ", ""),
        (shortened(names[suspect.label], 30), "b"),
        (", likely ", ""),
        (shortened(names[suspect.likely], 30), "b"),
        (f", {one_in(suspect.rarity)}", ""),
    )


def one_in(rarity: float) -> str:
    """'1 in 300': how rarely a right label looks as improbable."""
    if rarity * RAREST < 1:
        return f"less than 1 in {RAREST:,}"
    number = 1 / rarity
    return f"1 in {round(number, 2 - len(str(int(number)))) if number >= 100 else round(number):,.0f}"


def sure(data: StudySummary, example: Example) -> Words:
    """'dog 0.97': what a mistaken image is taken for."""
    return ((shortened(data.study.classes[example.predicted], 30), "b"), (f" {number(example.probability, 2)}", ""))


def unsure(data: StudySummary, example: Example) -> Words:
    """'cat: dog 0.41, cat 0.40': the class, and the two most probable ones."""
    names = data.study.classes
    return (
        (shortened(names[example.label], 30), "b"),
        (
            f": {shortened(names[example.predicted], 30)} {number(example.probability, 2)}, "
            f"{shortened(names[example.second], 30)} {number(example.second_probability, 2)}",
            "",
        ),
    )
