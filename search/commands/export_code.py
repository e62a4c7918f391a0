"""`search export --to FILE.py`: the winner as plain Keras code, from what the study stored."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from search.data.depth import FULL
from search.errors import UsageError
from search.export.code.points import Part, Point, Winner
from search.export.code.script import write
from search.native import ENVIRONMENT, no_stderr
from search.session.finish import refit_options
from search.session.plan import make_plan
from search.session.prepare import prepare
from search.study import config as toml
from search.study.continuing import check_named
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from spaces.custom.file import ModelFile, beside
from spaces.presets import family_of
from storage import ChoiceRecord, Store, TrialRecord

_TEST = "test"  # in the column `fold`


def write_code(
    folder: StudyFolder, target: Path, own: ModelFile | None, progress: Callable[[int, int], None]
) -> list[Path]:
    """Write the script of a study's choice, which exists, and what it needs beside it. Returns all files.

    `own`: the user's model, as it was named on the command line: its code is run. Raises UsageError for a study whose
    winner has no such code, or whose pictures or settings are not what it began with: they decide the network. OSError.
    """
    check_named(folder, own, "export", "--to", target)
    with folder.read() as store:
        stored = store.study().config.get("model")
    if own and (stored is None or stored["sha256"] != own.sha256):
        raise UsageError(f"--model: {own.name} is not what {folder} searched, or was changed since")
    if own and beside(own):
        raise UsageError(
            f"--to: {own.name} imports {', '.join(beside(own))}, which lie beside it, and a script has one file; put "
            "them into one, or export a .keras file"
        )
    config = toml.read(folder.path)
    roots = config.origin(folder.path).roots
    if len(roots) > 1 or not roots[0].is_dir():
        raise UsageError(
            f"--to {target}: a script reads pictures from one folder, and these are in "
            f"{', '.join(map(str, roots))}; export a .keras file"
        )
    prepared = prepare(config, folder.path, progress, own)
    if prepared.images.scale != FULL:
        raise UsageError(
            f"--to {target}: these pictures have grey of more than 8 bits, which a script does not read; export a "
            ".keras file, and use `search predict`"
        )
    with folder.read() as store:
        check_same(store, prepared)
        os.environ.update(ENVIRONMENT)
        with no_stderr():  # networks are built, and TensorFlow prints start messages there
            return write(_winner(prepared, store), target, _table(store))


def _winner(prepared: Prepared, store: Store) -> Winner:
    choice, study = store.choices()[-1], store.study()
    plan, own = make_plan(prepared, store, 1), prepared.own
    left_out = choice.left_out or (None,) * len(choice.members)
    points = []
    for number in dict.fromkeys(number for number, _ in choice.members):
        trial = store.trial(number)
        options = refit_options(trial.folds, plan.fit_options(trial.params))
        family, params = (None, trial.params) if own else family_of(prepared.preset, trial.params)
        points.append(
            Point(
                trial=number,
                family=family,
                params=params,
                epochs=options.max_epochs,
                factors=options.lr_factors,
                told=_told(trial, family.name if family else study.config["preset"], options.max_epochs),
            )
        )
    return Winner(
        name=study.name,
        classes=study.classes,
        facts=prepared.facts,
        images=len(prepared.images.labels),
        seed=study.seed,
        points=tuple(points),
        parts=_parts(choice, left_out),
        own=own.file if own else None,
    )


def _parts(choice: ChoiceRecord, left_out: tuple[int | None, ...]) -> tuple[Part, ...]:
    return tuple(
        Part(trial, float(weight), fold) for (trial, weight), fold in zip(choice.members, left_out, strict=True)
    )


def _told(trial: TrialRecord, family: str, epochs: int) -> str:
    scores = trial.scores("balanced_accuracy")
    best = [fold.best_epoch for fold in trial.folds if fold.repeat == 0]
    folds = ", ".join(f"{score:.4f}" for score in scores)
    told = f"{family}; in the search it had a balanced accuracy of {np.mean(scores):.4f} (by fold {folds})."
    if len(set(best)) == 1:
        return told
    return (
        f"{told} There each fold was judged at the epoch that was best for it ({', '.join(map(str, best))}), which "
        f"flatters; here all train for {epochs}."
    )


def _table(store: Store) -> str:
    """The pictures with their classes and folds, as CSV: 'test' is for testing; '': in no fold."""
    text, classes, assignment = io.StringIO(), store.study().classes, store.split().assignment
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "fold"])
    for image in store.images():
        fold = int(assignment[image.row])
        writer.writerow([image.path, classes[image.label], _TEST if image.testing else fold if fold >= 0 else ""])
    return text.getvalue()
