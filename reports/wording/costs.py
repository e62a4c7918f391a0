"""Score against the time of a prediction and the size of a model, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reports.wording.values import amount as short_amount
from reports.wording.values import count, metric_words, number
from search.results.costs import MILLISECONDS, MULTIPLICATIONS, WEIGHTS, Costs
from search.results.summary import StudySummary

FRONT = (
    "Each dot is a complete trial. The line joins those that no other trial beats in both ways: if you want it quicker "
    "or smaller, the others are no use."
)
BYTES = 4  # of a weight in a file: float32

AXES = {
    MILLISECONDS: "milliseconds a picture",
    MULTIPLICATIONS: "multiplications a picture",
    WEIGHTS: "megabytes of weights",
}
TITLES = {
    MILLISECONDS: "Against the time for a picture",
    MULTIPLICATIONS: "Against the work for a picture",
    WEIGHTS: "Against the size of the file",
}
_SOURCES = {
    MILLISECONDS: (
        "The time is that of one picture through the model, measured by the way while it was trained: on that machine, "
        "many pictures at once, beside other work. It compares the trials; alone a model is quicker."
    ),
    MULTIPLICATIONS: (
        "The time of a prediction is not known for enough trials, so multiplications stand for it: how often the "
        "model multiplies for one picture, counted layer by layer. Twice as many take about twice as long."
    ),
    WEIGHTS: "A weight takes 4 bytes in the file, and the file has hardly anything else.",
}


def amount(kind: str, cost: float) -> str:
    """'4.2 ms', '12 M multiplications', '1.2 MB (300 k weights)'."""
    if kind == MILLISECONDS:
        return f"{_short(cost)} ms"
    if kind == MULTIPLICATIONS:
        return f"{short_amount(round(cost))} multiplications"
    return f"{_short(megabytes(cost))} MB ({short_amount(round(cost))} weights)"


def tick(kind: str, cost: float) -> str:
    """A number on the axis."""
    if kind == MULTIPLICATIONS:
        return short_amount(round(cost))
    return f"{cost:g}" if kind == MILLISECONDS else _short(megabytes(cost))


def about(costs: Costs, left_out: int = 0) -> str:
    """Where the numbers come from, and which trials are missing."""
    missing = f" Of {count(costs.unknown, 'trial')} it is not known." if costs.unknown else ""
    below = f" {count(left_out, 'trial')} far below the others left out." if left_out else ""
    return f"{_SOURCES[costs.kind]}{missing}{below}"


def together(data: StudySummary, times: Mapping[int, float]) -> str:
    """What the saved model takes if it has several networks; else empty. A dot is one network of a trial."""
    networks = Counter(number for number, _ in data.chosen.members) if data.chosen else Counter[int]()
    many = networks.total()
    if many < 2:
        return ""
    whose = f"trial {next(iter(networks))}" if len(networks) == 1 else f"{len(networks)} trials"
    told = [f"The saved model is the mean of {many} networks of {whose}, and a dot is one network."]
    if len(networks) == 1:
        told.append(f"So the model takes up to {many} times the time, and as many times the size, of that dot.")
    if networks.keys() <= times.keys():
        total = sum(times[number] * parts for number, parts in networks.items())
        told.append(f"One after the other its networks take {_short(total)} ms.")
    told.append("Heads on one pre-trained network share it, and take less.")
    return " ".join(told)


def label(data: StudySummary, costs: Costs) -> str:
    """The drawing for a screen reader."""
    listed = "; ".join(
        f"trial {point.number}: {number(point.score)}, {amount(costs.kind, point.cost)}" for point in costs.front[:8]
    )
    return (
        f"{metric_words(data.metric)} of {count(len(costs.points), 'trial')} against {AXES[costs.kind]}. "
        f"On the line, cheapest first: {listed}."
    )


def megabytes(weights: float) -> float:
    """Of so many weights in a file."""
    return BYTES * weights / 1e6


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
