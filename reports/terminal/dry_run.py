"""What a session would do, in lines."""

from __future__ import annotations

from reports.wording.study import ORIGIN_WORDS
from reports.wording.values import amount, count, duration, metric_words, shortened, visible
from search.results.dry_run import DryRun, PlannedPoint

_FEW = 5  # classes with few images that are named
_MOST = 110  # characters of how a point differs


def in_lines(plan: DryRun) -> list[str]:
    """Images, space, first points with prices, and how long it takes."""
    height, width, channels = plan.image_shape
    apart = f" (+ {plan.testing:,} for testing)" if plan.testing else ""
    classes = ", ".join(f"{visible(name)} {images:,}" for name, images in plan.class_counts.items())
    kinds = f" of {', '.join(plan.families)}" if plan.families else ""
    so_far = f"{count(plan.trials_done, 'trial')} done" if plan.begun else "not begun"
    lines = [
        f"study: {visible(plan.study)}, {so_far}",
        f"images: {plan.images:,}{apart}, {width} x {height} {'grey' if channels == 1 else 'colour'}: {classes}",
        f"judged by: {metric_words(plan.metric)}, {count(plan.folds, 'fold')}",
        f"space: {visible(plan.preset)}, {count(len(plan.parameters), 'parameter')}{kinds}; "
        f"then points by {plan.engine}, {plan.sampler}",
    ]
    if few := [f"{visible(name)} {images:,}" for name, images in plan.few_images.items()]:
        more = f" and {count(len(few) - _FEW, 'class', 'classes')} more" if len(few) > _FEW else ""
        lines.insert(2, f"few images: {', '.join(few[:_FEW])}{more}: the estimate will be rough")
    if plan.nothing_left:
        return [*lines, f"nothing left to do: {plan.nothing_left}"]
    source = "measured in this study" if plan.measured else "from the arithmetic of the networks, not measured here"
    if plan.comparing:
        lines.append(f"before that, {plan.comparing}; below they are at the smaller size")
    if plan.points:
        lines.append(f"first, with what all {count(plan.folds, 'fold')} take one after another ({source}):")
    lines += [f"  {_point(point)}" for point in plan.points]
    return [*lines, *_time(plan), "nothing was written, and nothing was trained"]


def _point(point: PlannedPoint) -> str:
    words = shortened(point.words, _MOST) or "every parameter at its default"
    told = f"{ORIGIN_WORDS.get(point.origin, point.origin.value)}: {words}"
    if point.left_out:
        return f"{told}: left out, {visible(point.left_out)}"
    return f"{told}: {amount(point.parameters)} parameters, about {duration(point.seconds)}"


def _time(plan: DryRun) -> list[str]:
    """How long the session takes at most, and what its budgets buy at the prices of the first points."""
    left = [count(plan.trials_left, "trial")] if plan.trials_left is not None else []
    left += [duration(plan.seconds_left)] if plan.seconds_left is not None else []
    ends = f"ends after {' or '.join(left)}, whichever comes first" if len(left) > 1 else f"ends after {''.join(left)}"
    lines = [f"{ends if left else 'ends when it is stopped'}; {count(plan.workers, 'worker')}"]
    if plan.prices is None:
        return lines
    low, high = plan.prices
    if plan.trials_left is not None:
        times = _range(duration(plan.trials_left * low), duration(plan.trials_left * high))
        lines.append(f"{count(plan.trials_left, 'trial')} like these take {times}, if none is stopped early")
    if plan.seconds_left is not None:
        many = [f"{plan.seconds_left / price:,.0f}" for price in (high, low) if price]
        if many:
            lines.append(f"in {duration(plan.seconds_left)} there is time for {_range(many[0], many[-1])} of them")
    return lines


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
