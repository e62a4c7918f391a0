"""Points to try before the sampler's: those of `[[try]]`, and the best of another study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.stats.metrics import max_scores
from search.stats.ranking import ranked
from search.study.config import FILE, Try
from search.text import printable
from spaces import Space, SpaceError, Value
from spaces.parameters import format_value
from spaces.presets import FAMILIES
from spaces.presets.auto import FAMILY, prefix, within
from storage import Store, TrialState

MAX_WARM = 5  # points taken from another study


def points_to_try(tries: Sequence[Mapping[str, Any]], space: Space) -> tuple[dict[str, Value], ...]:
    """The points of `[[try]]`, in order, without repetitions. Raises UsageError that names all problems."""
    points: list[dict[str, Value]] = []
    problems: list[str] = []
    for number, changes in enumerate(tries, start=1):
        try:
            point = space.changed(changes)
        except SpaceError as error:
            problems += [f"  try {number}: {line}" for line in str(error).splitlines()]
            continue
        if point not in points:
            points.append(point)
    if problems:
        raise UsageError(f"[[try]] of {FILE}:\n" + "\n".join(problems))
    return tuple(points)


def best_of(
    database: Path, name: str, space: Space, preset: str, listed: Sequence[Mapping[str, Value]] = ()
) -> tuple[tuple[Try, ...], str]:
    """(The best complete trials of another study, best first, as points of this space; a sentence on them).

    Takes the best `MAX_WARM` that differ from each other and from the default, without those already `listed`.
    Parameters that this space lacks are left out, and values that it does not allow are replaced by the default.
    Raises UsageError if that study has no complete trial.
    """
    with Store.open(database, read_only=True, max_scores=max_scores()) as store:
        metric, theirs = store.study().metric, str(store.study().config.get("preset"))
        trials = [t for t in ranked(store.trials(curves=False), metric) if t.state == TrialState.COMPLETE]
    scored = [(t, score) for t in trials if (score := t.score(metric)) is not None and math.isfinite(score)]
    if not scored:
        raise UsageError(f"--warm-start: {name} has no complete trial to begin from; name another study")
    taken: dict[int, Try] = {}
    seen, lost = [space.defaults()], dict[str, None]()
    for trial, score in scored:
        params = _translated(trial.params, theirs, preset)
        if params is None:
            continue
        point = space.defaults(**params)
        if point in seen:
            continue
        if len(seen) > MAX_WARM:
            break
        seen.append(point)
        lost |= dict.fromkeys(_lost(space, params, point))
        if point not in listed:
            source = f"trial {trial.number} of {printable(name)}: {metric} {score:.4g}"
            taken[trial.number] = Try(_changes(space, point), source)
    sentence = f"warm start from {printable(name)}: " + (
        f"trials {', '.join(map(str, taken))} are tried first" if taken else "its best trials add no new point"
    )
    return tuple(taken.values()), sentence + (f"; at the default instead: {', '.join(lost)}" if lost else "")


def _translated(params: Mapping[str, Value], theirs: str, ours: str) -> Mapping[str, Value] | None:
    """A point of preset `theirs` with the parameter names of `ours`: 'auto' prefixes the names of each family.

    None for a point of another family.
    """
    if theirs in FAMILIES and ours == "auto":
        return {FAMILY: theirs, **{prefix(theirs) + name: value for name, value in params.items()}}
    if theirs == "auto" and ours in FAMILIES:
        return within(params) if params[FAMILY] == ours else None
    return params


def _changes(space: Space, point: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in point.items() if value != space.by_name[name].default}


def _lost(space: Space, params: Mapping[str, Value], point: Mapping[str, Value]) -> list[str]:
    """The parameters of another study's point that are not in `point`, in words."""
    found = []
    for name, value in params.items():
        if name not in space.by_name:
            found.append(f"{printable(name)} (unknown here)")
            continue
        try:
            space.by_name[name].check(value)
        except SpaceError:
            found.append(f"{name} {printable(format_value(value))} (not in {space.by_name[name].range})")
            continue
        if name not in point:
            where = " and ".join(map(str, space.by_name[name].when))
            found.append(f"{name} {printable(format_value(value))} (only where {where})")
    return found
