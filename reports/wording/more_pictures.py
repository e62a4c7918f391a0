"""Whether more pictures would help, in words."""

from __future__ import annotations

from reports.wording.values import count, metric_words, visible
from search.results.more_pictures import MorePictures, Verdict
from search.results.summary import REFERENCE_WORDS, StudySummary
from search.stats.learning_curve import Gain
from search.stats.metrics import METRICS


def answer(data: StudySummary) -> str:
    """One sentence; empty where nothing is known."""
    more = data.more
    if more is None:
        return ""
    if not more.gains:
        method = visible(REFERENCE_WORDS.get(more.method, more.method))
        return f"Whether more pictures would help cannot be said: {method} is not clearly better than guessing."
    if more.verdict is Verdict.UNSURE:
        return "Whether more pictures would help cannot be said: the numbers vary too much."
    twice, *further = more.gains
    if more.verdict is Verdict.LITTLE:
        high = _amount(data.metric, twice.high)
        return f"More pictures of this kind are not expected to help much: twice as many by {high} at most."
    further_words = "".join(f", with {_times(gain.times)} as many about {_gain(data.metric, gain)}" for gain in further)
    return f"With twice as many pictures expect about {_gain(data.metric, twice)}{further_words}."


def about(data: StudySummary) -> str:
    """How the answer was found, and how far to believe it."""
    more = data.more
    if more is None:
        return ""
    method, parts = visible(REFERENCE_WORDS.get(more.method, more.method)), len(more.points) - 1
    return (
        f"Measured with a method that is quick to train, {method}: on all pictures and on "
        f"{count(parts, 'smaller part')} of them, always judged on pictures that it had not seen. "
        f"{_extended(more)}The saved model may gain more or less. New pictures must be as varied as these, and as "
        "carefully labelled."
    )


def drawn(data: StudySummary) -> str:
    """The curve for who does not see it."""
    more = data.more
    if more is None:
        return ""
    known = ", ".join(f"{point.score:.3f} with {count(point.images, 'picture')}" for point in more.points)
    return f"{metric_words(data.metric)} by number of training pictures: {known}. {answer(data)}"


def _extended(more: MorePictures) -> str:
    if not more.gains:
        return ""
    return "For larger numbers the curve is extended as such curves usually go (Hestness et al. 2017). "


def _gain(metric: str, gain: Gain) -> str:
    """'1.5 points more (0 to 3)', or '0.12 less log loss (0.02 to 0.20)'."""
    if METRICS[metric].maximized:
        return f"{_amount(metric, gain.value)} more ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return f"{gain.value:.2f} less {metric_words(metric)} ({gain.low:.2f} to {gain.high:.2f})"


def _amount(metric: str, value: float) -> str:
    return f"{100 * value:.1f} points" if METRICS[metric].maximized else f"{value:.2f} {metric_words(metric)}"


def _times(times: int) -> str:
    return {2: "twice", 4: "four times"}.get(times, f"{times} times")
