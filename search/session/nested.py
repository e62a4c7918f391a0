"""Nested cross-validation: the whole search again for each fold, without that fold's images.

The choice of such a search is evaluated on the images that were held out of it. Each outer fold is an ordinary study,
in the folder of the study that it belongs to, and is continued like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.groups import is_table
from search.data.holdout import hold_out
from search.errors import UsageError
from search.executors.base import Executor
from search.results.progress import Ending, Observer
from search.seeds import derive
from search.session import budget
from search.session.budget import UsedUp
from search.session.run import run as run_one
from search.session.session import Asked
from search.study import config_file
from search.study.config import FROM_KERAS, Config
from search.study.database import folds_of
from search.study.folder import StudyFolder
from search.study.lease import leased
from search.study.prepared import Prepared
from spaces.backbones.hub_download import is_name
from storage import needs_upgrade

Watch = Callable[[], AbstractContextManager[Observer]]


def run(
    folder: StudyFolder,
    prepared: Prepared,
    watch: Watch,
    *,
    executor: Executor,
    asked: Asked,
    begin: Callable[[], None],
) -> Ending:
    """Search and, for nested cross-validation, search again for each outer fold. Finished searches are skipped.

    Each search is `search.session.run.run` with these arguments and a new observer. Raises as that does.
    """
    if not prepared.config.nested:
        with watch() as observer:
            return run_one(folder, prepared, observer, executor=executor, asked=asked, begin=begin)
    outer = outer_folds(folder, prepared)
    ending = Ending.FINISHED
    if budget.done_already(folder, prepared):
        with watch() as observer, leased(folder.lock, takeover=asked.takeover, tell=observer.note):
            begin()
    else:
        with watch() as observer:
            ending = run_one(folder, prepared, observer, executor=executor, asked=asked, begin=begin)
    for fold, one in enumerate(outer):
        where = folder.outer(fold)
        if ending is not Ending.FINISHED:
            break
        if budget.done_already(where, one):
            continue
        with where.made(), watch() as observer:
            observer.note(f"outer fold {fold + 1} of {len(outer)}: searching without its {one.locked:,} images")
            ending = run_one(
                where,
                one,
                observer,
                executor=executor,
                asked=replace(asked, started=None),
                begin=lambda where=where, one=one: config_file.write(where.path, one.config),  # type: ignore[misc]
            )
    return ending


def done_already(folder: StudyFolder, prepared: Prepared) -> UsedUp | None:
    """Like `budget.done_already`, but only if all requested outer folds are done too."""
    done = budget.done_already(folder, prepared)
    if done is None or not prepared.config.nested:
        return done
    outer = outer_folds(folder, prepared)
    return done if all(budget.done_already(folder.outer(fold), one) for fold, one in enumerate(outer)) else None


def outer_folds(folder: StudyFolder, prepared: Prepared) -> list[Prepared]:
    """The search of each outer fold. Raises UsageError if one is not possible."""
    assignment = _folds(folder, prepared)
    try:
        return [_without(prepared, assignment == fold, fold) for fold in range(prepared.folds)]
    except UsageError as error:
        raise UsageError(f"nested: a search without the images of one fold is not possible: {error}") from None


def cost(prepared: Prepared) -> list[str]:
    """What nested cross-validation will take, in lines for people; empty without it."""
    config, folds = prepared.config, prepared.folds
    if not config.nested:
        return []
    budgets = [f"{config.trials} trial{'s' if config.trials > 1 else ''}"] if config.trials is not None else []
    budgets += [f"{config.hours:.3g} hours, its share of the total"] if config.hours is not None else []
    factor = f" Where trials end them, all take about {folds} times as long as the first." if config.trials else ""
    return [
        f"nested cross-validation: {folds} more searches after this one, each without the images of one fold. "
        f"Each has at most {' and '.join(budgets) or 'what it takes'}.{factor}"
    ]


def _folds(folder: StudyFolder, prepared: Prepared) -> NDArray[np.int16]:
    """[images] the fold of each image: the stored ones, or those that will be drawn."""
    if not folder.begun or needs_upgrade(folder.database):
        return folds_of(prepared, 0)
    with folder.read() as store:
        return store.split().assignment


def _without(prepared: Prepared, held_out: NDArray[np.bool_], fold: int) -> Prepared:
    """The same search without the images of a fold, `held_out` [images].

    Space and points to try are the same. If a class has too few images left for as many folds, there are fewer.
    """
    sentence = (
        f"Outer fold {fold + 1} of {prepared.folds}: {{locked}} of {{images}} images are held out, to be judged on."
    )
    try:
        images, checked = hold_out(prepared.images, prepared.checked, held_out, prepared.folds, sentence)
    except UsageError:
        images, checked = hold_out(prepared.images, prepared.checked, held_out, None, sentence)
    folds, locked = checked.folds or 0, int(held_out.sum())
    config = _from_below(prepared.config).model_copy(
        update={"nested": False, "lock_box": None, "folds": folds, "seed": derive(prepared.config.seed, "outer", fold)}
    )
    return replace(
        prepared,
        config=config,
        images=images,
        checked=checked,
        facts=replace(prepared.facts, images=prepared.facts.images - locked),
        folds=folds,
        locked=locked,
    )


def _from_below(config: Config) -> Config:
    """With paths relative to the folder of an outer fold, which is two levels below the study's."""
    groups, below = config.groups, Path("..", "..")
    if groups is not None and is_table(groups):
        groups = str(below / groups)
    weights = {
        name: given if given == FROM_KERAS or is_name(given) or given.startswith("~") else str(below / given)
        for name, given in config.weights.items()
    }
    return config.model_copy(
        update={
            "images": str(below / config.images),
            "also": [str(below / path) for path in config.also] if config.also else None,
            "labels": str(below / config.labels) if config.labels else None,
            "groups": groups,
            "weights": weights,
        }
    )
