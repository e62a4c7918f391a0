"""Which networks show where the saved model looks, in which images. Pure.

The network of a fold that was not trained on an image is best. Where the model was trained on all images, its own
network looks, and the report says that it has seen them. Of an ensemble the trial with the largest weight looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.jobs import Looked, LookJob, Outcome
from search.results.gradcam import Looks
from search.results.shipped import PICTURES, UNSURE, Example
from search.stats.selection import Member
from storage import ChoiceRecord

LOADING = 2.0  # seconds to load a network and to call it for the first time: 1.7 and 2.1 for Lite0 and Lite2
LOOK_SHARE = 0.03  # of a search's time, at most, that is kept back for them


def looking(trial: int, members: Sequence[Member]) -> tuple[Member, ...]:
    """The members that look: the one of the trial that was trained on all images, else those of its folds."""
    own = {member.fold: member for member in members if member.trial == trial}
    return (own[None],) if None in own else tuple(own.values())


def look_seconds(predicting: float, networks: int) -> float:
    """Expected seconds for all images that a report shows. `predicting`: seconds for one of them."""
    return networks * LOADING + (PICTURES + UNSURE) * predicting


def kept_for_looks(seconds: float, budget: float) -> float:
    """What of a search's time `budget` is kept back for them, if they take so many `seconds`: all or nothing."""
    return seconds if seconds <= LOOK_SHARE * budget else 0.0


def look_jobs(
    examples: Sequence[Example],
    networks: Sequence[Member],
    paths: Mapping[Member, Path],
    assignment: NDArray[np.int16],
) -> list[LookJob]:
    """One job for each network that has images to look at, for the class that was predicted out of fold.

    `assignment` [images]: the fold of each. Images of a fold that has no network are left out.
    """
    jobs = []
    for member in networks:
        seen = [e for e in examples if member.fold is None or assignment[e.row] == member.fold]
        if seen:
            rows, classes = np.array([(e.row, e.predicted) for e in seen], np.int32).T
            jobs.append(LookJob(paths[member], rows, classes))
    return jobs


def looks_of(choice: ChoiceRecord, networks: Sequence[Member], outcomes: Sequence[tuple[LookJob, Outcome]]) -> Looks:
    """What the networks of a choice found; without images where nothing was found."""
    classes, maps = {}, {}
    for job, outcome in outcomes:
        if isinstance(outcome, Looked) and outcome.maps is not None:
            for row, label, found in zip(job.rows.tolist(), job.classes.tolist(), outcome.maps, strict=True):
                if found.any():
                    classes[row], maps[row] = label, found
    return Looks(choice.made, choice.trial, all(member.fold is not None for member in networks), classes, maps)
