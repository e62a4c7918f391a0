"""Which parameters mattered, in words."""

from __future__ import annotations

from reports.wording.values import better, count, metric_words
from search.results.importance import Figures
from search.results.summary import StudySummary

UNKNOWN_ORDER = "It is not known yet which of them matter; first are those that most trials have."


def importance(data: StudySummary, weights: Figures, left_out: int) -> str:
    """What the bars say, and how far to believe them."""
    parts = [
        "Some trials are better than most. Each bar is the parameter's share in what sets these apart; together they "
        f"are 100 %. The thin line is {_RANGE}."
    ]
    if not weights.clear:
        parts.append(_ALL_LUCK)
    elif len(weights.clear) < len(weights.importance):
        parts.append("Grey: no more than luck, as shares so large come up with the scores dealt out at random.")
    return " ".join([*parts, *_measured(data, weights, left_out)])


def importance_listed(data: StudySummary, weights: Figures) -> str:
    """The same of a table, of all parameters."""
    first = (
        "Some trials are better than most: what share each parameter has in what sets these apart, and "
        f"{_RANGE}. A share may be luck where so large ones come up with the scores dealt out to the trials at random."
    )
    return " ".join([first, *([] if weights.clear else [_ALL_LUCK]), *_measured(data, weights, 0)])


_RANGE = "the range in which the share lies in most random halves of the trials (PED-ANOVA)"
_ALL_LUCK = (
    "None of it is more than luck yet: with the scores dealt out to the trials at random, shares as large come up; "
    "more trials may tell."
)


def _measured(data: StudySummary, weights: Figures, left_out: int) -> list[str]:
    parts = []
    if weights.weighed < data.compared:
        parts.append(f"Measured on {weights.weighed} of the {data.compared} complete trials, spread evenly over them.")
    if left_out:
        parts.append(f"{count(left_out, 'parameter')} with smaller shares left out.")
    return parts


def slices(data: StudySummary, *, ordered: bool, mixed: bool) -> str:
    """What the small drawings show; `mixed`: whether trials differ in more than one parameter."""
    others = " The other parameters differ too, so look for a trend and not for single dots." if mixed else ""
    order = " The most important come first." if ordered else f" {UNKNOWN_ORDER}"
    return (
        f"Each dot is a complete trial, at its value of one parameter; {better(data.metric)} is better.{others}{order}"
    )


def pair(data: StudySummary, counted: int, *, clear: bool) -> str:
    """What the drawing of two parameters shows; `clear`: whether they are more important than by luck."""
    which = "most important parameters" if clear else "parameters with the largest shares"
    return (
        f"The two {which} together, {count(counted, 'trial')}: filled dots are the best quarter by "
        f"{metric_words(data.metric)}. Where they crowd, both values go well together."
    )
