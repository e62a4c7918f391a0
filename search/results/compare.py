"""Several studies side by side, and whether one's choice is better than another's. Pure: from stored records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.results.expected import members_or_next
from search.results.stored import StoredStudy
from search.results.summary import StudySummary, summarise
from search.stats.evidence import candidates_of
from search.stats.paired import Difference, difference
from search.stats.selection import judged
from spaces import Space, SpaceError
from spaces.backbones.lite import LITE0
from spaces.presets import PRESETS, Auto

NO_SETTINGS = {"model.space", "preset", "weights"}  # of the stored ones: shown elsewhere, or otherwise


@dataclass(frozen=True)
class Setting:
    """A setting in which the studies are not all alike."""

    name: str  # as in study.toml, 'training.patience'; of a parameter 'space.NAME'
    values: tuple[Any, ...]  # of each study; None: it has no such setting


@dataclass(frozen=True)
class Versus:
    """A study beside the first."""

    study: int  # its place among the studies
    by_folds: Difference | None  # its choice less the first's, both judged out of fold, on the same folds
    by_testing: Difference | None  # its saved model less the first's, on the same testing images
    why_not: tuple[str, ...] = ()  # why a comparison is not made, one reason each; empty if both are


@dataclass(frozen=True)
class Comparison:
    """Studies side by side; the first is the one that others are compared with."""

    names: tuple[str, ...]  # their folders, as given
    studies: tuple[StudySummary, ...]
    same_pictures: tuple[bool, ...]  # whether each has the first's pictures and labels, in whatever size and order
    settings: tuple[Setting, ...]  # that differ
    versus: tuple[Versus, ...]  # of all but the first


def compare(named: Sequence[tuple[str, StoredStudy]]) -> Comparison:
    """`named`: at least two studies, each with the name of its folder."""
    names, studies = zip(*named, strict=True)
    return Comparison(
        names=names,
        studies=tuple(map(summarise, studies)),
        same_pictures=tuple(Counter(_pictures(stored)) == Counter(_pictures(studies[0])) for stored in studies),
        settings=tuple(_settings(studies)),
        versus=tuple(_versus(place, studies[0], stored) for place, stored in enumerate(studies) if place),
    )


def _pictures(stored: StoredStudy) -> list[tuple[str, str]]:
    """(content, class) of each image, in their order."""
    return [(image.digest, stored.study.classes[image.label]) for image in stored.images]


def _settings(studies: Sequence[StoredStudy]) -> Iterator[Setting]:
    """What decides results and is not alike, the space last: only of studies of one preset, since others share none."""
    flat = [
        {**dict(_flat(stored.study.config)), "weights": weights, "seed": stored.study.seed}
        for stored, weights in zip(studies, _weights(studies), strict=True)
    ]
    if len({stored.study.config.get("preset") for stored in studies}) == 1:
        flat = [{**of, **_space(stored)} for of, stored in zip(flat, studies, strict=True)]
    else:
        yield Setting("preset", tuple(stored.study.config.get("preset") for stored in studies))
    for name in dict.fromkeys(name for of in flat for name in of):
        values = tuple(of.get(name) for of in flat)
        if any(value != values[0] for value in values):
            yield Setting(name, values)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and name not in NO_SETTINGS:
            yield from _flat(value, f"{name}.")
        elif name not in NO_SETTINGS:
            yield name, value


def _weights(studies: Sequence[StoredStudy]) -> list[str | None]:
    """The pre-trained networks of each study by name; None: it has none.

    Where two studies have other weights under one name, the beginning of each one's SHA-256 tells them apart.
    """
    found = [_sha256(stored) for stored in studies]
    known: dict[str, set[str]] = {}
    for of in found:
        for name, sha256 in of.items():
            known.setdefault(name, set()).add(sha256)
    told = [[f"{n} (SHA-256 {s[:8]}…)" if len(known[n]) > 1 else n for n, s in of.items()] for of in found]
    return [", ".join(names) or None for names in told]


def _sha256(stored: StoredStudy) -> dict[str, str]:
    """Of each pre-trained network of a study, by name."""
    config = stored.study.config
    weights = config.get("weights")
    if isinstance(weights, Mapping):
        return {str(name): str(sha256) for name, sha256 in weights.items()}
    preset = PRESETS.get(str(config.get("preset")))
    with_networks = isinstance(preset, Auto) or (preset is not None and preset.frozen is not None)
    return {LITE0.name: LITE0.sha256} if with_networks else {}  # a study with that one alone does not store it


def _space(stored: StoredStudy) -> dict[str, str]:
    """Each parameter with its range and default, in words."""
    try:
        rows = Space.from_json(stored.study.space).rows()
    except SpaceError:  # the rest of the database can still be shown
        return {}
    return {f"space.{row['name']}": f"{row['range']} [default: {row['default']}]" for row in rows}


def _versus(place: int, first: StoredStudy, other: StoredStudy) -> Versus:
    if apart := _apart(first, other):
        return Versus(place, None, None, (apart,))
    by_folds, no_folds = _by_folds(first, other)
    by_testing, no_testing = _by_testing(first, other)
    return Versus(place, by_folds, by_testing, tuple(filter(None, (no_folds, no_testing))))


def _apart(first: StoredStudy, other: StoredStudy) -> str:
    """Why nothing of two studies can be compared image by image; empty if something can."""
    ours, theirs = first.study.metric, other.study.metric
    if ours != theirs:
        return f"they were searched for different metrics, {ours} and {theirs}"
    if first.study.classes != other.study.classes:
        return "their classes are not the same"
    mine, others = _pictures(first), _pictures(other)
    if mine == others:
        return ""
    if Counter(mine) == Counter(others):
        return "their pictures are the same, but in another order, as files have other names"
    shared = (Counter(mine) & Counter(others)).total()
    return f"their pictures are not the same: {shared:,} of {len(mine):,} and {len(others):,} are in both"


def _by_folds(first: StoredStudy, other: StoredStudy) -> tuple[Difference | None, str]:
    """(The difference out of fold, '') or (None, why there is none)."""
    ours, theirs = first.split.assignment, other.split.assignment
    if not np.array_equal(ours, theirs):
        mine, others = _drawn(first), _drawn(other)
        drawn = f" ({mine} and {others})" if mine != others else ""
        return None, f"their folds are not the same{drawn}, so no image was judged by models of the same images"
    before, after = _judged(first), _judged(other)
    if before is None or after is None:
        return None, _not_judged(first, other)
    searched, too_good = ours >= 0, (before[1], after[1])
    labels, folds = first.labels[searched], ours[searched]
    found = difference(first.study.metric, labels, before[0], after[0], folds, too_good)
    return found, "" if found else "fewer than two images were judged in both"


def _not_judged(first: StoredStudy, other: StoredStudy) -> str:
    """Why one of them cannot be judged out of fold."""
    if first.evidence is None or other.evidence is None:
        return "one of them has no finished fold yet, or only trials that failed or stayed at chance"
    return "the saved model of one of them is of trials that cannot be compared with its others any more"


def _drawn(stored: StoredStudy) -> str:
    return f"{int(stored.split.assignment.max(initial=-1)) + 1} folds with seed {stored.study.seed}"


def _judged(stored: StoredStudy) -> tuple[NDArray[np.float64], float] | None:
    evidence, members = stored.evidence, members_or_next(stored)
    if evidence is None or not members:
        return None
    return judged(evidence, candidates_of(evidence, stored.trials), members, stored.wish)


def _by_testing(first: StoredStudy, other: StoredStudy) -> tuple[Difference | None, str]:
    """(The difference on the testing images, '') or (None, why there is none; empty if there are none to speak of)."""
    ours, theirs = (np.array([image.testing for image in stored.images]) for stored in (first, other))
    if not ours.any() and not theirs.any():
        return None, ""
    if not np.array_equal(ours, theirs):
        return None, "their testing images are not the same"
    one, two = first.choice, other.choice
    if one is None or two is None or one.probabilities is None or two.probabilities is None:
        return None, "one of them has no saved model yet, so the testing images were not used"
    both = one.tested & two.tested
    labels = first.labels[ours][both]
    found = difference(first.study.metric, labels, one.probabilities[both], two.probabilities[both])
    return found, "" if found else "there is only one testing image"
