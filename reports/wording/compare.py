"""Studies side by side, in words."""

from __future__ import annotations

from typing import Any

from reports.wording.study import counts_words
from reports.wording.values import NONE, count, duration, metric_words, number, shortened, value_words
from search.results.compare import Comparison, Versus
from search.results.standing import too_early
from search.results.summary import StudySummary
from search.stats.paired import Difference

NAME = 30  # characters of a study's name
SIZE = "image_size"  # the setting: stored as height and width


def facts(compared: Comparison) -> list[tuple[str, list[str]]]:
    """What each study is and has, as rows: a name, and a cell for each study."""
    metrics = {data.metric for data in compared.studies}
    rows = [
        ("pictures", [_pictures(compared, place) for place in range(len(compared.studies))]),
        ("searched", [shortened(data.preset, NAME) for data in compared.studies]),
        ("trials", [f"{len(data.rows):,}: {counts_words(data)}" for data in compared.studies]),
        ("time", [duration(data.spent_seconds) for data in compared.studies]),
        ("saved", [_saved(data) for data in compared.studies]),
        ("expected on new images", [_estimate(data) for data in compared.studies]),
        ("on testing images", [_tested(data) for data in compared.studies]),
    ]
    if len(metrics) > 1:
        rows.insert(2, ("metric", [metric_words(data.metric) for data in compared.studies]))
    return rows


def settings(compared: Comparison) -> list[tuple[str, list[str]]]:
    """The settings that differ, as such rows."""
    return [
        (shortened(row.name, 40), [_size(value) if row.name == SIZE else _value(value) for value in row.values])
        for row in compared.settings
    ]


def verdicts(compared: Comparison) -> list[str]:
    """Of each study but the first, whether what it chose is better, and how that is known; or why it is not known."""
    return [sentence for versus in compared.versus for sentence in _verdict(compared, versus)]


def _verdict(compared: Comparison, versus: Versus) -> list[str]:
    name, first = (shortened(compared.names[place], NAME) for place in (versus.study, 0))
    made = []
    if found := versus.by_folds:
        how = (
            f"on the same {count(found.images, 'image')} in the same {count(found.folds, 'fold')}, each judged by what "
            "its study would have chosen without its fold"
        )
        made.append(f"{_better(name, first, found)}: {how}.")
    if found := versus.by_testing:
        how = f"on the same {count(found.images, 'testing image')}, each judged by the saved models"
        made.append(f"{_better(name, first, found)}: {how}.")
    if versus.why_not and not made:
        return [f"{name} and {first} are not tested against each other: {'; '.join(versus.why_not)}."]
    return [*made, *(f"{name} and {first}: {why}." for why in versus.why_not)]


def _better(name: str, first: str, found: Difference) -> str:
    words, gain = metric_words(found.metric), found.gain
    low, high = sorted((abs(found.low), abs(found.high)))
    by = f"by {number(abs(found.value))} {words} ({number(low)} to {number(high)} with 95 % confidence)"
    if found.clear:
        return f"{name} is {'better' if gain > 0 else 'worse'} than {first} {by}"
    range_ = f"{_signed(found.low)} to {_signed(found.high)} with 95 % confidence"
    return f"no clear difference between {name} and {first}: {_signed(found.value)} {words} ({range_})"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _pictures(compared: Comparison, place: int) -> str:
    data = compared.studies[place]
    what = f"{count(data.images, 'image')}, {count(len(data.study.classes), 'class', 'classes')}"
    if not place:
        return what
    return f"the same {data.images:,}" if compared.same_pictures[place] else f"others: {what}"


def _saved(data: StudySummary) -> str:
    chosen = data.chosen
    if chosen is None:
        return "no model yet"
    numbers = list(dict.fromkeys(trial for trial, _ in chosen.members)) or [chosen.trial]
    families = {str(data.trial(n).params.get("family", "")) for n in numbers} - {""}
    of = f" ({', '.join(shortened(family, NAME) for family in sorted(families))})" if families else ""
    if len(numbers) > 1:
        return f"trials {', '.join(map(str, numbers))} together{of}"
    return f"trial {numbers[0]}{of}"


def _estimate(data: StudySummary) -> str:
    estimate = data.estimate
    if estimate is None:
        return NONE
    if too_early(data):
        return f"too early to say: {estimate.images:,} of {count(data.searched_images, 'image')} tested"
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def _tested(data: StudySummary) -> str:
    test = data.chosen.test if data.chosen else None
    if test is None:
        return NONE
    return f"{number(test.value)} ({number(test.low)} to {number(test.high)}), {count(test.images, 'image')}"


def _size(value: Any) -> str:
    """'32 x 24 pixels', width first as wherever a size is shown."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return _value(value)
    height, width = map(value_words, value)
    return f"{width} x {height} pixels"


def _value(value: Any) -> str:
    if value is None:
        return NONE
    return ", ".join(map(value_words, value)) if isinstance(value, list | tuple) else value_words(value)
