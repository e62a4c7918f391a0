"""Studies whose truth is known, each stored in one file, so that rules of choice can be replayed on them at once.

`python -m tests.bench.bank PICTURES... --into FOLDER`. All pictures of a set, from its training and testing folders,
are divided: a stratified part is searched as by `search run` with one worker, the rest is the truth. Then every trial
with a fold is trained on all searched images and predicts the rest. `--shuffled`: the labels are permuted first, so
that chance is the truth and nothing is predicted. A file that exists is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from reports.terminal.display import TerminalDisplay
from search.data.images import read_images
from search.diagnosis.evidence import BROKEN
from search.errors import RunError, UsageError
from search.executors.base import Executor
from search.executors.factory import open_executor
from search.jobs import ComposeJob, FoldJob, FoldResult, RefitJob, SavedModel
from search.results.progress import Ending
from search.seeds import derive
from search.session.finish import refit_options
from search.session.plan import Plan, make_plan, worker_context
from search.session.prepare import prepare
from search.session.run import run
from search.session.session import Asked
from search.study.config import Config, TrainingConfig
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces.presets import family_of
from storage import Store, TrialRecord

MOST_TRUTH = 1000  # testing images of a study: its trials are compared on the same ones, so more tell little more

Probabilities: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Banked:
    """One study; each field is an array of its file. NaN stands for what was not trained."""

    name: NDArray[np.str_]  # [] of the study
    classes: NDArray[np.str_]  # [classes]
    labels: NDArray[np.int16]  # [images] only images of a fold
    folds: NDArray[np.int16]  # [images]
    testing: NDArray[np.int16]  # [testing images] their labels
    trials: NDArray[np.int32]  # [trials] their numbers
    oof: Probabilities  # [trials, images, classes], out of fold
    folds_again: NDArray[np.int16]  # [repeats, images], of the finalists
    oof_again: Probabilities  # [repeats, trials, images, classes]
    truth: Probabilities  # [trials, testing images, classes], trained on all images
    families: NDArray[np.str_]  # [trials]
    points: NDArray[np.str_]  # [trials] JSON
    states: NDArray[np.str_]  # [trials]
    causes: NDArray[np.str_]  # [trials] of the state; '': none
    parameters: NDArray[np.int64]  # [trials] of the model; -1: it was not built
    seconds: NDArray[np.float64]  # [trials] mean of the folds
    order: NDArray[np.int32]  # [trials] in which they ended, from 0
    shipped: NDArray[np.float64]  # [trials] weights of the model that the study saved

    def write(self, path: Path) -> None:
        """One .npz, whole or not at all, also if other processes write into the same folder."""
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez_compressed(partial, **vars(self))
        partial.rename(path)

    @classmethod
    def read(cls, path: Path) -> Banked:
        """What `write` wrote. Raises OSError, ValueError or KeyError for another file."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in cls.__dataclass_fields__})


def drawn(pictures: Path, into: Path, images: int, seed: int, *, shuffled: bool) -> None:
    """Copy so many pictures below `into`, stratified, and the truth into a folder of testing images.

    `shuffled`: with permuted labels and without a truth. Raises UsageError where there are too few pictures.
    """
    from sklearn.model_selection import train_test_split

    everything = read_images(pictures)
    labels = everything.labels
    if len(labels) < images + (0 if shuffled else len(everything.classes)):
        raise UsageError(f"{pictures} has {len(labels)} pictures, too few for {images} and a truth")
    rows = np.arange(len(labels))
    if images < len(labels):
        rows, rest = train_test_split(rows, train_size=images, stratify=labels, random_state=seed)
    if shuffled:
        parts = {"training": rows}
        labels = labels.copy()
        labels[rows] = np.random.default_rng(seed).permutation(labels[rows])
    else:
        if len(rest) > MOST_TRUTH:
            rest, _ = train_test_split(rest, train_size=MOST_TRUTH, stratify=labels[rest], random_state=seed)
        parts = {"training": rows, "testing": rest}
    for part, of_part in parts.items():
        for row in of_part:
            source = pictures / everything.paths[row]
            target = into / part / everything.classes[labels[row]] / f"{row:05}{source.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def studied(name: str, config: Config, folder: StudyFolder, *, truth: bool) -> Banked:
    """Search in `folder` with one worker; with `truth` train every trial on all images. Raises as `run` does."""
    prepared = prepare(config, folder.path)
    with open_executor(1) as executor:
        with TerminalDisplay(quiet=True).watching() as observer:
            ending = run(folder, prepared, observer, executor=executor, asked=Asked("search run"))
        if ending is Ending.STOPPED:
            raise SystemExit(f"{name}: stopped by a signal")
        if ending is not Ending.FINISHED:
            raise RunError(f"{name}: the search ended as {ending.value}")
        with folder.read() as store:
            predicted = in_truth(folder, prepared, store, executor) if truth else {}
            return banked(name, prepared, store, predicted)


def in_truth(folder: StudyFolder, prepared: Prepared, store: Store, executor: Executor) -> dict[int, Probabilities]:
    """Trial -> [testing images, classes] of its model trained on all images, for all that can be trained."""
    plan = make_plan(prepared, store, executor.slots)
    testing = np.flatnonzero(prepared.images.testing).astype(np.int32)
    found = {}
    with folder.pixels_on_disk(prepared.images.pixels) as pixels:
        executor.prepare(worker_context(pixels, folder.features, prepared), folder.logs)
        for trial in store.trials():
            if not trial.folds or trial.collapsed:
                continue
            refit = on_all_images(trial, plan, folder.refits.absolute() / f"bank-{trial.number}.keras")
            frozen = family_of(prepared.preset, trial.params)[0].frozen
            probabilities = (_as_a_fold if frozen and frozen.heads else _as_saved)(refit, testing, executor)
            if probabilities is not None:
                found[trial.number] = probabilities
    return found


