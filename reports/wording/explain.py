"""What made the difference between two trials, in sentences: the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.wording.going_on import own_model
from reports.wording.values import NONE, count, in_percent, metric_words, number, shortened, value_words
from search.results.explained import Change, Explanation, Part
from search.results.summary import StudySummary
from search.stats.ablation import Gain
from search.stats.metrics import METRICS
from search.text import line_anywhere

_LISTED = 4  # names in a sentence
_NAMED = 2  # in a row of the waterfall; of more it has the number
ALONE = (
    "Each change by itself, with everything else as in the starting point, but for what depends on it: that is in "
    "brackets. What is stopped was clearly behind another change on the same pictures, so it was not trained further."
)


@dataclass(frozen=True)
class Bar:
    """A row of the waterfall: one of its two ends, or a step from one score to the next."""

    label: str
    before: float | None  # None: an end
    after: float
    half: float | None  # of the interval of the difference
    words: str
    kind: str = "gain"  # 'gain', 'loss', or 'rest': of which it is not known yet what brings it
    clear: bool = True  # whether the interval of the difference does not contain 0

    @property
    def is_step(self) -> bool:
        """Whether it is a step, not an end."""
        return self.before is not None


def bars(e: Explanation) -> list[Bar]:
    """The rows of the waterfall, from the start to the goal."""
    rows = [_end(e, _start(e), e.start_score)]
    before = e.start_score
    for part in e.steps:
        rows.append(_bar(e, part, before, part_words(part)))
        before = part.score
    if e.rest is not None:
        many = len(e.rest.names) > _NAMED
        what = count(len(e.rest.names), "change") if many else names_words(e.rest.names)
        rest = _bar(e, e.rest, before, f"not known yet: {what}")
        rows.append(replace(rest, kind="rest"))
    return [*rows, _end(e, _goal(e), e.goal_score)]


def _start(e: Explanation) -> str:
    return f"trial {e.start}{', your starting point' if e.start == 0 else ''}"


def _goal(e: Explanation) -> str:
    return f"trial {e.goal}{f', {_saved(e)}' if e.goal == e.saved else ''}"


def _saved(e: Explanation) -> str:
    return "the largest part of the saved ensemble" if e.ensemble else "the saved model"


def _end(e: Explanation, label: str, value: float) -> Bar:
    return Bar(label, None, value, None, score(e.metric, value))


def _bar(e: Explanation, part: Part, before: float, label: str) -> Bar:
    return Bar(
        label,
        before,
        part.score,
        part.gain.half,
        gain_words(e.metric, part.gain),
        "loss" if part.gain.mean < 0 else "gain",
        part.gain.clear,
    )


# Numbers


def score(metric: str, value: float, half: float | None = None) -> str:
    """'77 %', '77 ± 3 %', '0.912 ± 0.020'."""
    if not math.isfinite(value):
        return NONE
    if not in_percent(metric):
        return number(value) + (f" ± {number(half)}" if half is not None else "")
    share = f"{100 * float(number(value, 2)):.0f}"  # rounded as where it is printed with two places
    return f"{share} ± {_points(half)} %" if half is not None else f"{share} %"


def gain_words(metric: str, gain: Gain) -> str:
    """'+27 ± 6 points'; of other metrics the difference itself, larger being better."""
    if not math.isfinite(gain.mean):
        return NONE
    if in_percent(metric):
        half = f" ± {_points(gain.half)}" if gain.half is not None else ""
        places = _places(gain.mean if gain.half is None else max(abs(gain.mean), gain.half))
        return f"{_signed(100 * gain.mean, places)}{half} points"
    half = f" ± {number(gain.half)}" if gain.half is not None else ""
    signed = _signed(gain.mean, 3)
    loss = "" if METRICS[metric].maximized else {"+": " (less loss)", "-": " (more loss)"}.get(signed[0], "")
    return f"{signed}{half}{loss}"


def _places(share: float) -> int:
    return 0 if abs(share) >= 0.01 or share == 0 else 1


def _points(half: float) -> str:
    return f"{100 * half:.{_places(half)}f}"


def _signed(value: float, places: int) -> str:
    text = f"{abs(value):.{places}f}"
    return "0" if float(text) == 0 else f"{'+' if value > 0 else '-'}{text}"


# Changes


def change_words(change: Change) -> str:
    """'dropout 0.2 → 0.1'; 'l2 0.01 → off' where it is not active any more."""
    old, new = ("off" if value is None else value_words(value) for value in (change.old, change.new))
    return f"{shortened(change.name, 40)} {old} → {new}"


def part_words(part: Part) -> str:
    """What a step changes; '(with …)' and '(without …)' what comes and goes with it."""
    words = ", ".join(map(change_words, part.changes[:_LISTED]))
    if len(part.changes) > _LISTED:
        words += f" and {len(part.changes) - _LISTED} more"
    gone = [change.name for change in part.along if change.new is None]
    others = [f"{shortened(c.name, 40)} {value_words(c.new)}" for c in part.along if c.new is not None]
    along = [*(["with " + listed(others)] if others else []), *([f"without {names_words(gone)}"] if gone else [])]
    return f"{words} ({', '.join(along)})" if along else words


def names_words(names: Sequence[str]) -> str:
    """Names of parameters in a sentence."""
    return listed([shortened(name, 40) for name in names])


def listed(words: Sequence[str]) -> str:
    """'a, b and c'; of many 'a, b, c, d and 3 more'."""
    if len(words) > _LISTED:
        return f"{', '.join(words[:_LISTED])} and {len(words) - _LISTED} more"
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


# Sentences


def headline(e: Explanation) -> str:
    """From where to where, and by how many changes."""
    told = (
        f"From {_start(e)}, to {_goal(e)}: {metric_words(e.metric)} {score(e.metric, e.start_score)} to "
        f"{score(e.metric, e.goal_score, e.whole.half)}, and {count(e.differing, 'setting')} changed."
    )
    if e.whole.clear and e.whole.mean > 0:
        return told
    if e.whole.clear:
        return f"{told} Trial {e.goal} is clearly worse: what follows shows which changes do harm."
    return f"{told} Trial {e.goal} is not clearly better, so what follows may be luck."


def best_alone(e: Explanation) -> str:
    """What the best single change does alone; empty where there is only one change, or none is known."""
    known = [part for part in e.alone if part.folds == e.folds]
    if not known or (len(e.steps) == 1 and e.rest is None):
        return ""
    best = known[0]
    if not best.gain.clear or best.gain.mean <= 0:
        return f"No change alone helps clearly. The best is {_alone(e, best)}"
    return _alone(e, best)


def _alone(e: Explanation, part: Part) -> str:
    """'initializer alone: 50 % to 77 ± 3 % (uniform_0.05 → he_normal).'

    A change that takes others along is not alone: 'dense_depth, with dropout and l2: …'.
    """
    name, changed = names_words(part.names), replace(part, along=())
    what = f"{name}, with {_along(part)}" if part.along else f"{name} alone"
    return f"{what}: {_from_to(e, part)} ({part_words(changed).removeprefix(name).lstrip()})."


def _along(part: Part) -> str:
    """'dropout and l2, which depend on it'."""
    many = len(part.along) > 1
    depend = f"which {'depend' if many else 'depends'} on {'it' if len(part.changes) == 1 else 'them'}"
    return f"{names_words([change.name for change in part.along])}, {depend}"


def _named(part: Part) -> str:
    """'dense_depth with dropout and l2'."""
    along = f" with {names_words([change.name for change in part.along])}" if part.along else ""
    return f"{names_words(part.names)}{along}"


def _from_to(e: Explanation, part: Part) -> str:
    return f"{score(e.metric, e.start_score)} to {score(e.metric, part.score, part.gain.half)}"


def instead(e: Explanation) -> str:
    """Other changes that help alone too, and whether they still do once the best one is made; empty if none does."""
    helping = [part for part in e.alone if part.folds == e.folds and part.gain.clear and part.gain.mean > 0]
    if len(helping) < 2 or len(e.steps) < 2:
        return ""
    others = helping[1:]
    told = f"Alone {listed([f'{_named(part)} ({_from_to(e, part)})' for part in others])} "
    told += "helps too" if len(others) == 1 else "help too"
    later = {step.names: step for step in e.steps[1:]}
    if all(part.names in later and not later[part.names].gain.clear for part in others):
        both = "it adds" if len(others) == 1 else "they add"
        return f"{told}, but after {names_words(e.steps[0].names)} {both} nothing clear."
    return f"{told}."


def clear_steps(e: Explanation) -> str:
    """Which steps of the path make a clear difference, and which do not; empty for a path of one step."""
    if len(e.steps) < 2:
        return ""
    better = [part for part in e.steps if part.gain.clear and part.gain.mean > 0]
    worse = [part for part in e.steps if part.gain.clear and part.gain.mean < 0]
    others = [name for part in e.steps if not part.gain.clear for name in part.names]
    if not better and not worse:
        return "No step of the path makes a clear difference by itself."
    told = []
    if better:
        told.append(f"On the path {names_words([name for part in better for name in part.names])} clearly helped.")
    if worse:
        told.append(f"{names_words([name for part in worse for name in part.names])} clearly did harm.")
    if others:
        many = told and len(others) >= _LISTED
        told.append(f"{f'The other {len(others)}' if many else names_words(others)} made no clear difference.")
    return " ".join(told)


def together(e: Explanation) -> str:
    """A change that does much more on the path than alone; empty if there is none."""
    alone = {part.names: part for part in e.alone if part.folds == e.folds}
    for part in e.steps[1:]:
        single = alone.get(part.names)
        if (
            single
            and part.gain.clear
            and part.gain.mean > 0
            and part.gain.mean > single.gain.mean + (part.gain.half or 0)
        ):
            alone_too = single.gain.clear and single.gain.mean > 0
            helps = (
                "helps more after what was changed before it"
                if alone_too
                else ("helps only with what was changed before it")
            )
            return (
                f"{names_words(part.names)} {helps}: "
                f"{gain_words(e.metric, part.gain)} there, {gain_words(e.metric, single.gain)} alone."
            )
    return ""


def inside(e: Explanation) -> str:
    """Where one change brings everything, how to look inside it; else empty."""
    if len(e.steps) != 1 or e.rest is not None or not e.steps[0].along:
        return ""
    name = names_words(e.steps[0].names)
    return (
        f"All of it comes with {name}. To look inside, begin from a trial with the same {name}: "
        "search explain --from N (search report lists the trials)."
    )


def unfinished(e: Explanation, command: str = "") -> str:
    """What is not known yet, and how to go on, by default from where the study was read; empty if the path is whole."""
    if e.rest is None:
        return ""
    left = f"the place of {len(e.rest.changes)} of {count(e.differing, 'change')} is not known yet"
    return f"Not finished: {left}. Go on with: {command or e.command}"


def cost(e: Explanation) -> str:
    """What was trained for it."""
    if not e.points:
        return "Nothing had to be trained for it."
    failed = f"; {e.failed:,} of them could not be trained" if e.failed else ""
    trained = f"{count(e.points, 'variant')} between the two, {count(e.trained, 'fold run')} in all"
    return f"Trained for it: {trained}{failed}."


def caution(e: Explanation) -> str:
    """What the numbers do not say."""
    chosen = f", and trial {e.goal} is the best of {e.compared}" if e.goal == e.best and e.compared > 1 else ""
    return (
        f"± is a 95 % interval of the difference to the row before, over the {e.folds} folds. Each step is the best of "
        f"those that were left{chosen}: part of the gains is luck."
    )


def outdated(e: Explanation) -> str:
    """Which trial is saved, if it is another than the one that is explained; else empty."""
    if e.saved in (None, e.goal):
        return ""
    saved = _saved(e)
    return f"{saved[:1].upper()}{saved[1:]} is trial {e.saved}; search explain without --to explains that one."


def anywhere(data: StudySummary) -> str:
    """The command that goes on with the study's explanation, for a page; empty where there is none."""
    e = data.explanation
    if e is None:
        return ""
    numbers = ("--from", str(e.start), "--to", str(e.goal))
    return f"`{line_anywhere('explain', *numbers, *own_model(data))}`, in the study's folder"


def sentences(e: Explanation, command: str = "") -> list[str]:
    """All that is said below the headline. `command`: see `unfinished`."""
    told = (best_alone(e), instead(e), clear_steps(e), together(e), inside(e), unfinished(e, command), outdated(e))
    return [text for text in told if text]


def brings(e: Explanation, part: Part) -> str:
    """What a change alone brings, and after how many folds it was stopped, if it was."""
    stopped = stopped_words(e, part)
    return gain_words(e.metric, part.gain) + (f" ({stopped})" if stopped else "")


def stopped_words(e: Explanation, part: Part) -> str:
    """How many folds a change alone has, if not all."""
    if part.folds == e.folds:
        return ""
    folds = f"{part.folds} of {count(e.folds, 'fold')}"
    return f"stopped after {folds}" if e.steps else f"so far {folds}"
