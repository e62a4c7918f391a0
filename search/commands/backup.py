"""`search backup` and `search verify`: a copy of a study that is one itself, and a check of all that a study stores."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.groups import is_table
from search.errors import UsageError, writing
from search.manifest import about
from search.results.checked import Checked
from search.results.nested import other_searches
from search.session.plan import fold_seed
from search.stats.metrics import METRICS, max_scores, scores
from search.study import config as toml
from search.study.config import FROM_KERAS
from search.study.config_file import update
from search.study.explanation import explanations
from search.study.folder import StudyFolder, backup_name
from spaces.backbones.hub_download import is_name
from storage import ImageRecord, StorageError, Store, StudyRecord, TrialRecord, back_up, needs_upgrade, problems_of

_SAME = 1e-6  # relative difference at which a stored score is that of its probabilities: float32 sums may differ


def backup(study: Path | None, to: Path | None, tell: Callable[[str], None] = lambda _: None) -> StudyFolder:
    """Copy a study, also one that is being searched: settings, results and model, not what can be made anew.

    `to`: a new folder; None: STUDY-backup-DATE beside the study. It exists only when it is complete, and is a study
    itself, whose images are where they were. `tell` is told what could not be set right in the copy's settings. Raises
    UsageError, StorageError.
    """
    folder = StudyFolder.find(study)
    if not folder.begun:
        raise UsageError(f"{folder} has not begun: there is nothing but {folder.toml.name} in it to keep")
    here = folder.path.resolve()
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    target = StudyFolder(to or folder.path.parent / backup_name(here.name, stamp))
    if target.path.exists():
        raise UsageError(f"--to {target}: exists already; name a new folder")
    if target.path.resolve().is_relative_to(here):
        raise UsageError(f"--to {target}: is within the study; name a folder outside of it")
    partial = StudyFolder(target.path.with_name(f".{target.path.name}.{secrets.token_hex(4)}"))
    with writing(f"--to {target}", "name a folder that can"):
        try:
            partial.path.mkdir()
            _copy(folder, partial, tell)
            partial.path.rename(target.path)
        finally:
            shutil.rmtree(partial.path, ignore_errors=True)
    return target


def _copy(folder: StudyFolder, target: StudyFolder, tell: Callable[[str], None]) -> None:
    back_up(folder.database, target.database)
    copy_files(folder, target)
    for outer in folder.outers:
        if outer.begun:
            part = StudyFolder(target.nested / outer.path.name)
            part.path.mkdir(parents=True)
            _copy(outer, part, tell)
    copy_settings(folder, target, tell)


def copy_files(folder: StudyFolder, target: StudyFolder) -> None:
    """Copy model, report and explanations of a study."""
    for file in (folder.model, folder.report):
        if file.is_file() and not file.is_symlink():  # in a stranger's study it could lead to any file
            copy = target.path / file.relative_to(folder.path)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
    for explanation in sorted(folder.explained.glob("*.db")):
        if not explanation.is_symlink():
            target.explained.mkdir(exist_ok=True)
            back_up(explanation, target.explained / explanation.name)


def copy_settings(folder: StudyFolder, target: StudyFolder, tell: Callable[[str], None]) -> None:
    """Copy study.toml, with the same images, for results in the folder. `tell` is told what could not be set right."""
    if folder.toml.is_file() and not folder.toml.is_symlink():
        shutil.copyfile(folder.toml, target.toml)
        try:
            update(target.path, _absolute(folder), unset=["storage"])
        except (UsageError, OSError, ValueError, RuntimeError) as error:  # the results are sound all the same
            tell(f"{folder.toml} was copied as it is, with paths relative to {folder}: {error}")


def _absolute(folder: StudyFolder) -> dict[str, str | list[str]]:
    """The settings that are paths relative to the study's folder, which the copy's is not; absolute."""
    config = toml.read(folder.path)
    paths = {"images": config.images, **({"labels": config.labels} if config.labels else {})}
    if config.groups is not None and is_table(config.groups, folder.path):
        paths["groups"] = config.groups
    files = {name: given for name, given in config.weights.items() if given != FROM_KERAS}
    paths |= {f"weights.{name}": given for name, given in files.items() if not is_name(given) and given[0] != "~"}
    whole: dict[str, str | list[str]] = {
        key: str((folder.path / path).resolve()) for key, path in paths.items() if not Path(path).is_absolute()
    }
    return whole | ({"also": [str((folder.path / path).resolve()) for path in config.also]} if config.also else {})


def verify(study: Path | None) -> tuple[StudyFolder, tuple[Checked, ...]]:
    """Check all that a study stores: every page, reference, array, number and seed, explanations, and the model's file.

    Reads only; outer folds too. What is found is told, not raised. Raises UsageError for a study that has not begun.
    """
    folder = StudyFolder.find(study)
    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is nothing to verify")
    checks = list(_checks(folder))
    for outer in folder.outers:
        if outer.begun:
            checks += [replace(check, what=f"{outer.path.name}: {check.what}") for check in _checks(outer)]
    return folder, tuple(checks)


def _checks(folder: StudyFolder) -> Iterator[Checked]:
    try:
        pages = Checked("database", 1, tuple(problems_of(folder.database)))
    except StorageError as error:
        pages = Checked("database", 1, (str(error),))
    yield pages
    if pages.problems:  # then nothing that is read from it means anything
        return
    try:
        with folder.read() as store:
            yield from _contents(folder, store)
    except StorageError as error:  # a value that cannot be, or an older release wrote it
        yield Checked("contents", 1, (str(error),))


def _contents(folder: StudyFolder, store: Store) -> Iterator[Checked]:
    record, images, trials = store.study(), store.images(), store.trials()
    yield Checked("images", len(images))
    yield Checked("trials", len(trials))
    yield _fold_runs(store, record, images, trials)
    references = store.references()
    labels, assignment = _labels(images), store.split().assignment
    wrong = [
        f"{reference.name}, fold {reference.fold + 1}: {different}"
        for reference in references
        if (different := _different(reference.scores, labels[assignment == reference.fold], reference.probabilities))
    ]
    yield Checked("references", len(references), tuple(wrong))
    choices = store.choices()
    yield Checked("choices", len(choices))
    if folder.model.is_file():
        yield Checked("model", 1, tuple(_model(folder, record, {choice.made for choice in choices})))
    if outers := [outer for outer in folder.outers if outer.begun]:
        yield Checked("outer folds", len(outers), tuple(other_searches(folder, store)))
    if own := [folder.explanation(*numbers) for numbers in explanations(folder)]:
        yield Checked("explanations", len(own), tuple(problem for path in own for problem in _explanation(path)))


def _explanation(path: Path) -> list[str]:
    """What is wrong with the database of an explanation: its pages and its fold runs."""
    try:
        if not (found := problems_of(path)) and not needs_upgrade(path):
            with Store.open(path, read_only=True, max_scores=max_scores()) as store:
                found = [*_fold_runs(store, store.study(), store.images(), store.trials()).problems]
    except StorageError as error:
        return [str(error)]
    return [f"{path.name}: {problem}" for problem in found]


def _fold_runs(store: Store, record: StudyRecord, images: list[ImageRecord], trials: list[TrialRecord]) -> Checked:
    labels, count, problems = _labels(images), 0, []
    assignments = {split.repeat: split.assignment for split in store.splits()}
    for trial in trials:
        for repeat, assignment in assignments.items():
            folds = {fold.fold: fold for fold in trial.folds if fold.repeat == repeat}
            stored = store.probabilities(trial.number, repeat) if folds else {}
            for number, fold in folds.items():
                count += 1
                name = f"trial {trial.number}, repeat {repeat}, fold {number + 1}"
                if different := _different(fold.scores, labels[assignment == number], stored[number]):
                    problems.append(f"{name}: {different}")
                if fold.seed != fold_seed(record.seed, trial.number, repeat, number):
                    problems.append(f"{name}: its seed is not derived from the study's")
    return Checked("fold runs", count, tuple(problems))


def _labels(images: list[ImageRecord]) -> NDArray[np.int64]:
    return np.array([image.label for image in images], np.int64)


def _different(
    stored: Mapping[str, float], labels: NDArray[np.int64], probabilities: NDArray[np.float32] | None
) -> str | None:
    """The first score that its probabilities do not have; None if all are right."""
    if probabilities is None:
        return "has no probabilities"
    again = scores(labels, probabilities, [name for name in stored if name in METRICS])
    for name, value in again.items():
        if not np.isclose(stored[name], value, rtol=_SAME, atol=_SAME, equal_nan=True):
            return f"{name} is stored as {stored[name]:.6g}, its probabilities have {value:.6g}"
    return None


def _model(folder: StudyFolder, record: StudyRecord, made: set[str]) -> Iterator[str]:
    """What is wrong with the model's file, which is one of this study's choices."""
    try:
        description = about(folder.model)
    except UsageError as error:
        yield str(error)
        return
    if description.fingerprint and description.fingerprint != record.fingerprint:
        yield f"{folder.model} is of other images"
    elif description.made and description.made not in made:
        yield f"{folder.model} is of no choice of this study"
    if description.classes != record.classes:
        yield f"{folder.model} knows the classes {', '.join(description.classes)}"
