"""Numbers, names and times as text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from search.stats.metrics import METRICS
from search.text import printable

NONE = "–"  # noqa: RUF001 - stands where a number is missing

METRIC_MEANINGS = (
    "Accuracy is the share of right answers; in balanced accuracy each class counts the same, however many pictures it "
    "has. AUROC is how often a picture of a class gets a higher probability of it than a picture of another class. Log "
    "loss is how surprised the model is by the right answers: 0 is best, and confident mistakes cost most."
)

visible = printable
"""Names come from untrusted files: in no view may they move the cursor or change the direction of text."""


def shortened(text: str, most: int) -> str:
    """`text` made visible; if it is longer than `most` characters, its middle is replaced by "…"."""
    if len(text) > 2 * most + 2:  # of a text of a megabyte only what is shown is made visible
        text = f"{text[: most + 1]}{text[-most - 1 :]}"
    text = visible(text)
    if len(text) <= most:
        return text
    head = (most - 1 + 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def cut(text: str, most: int) -> str:
    """A message made visible; if it is longer than `most` characters, cut behind a sentence, else behind a word."""
    shown = visible(text[: most + 1])
    if len(text) <= most and len(shown) <= most:
        return shown
    sentences = shown[: most + 1].rpartition(". ")[0]
    if len(sentences) >= most / 2:
        return f"{sentences}."
    words = shown[:most].rpartition(" ")[0]
    if len(words) < most / 2:  # a word without end
        words = shown[: most - 1]
    return f"{words.rstrip(' ,;:')}…"


def metric_words(metric: str) -> str:
    """A metric's name in words."""
    return METRICS[metric].words if metric in METRICS else visible(metric)


def in_percent(metric: str) -> bool:
    """Whether a metric is a share of images, so that it can be said in percent."""
    return metric in METRICS and METRICS[metric].sample_size is not None


def better(metric: str) -> str:
    """Which scores are better: 'higher' or 'lower'."""
    return "higher" if METRICS[metric].maximized else "lower"


def number(value: float | None, places: int = 3) -> str:
    """A score; a dash if it is missing or not finite."""
    return f"{value:.{places}f}" if value is not None and math.isfinite(value) else NONE


def value_words(value: object) -> str:
    """A parameter's value; floats with three significant digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return shortened(str(value), 60)


def params_words(params: Mapping[str, object], joint: str = ", ") -> str:
    """Parameters as `name value`, in their order."""
    return joint.join(f"{shortened(name, 40)} {value_words(value)}" for name, value in params.items())


def duration(seconds: float | None) -> str:
    """A time for people: '48 s', '12 min', '3 h 05 min'."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 0.05:
        return "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(n: int, one: str, many: str = "") -> str:
    """'1 trial', '2,000 trials'."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def amount(n: int | None) -> str:
    """A count of parameters: '980', '61.7 k', '4.2 M'."""
    if n is None:
        return NONE
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**4, " k")):
        if n >= size:
            base = 10**3 if unit == " k" else size
            return f"{n / base:.3g}{unit}" if n / base < 1000 else f"{n / base:.0f}{unit}"
    return str(n)


def masked(command: str) -> str:
    """The command with passwords in URLs replaced by ***."""
    return re.sub(r"(\w+://[^\s:/@]*):[^\s@]*@", r"\1:***@", command)
