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
        "are 100 %. The thin line is the range in which the share lies in most random halves of the trials (PED-ANOVA)."
    ]
    if not weights.clear:
        parts.append(
            "None of it is more than luck yet: with the scores dealt out to the trials at random, shares as large come "
            "up; more trials may tell."
        )
    elif len(weights.clear) < len(weights.importance):
        parts.append("Grey: no more than luck, as shares so large come up with the scores dealt out at random.")
    if weights.weighed < data.compared:
        parts.append(f"Measured on {weights.weighed} of the {data.compared} complete trials, spread evenly over them.")
    if left_out:
        parts.append(f"{count(left_out, 'parameter')} with smaller shares left out.")
    return " ".join(parts)


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
