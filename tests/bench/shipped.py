"""What a finished study would ship, on testing images that no search has seen: `python -m tests.bench.shipped STUDY`.

The five fold models of a trial, averaged, are made again by their own jobs (a fold run is pure). For early stopping
the number of epochs is the one that the search found; nothing is chosen on testing images.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search import config as toml
from search.jobs import FoldJob, FoldResult, Materials, Training
from search.metrics import balanced_accuracy, confusion
from search.ranking import ranked
from search.seeds import derive
from search.study import pixels_on_disk, prepare
from search.worker import Worker
from storage import Store, TrialRecord, TrialState

MOST_MEMBERS = 8  # of the ensemble, drawn with repetition
CANDIDATES = 12  # best trials it is drawn from


def main(folder: Path) -> None:
    """Print both accuracies of the baseline, of the best trial and of an ensemble."""
    prepared = prepare(toml.read(folder), folder)
    labels, testing = prepared.images.labels, np.flatnonzero(prepared.images.testing).astype(np.int32)
    with Store.open(folder / "study.db", read_only=True) as store:
        trials, assignment = store.trials(), store.split(0).assignment
        complete = [t for t in ranked(trials, prepared.config.metric) if t.state == TrialState.COMPLETE]
        inside = {t.number: out_of_fold(store, t, assignment, prepared.facts.classes) for t in complete}
    truth, searched = labels[testing], assignment >= 0

    def said(what: str, out: NDArray[np.float32], test: NDArray[np.float32]) -> None:
        counts = confusion(labels[searched], out[searched].argmax(axis=1), prepared.facts.classes)
        right = (test.argmax(axis=1) == truth).mean()
        print(f"{what:34} out of fold {100 * balanced_accuracy(counts):5.1f} %   test {100 * right:5.1f} %", flush=True)

    with tempfile.TemporaryDirectory() as place, pixels_on_disk(Path(place), prepared.images) as pixels:
        materials = Materials(pixels, labels, prepared.facts, prepared.preset.name, prepared.config.metric)
        worker = Worker(materials)
        made: dict[int, NDArray[np.float32]] = {}

        def on_test(trial: TrialRecord) -> NDArray[np.float32]:
            if trial.number not in made:
                made[trial.number] = np.mean(
                    [
                        tested(worker, trial, fold, assignment, testing, prepared.config.seed)
                        for fold in range(prepared.folds)
                    ],
                    axis=0,
                )
            return made[trial.number]

        baseline = next((t for t in complete if t.number == 0), complete[0])
        for name, trial in [("baseline", baseline), ("best", complete[0])]:
            said(f"{name}, trial {trial.number}", inside[trial.number], on_test(trial))
        members = chosen([(t.number, inside[t.number]) for t in complete[:CANDIDATES]], labels, searched)
        by_number = {t.number: t for t in complete}
        said(
            f"ensemble of {', '.join(map(str, members))}",
            np.mean([inside[number] for number in members], axis=0),
            np.mean([on_test(by_number[number]) for number in members], axis=0),
        )


def out_of_fold(store: Store, trial: TrialRecord, assignment: NDArray[np.int16], classes: int) -> NDArray[np.float32]:
    """[images, classes], zero for those in no fold."""
    found = np.zeros((len(assignment), classes), np.float32)
    for fold, probabilities in store.probabilities(trial.number).items():
        found[assignment == fold] = probabilities
    return found


def tested(
    worker: Worker, trial: TrialRecord, fold: int, assignment: NDArray[np.int16], testing: NDArray[np.int32], seed: int
) -> NDArray[np.float32]:
    """[testing images, classes] of one fold's model."""
    record = next(f for f in trial.folds if f.fold == fold)
    job = FoldJob(
        trial=trial.number,
        repeat=0,
        fold=fold,
        params=trial.params,
        train=np.flatnonzero((assignment != fold) & (assignment >= 0)).astype(np.int32),
        validate=testing,
        seed=derive(seed, "fold", trial.number, 0, fold),
        training=Training(max_epochs=record.best_epoch, patience=0, last=True),
    )
    outcome = worker.do(job if record.epochs > 1 else replace(job, training=Training()))
    assert isinstance(outcome, FoldResult), outcome
    return outcome.probabilities


def chosen(
    candidates: list[tuple[int, NDArray[np.float32]]], labels: NDArray[np.int16], searched: NDArray[np.bool_]
) -> list[int]:
    """Greedy selection (Caruana et al. 2004): add what lowers the out-of-fold log loss most, again and again."""

    def loss(parts: Iterable[NDArray[np.float32]]) -> float:
        mean = np.mean([part[searched] for part in parts], axis=0)
        return float(-np.log(np.clip(mean[np.arange(len(mean)), labels[searched]], 1e-7, 1)).mean())

    members: list[tuple[int, NDArray[np.float32]]] = []
    best = float("inf")
    while len(members) < MOST_MEMBERS:
        losses = [loss([*(part for _, part in members), part]) for _, part in candidates]
        if min(losses) >= best:
            break
        best = min(losses)
        members.append(candidates[int(np.argmin(losses))])
    return sorted(number for number, _ in members)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
