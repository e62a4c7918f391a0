"""The SVG that drawings need: elements with escaped text and attributes, and scales with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

from reports.wording.values import visible

Scale = Callable[[float], float]


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """One element. `class_` and `stroke_width` become `class` and `stroke-width`; None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part is escaped above


def picture(width: float, height: float, label: str, *children: Markup, class_: str = "") -> Markup:
    """A drawing that scales with its container and tells a screen reader what it shows."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=visible(label),
        class_=class_ or None,
        preserveAspectRatio="xMidYMid meet",
    )


def text(x: float, y: float, words: str, *, anchor: str | None = None, class_: str | None = None) -> Markup:
    """Text at a point."""
    return tag("text", visible(words), x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, title: str | None = None) -> Markup:
    """A line through points; a point with NaN or infinity makes a gap."""
    steps, pen = [], "M"
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            steps.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
        else:
            pen = "M"
    inside = (tag("title", visible(title)),) if title else ()
    return tag("path", *inside, d="".join(steps), class_=class_)


def short_paths(lines: Iterable[Iterable[tuple[float, float]]], class_: str) -> Markup:
    """Several lines as one path of whole numbers, which takes 5 bytes a point; see `path`."""
    steps: list[str] = []
    for points in lines:
        at: tuple[int, int] | None = None
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                at = None
                continue
            to = round(x), round(y)
            # After "l", coordinates are relative to the point before.
            steps.append(f"M{to[0]} {to[1]}l" if at is None else f"{to[0] - at[0]} {to[1] - at[1]} ")
            at = to
    return tag("path", d="".join(steps).replace(" -", "-"), class_=class_)


def dots(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Dots as one path: give it a round `stroke-linecap` and the dots' size as `stroke-width`. Takes 12 bytes a dot."""
    return tag("path", d="".join(f"M{x:.0f} {y:.0f}h0" for x, y in points if math.isfinite(x + y)), class_=class_)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Map values of [low, high] to places of [start, end]; values outside are mapped to the nearer end."""
    width = high - low or 1.0

    def place(value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        return start + (end - start) * min(max((value - low) / width, 0.0), 1.0)

    return place


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers within [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def whole_ticks(last: int, about: int = 5) -> list[int]:
    """Whole numbers from 1 to `last`, both included."""
    inner = sorted({int(t) for t in ticks(0, last, about) if t >= 1 and float(t).is_integer()})
    kept = [t for t in inner if 1 < t < last and last - t > last / about / 2]
    return [1, *kept, *([last] if last > 1 else [])]


def thinned(values: Sequence[float], most: int = 200) -> list[tuple[int, float]]:
    """At most `most` pairs of (1-based place, value), the first and the last included."""
    if len(values) <= most:
        return list(enumerate(values, start=1))
    places = sorted({round(i * (len(values) - 1) / (most - 1)) for i in range(most)})
    return [(place + 1, values[place]) for place in places]


def _attribute(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else visible(str(value))