def _as_saved(refit: RefitJob, testing: NDArray[np.int32], executor: Executor) -> Probabilities | None:
    """Predictions of the saved model."""
    if not isinstance(executor.submit(refit).result(), SavedModel):
        return None
    judge = ComposeJob(((refit.path, 1.0),), refit.path.with_suffix(".judged.keras"), {}, testing)
    judged = executor.submit(judge).result()
    return judged.probabilities if isinstance(judged, SavedModel) else None


def _as_a_fold(refit: RefitJob, testing: NDArray[np.int32], executor: Executor) -> Probabilities | None:
    """The same of a head on features, much faster: those of testing images are computed once for all trials."""
    judged = executor.submit(replace(refit.fold, validate=testing)).result()
    if not isinstance(judged, FoldResult) or (judged.diagnosis and judged.diagnosis.symptom.name == BROKEN):
        return None
    return judged.probabilities


def on_all_images(trial: TrialRecord, plan: Plan, path: Path) -> RefitJob:
    """As `Finish` trains a trial on all images."""
    rows = np.flatnonzero(plan.assignment >= 0).astype(np.int32)
    seed, options = derive(plan.seed, "refit", trial.number), refit_options(trial.folds, plan.fit_options(trial.params))
    return RefitJob(FoldJob(trial.number, 0, 0, trial.params, rows, rows[:32], seed, options), path)


def banked(name: str, prepared: Prepared, store: Store, predicted: dict[int, Probabilities]) -> Banked:
    """What a finished study stored, and its truth."""
    trials, splits, images = store.trials(curves=False), store.splits(), prepared.images
    searched = splits[0].assignment >= 0
    numbers, classes = [trial.number for trial in trials], len(images.classes)
    testing = images.labels[images.testing] if predicted else images.labels[:0]
    oof = np.full((len(splits), len(trials), len(images.labels), classes), np.nan, np.float32)
    for split, (place, number) in product(splits, enumerate(numbers)):
        for fold, of_fold in store.probabilities(number, split.repeat).items():
            oof[split.repeat, place, split.assignment == fold] = of_fold
    nothing = np.full((len(testing), classes), np.nan, np.float32)
    ended = sorted(trials, key=lambda trial: (trial.finished or "9", trial.number))
    choices = store.choices()
    weights = np.zeros(len(trials))
    for number, weight in choices[-1].members if choices else ():
        weights[numbers.index(number)] += weight
    return Banked(
        name=np.array(name),
        classes=np.array(images.classes),
        labels=images.labels[searched],
        folds=splits[0].assignment[searched],
        testing=testing,
        trials=np.array(numbers, np.int32),
        oof=oof[0][:, searched],
        folds_again=np.array([split.assignment[searched] for split in splits[1:]], np.int16).reshape(
            len(splits) - 1, int(searched.sum())
        ),
        oof_again=oof[1:][:, :, searched],
        truth=np.array([predicted.get(number, nothing) for number in numbers]),
        families=np.array([str(trial.params.get("family", prepared.preset.name)) for trial in trials]),
        points=np.array([json.dumps(dict(trial.params)) for trial in trials]),
        states=np.array([trial.state.value for trial in trials]),
        causes=np.array([trial.cause or "" for trial in trials]),
        parameters=np.array([-1 if trial.parameters is None else trial.parameters for trial in trials], np.int64),
        seconds=np.array([trial.seconds / len(trial.folds) if trial.folds else np.nan for trial in trials]),
        order=np.argsort([numbers.index(trial.number) for trial in ended]).astype(np.int32),
        shipped=weights,
    )


def lines(asked: argparse.Namespace) -> Iterator[str]:
    """One per study, the small ones first, the sets in turn."""
    for images, seed, pictures in product(asked.images, asked.seeds, asked.pictures):
        name = f"{pictures.name}-{images}-{asked.preset}-{seed}{'-shuffled' if asked.shuffled else ''}"
        path = asked.into / f"{name}.npz"
        if path.exists():
            yield f"{name}: there already"
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            config = Config(
                images=str(Path(work) / "pictures"),
                preset=asked.preset,
                seed=seed,
                trials=asked.trials,
                hours=None,
                lock_box=False,
                training=TrainingConfig(max_epochs=asked.epochs),
            )
            folder = StudyFolder(Path(work) / "study")
            try:
                drawn(pictures, Path(work) / "pictures", images, seed, shuffled=asked.shuffled)
                folder.make()
                study = studied(name, config, folder, truth=not asked.shuffled)
            except (UsageError, RunError) as error:
                yield f"{name}: {error}"
                continue
        study.write(path)
        folds = np.isfinite(study.oof[:, :, 0]).any(axis=1).sum()
        known = np.isfinite(study.truth).all(axis=(1, 2)).sum() if len(study.testing) else 0
        seconds = time.monotonic() - started
        yield f"{name}: {seconds:.0f} s, {len(study.trials)} trials, {folds} with folds, {known} in truth"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, and print a line for each study."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bank", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURES")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 160, 300, 500], help="searched images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the drawing and of the study")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="at most, of a fold run; default: as the preset says")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--shuffled", action="store_true")
    asked = parser.parse_args(arguments)
    asked.pictures = [pictures.resolve() for pictures in asked.pictures]
    asked.into.mkdir(parents=True, exist_ok=True)
    for line in lines(asked):
        print(line, flush=True)


if __name__ == "__main__":
    main()
