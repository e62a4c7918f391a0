"""A study that never ran: deterministic records with everything that a report has to cope with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.results.stored import StoredStudy
from search.results.summary import Chosen, StudySummary, Tested, summarise
from search.stats.estimate import Estimate
from search.stats.evidence import Evidence, comparable, evidence_of
from search.stats.learning_curve import PERCENTS, Part
from search.stats.metrics import METRICS
from search.stats.selection import Wish
from spaces import Choice, Parameter, Space, Value
from spaces.parameters import When, boolean, choice, integer, real
from storage.records import (
    ChoiceRecord,
    DiagnosisRecord,
    FoldRecord,
    ImageRecord,
    LayerRecord,
    Origin,
    ReferenceRecord,
    RunRecord,
    Split,
    StudyRecord,
    TrialRecord,
    TrialState,
)

SPACE = Space(
    (
        choice("family", "question", "cnn"),
        integer("conv_blocks", 1, 4, 2, when=(When("family", ("cnn",)),)),
        integer("filters", 6, 64, 6, log=True),
        integer("dense_layers", 0, 4, 4),
        integer("dense_units", 16, 512, 120, log=True, when=(When("dense_layers", at_least=1),)),
        choice("initializer", "random_uniform", "glorot_uniform", "he_normal"),
        real("dropout", 0.0, 0.5, 0.5),
        choice("optimizer", "adam", "sgd"),
        real("learning_rate", 1e-4, 1e-1, 1e-3, log=True),
        boolean("batch_norm", default=False),
    )
)

FOLDS = 5
EPOCHS = 24

LAYERS = (
    LayerRecord("images", "InputLayer", (64, 64, 3), 0),
    LayerRecord("augment", "RandomFlip", (64, 64, 3), 0, "horizontal"),
    LayerRecord("conv_1", "Conv2D", (64, 64, 16), 448, "16 @ 3x3, relu"),
    LayerRecord("norm_1", "BatchNormalization", (64, 64, 16), 64, "momentum 0.9"),
    LayerRecord("pool_1", "MaxPooling2D", (32, 32, 16), 0, "2x2"),
    LayerRecord("conv_2", "Conv2D", (32, 32, 32), 4640, "32 @ 3x3, relu"),
    LayerRecord("pool_2", "MaxPooling2D", (16, 16, 32), 0, "2x2"),
    LayerRecord("conv_3", "Conv2D", (16, 16, 64), 18496, "64 @ 3x3, relu"),
    LayerRecord("pool_3", "MaxPooling2D", (8, 8, 64), 0, "2x2"),
    LayerRecord("average", "GlobalAveragePooling2D", (64,), 0),
    LayerRecord("dropout", "Dropout", (64,), 0, "0.2"),
    LayerRecord("scores", "Dense", (2,), 130, "softmax"),
)


@dataclass(frozen=True)
class Records:
    """What a database may hold, with names that are short to replace."""

    study: StudyRecord
    images: tuple[ImageRecord, ...]
    split: Split
    trials: tuple[TrialRecord, ...]
    runs: tuple[RunRecord, ...]
    probabilities: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    references: tuple[ReferenceRecord, ...] = ()
    parts: tuple[ReferenceRecord, ...] = ()
    searching: bool = False
    others: dict[int, dict[int, NDArray[np.float32]]] = field(default_factory=dict)  # trial -> as `probabilities`
    choices: tuple[ChoiceRecord, ...] = ()
    confirmed: Evidence | None = None  # by further folds
    wish: Wish = field(default_factory=Wish)

    @property
    def evidence(self) -> Evidence | None:
        """Of the trials in `others`; None if there is none of them."""
        known = [t for t in comparable(self.trials, self.study.metric) if t.number in self.others]
        if not known:
            return None
        labels = np.array([image.label for image in self.images])
        predictions = [[self.others[t.number]] for t in known]
        return evidence_of(known, predictions, labels, [self.split.assignment], self.study)

    def data(self, **changes: Any) -> StudySummary:
        """The report's data, after replacing some of the records."""
        r = replace(self, **changes)
        stored = StoredStudy(
            study=replace(r.study, notes=(*r.study.notes, *r.notes)),
            images=r.images,
            split=r.split,
            trials=r.trials,
            runs=r.runs,
            references=r.references,
            parts=r.parts,
            choices=r.choices,
            best=r.probabilities,
            evidence=r.evidence,
            leading=((r.split, tuple(r.others.values())),) if r.others else (),
            confirmed=r.confirmed,
            wish=r.wish,
            searching=r.searching,
        )
        return summarise(stored)


def example(
    classes: Sequence[str] = ("cats", "dogs"), per_class: int = 60, metric: str = "balanced_accuracy"
) -> Records:
    """12 trials x 5 folds: trial 0 stuck at chance, 7 the best, others pruned, failed, running, or NaN."""
    images = _images(classes, per_class)
    split = Split(0, np.array([i % FOLDS if not im.testing else -1 for i, im in enumerate(images)], np.int16))
    study = StudyRecord(
        name="cats and dogs",
        created="2025-03-01T20:00:00Z",
        seed=7,
        metric=metric,
        classes=tuple(classes),
        image_shape=(64, 64, 3),
        fingerprint="9f2c" * 16,
        config={"preset": "question", "engine": "optuna", "sampler": "tpe", "folds": FOLDS, "trials": 40},
        space=SPACE.to_json(),
    )
    trials = tuple(trial(number, len(classes), metric) for number in range(12))
    return Records(study, images, split, trials, _runs(), probabilities(images, split, 0.86, len(classes)))


EXPECTED = Estimate("balanced_accuracy", 0.86, 0.8, 0.91, 0.88, 6, 110, "progressive")


def a_test(value: float, low: float, high: float, times: int = 1) -> Tested:
    """A score on 50 testing images."""
    return Tested(value, low, high, 50, times)


def judged(tested: Tested | None = None) -> StudySummary:
    """The example with an estimate, plain methods, and trial 7 as the saved model."""
    plain = references(logistic_regression=0.73, linear_probe=0.84, majority=0.5)
    chosen = Chosen(7, ((7, 1.0),), True, False, "2025-03-01T21:00:00Z", tested, judged=FOLDS, leader=7)
    testing = tested.images if tested else 0
    data = replace(example(), references=plain).data()
    return replace(data, estimate=EXPECTED, chosen=chosen, testing_images=testing)


STUCK = DiagnosisRecord(
    symptom="stuck at chance",
    cause="initial weights too small",
    evidence=(
        "after 12 epochs the training loss without penalties is 0.6931, where a guess by class shares has 0.6931",
        "initial weights too small: at the start 0.0001 of the signal is left after dense_4",
    ),
    change='kernel_initializer="glorot_uniform", or fewer layers',
    collapsed=True,
)


def diagnosed(folds: Sequence[int] = range(FOLDS)) -> Records:
    """The example with trial 0 diagnosed in these folds and trial 6 stopped for the same."""
    base, found = example(), {0: tuple(folds), 6: (0,)}
    trials = [
        replace(t, folds=tuple(replace(f, diagnosis=STUCK) if f.fold in found[t.number] else f for f in t.folds))
        if t.number in found
        else t
        for t in base.trials
    ]
    trials[6] = replace(trials[6], cause=STUCK.name, detail=f"fold 1: {STUCK.evidence[0]}. Try: {STUCK.change}")
    return replace(base, trials=tuple(trials))


def with_empty_curves() -> Records:
    """The example with a loss that was no number in the first epoch of a fold of trial 0, and of all of trial 1's."""
    base, lost = example(), {0: (0,), 1: range(FOLDS)}
    trials = tuple(
        replace(t, folds=tuple(_lost(f) if f.fold in lost.get(t.number, ()) else f for f in t.folds))
        for t in base.trials
    )
    return replace(base, trials=trials)


def _lost(fold: FoldRecord) -> FoldRecord:
    broken = replace(STUCK, symptom="not finite", cause="learning rate too large")
    return replace(fold, epochs=0, best_epoch=0, curve={}, diagnosis=broken)


def references(folds: int = FOLDS, /, **means: float) -> tuple[ReferenceRecord, ...]:
    """References by name, each with so many folds around a mean score, the same for every metric."""
    none = np.zeros((0, 2), np.float32)
    return tuple(
        ReferenceRecord(name, fold, dict.fromkeys(METRICS, mean + 0.01 * (fold - (folds - 1) / 2)), 0.5, none)
        for name, mean in means.items()
        for fold in range(folds)
    )


def with_parts(*scores: float, spread: float = 0.0) -> Records:
    """The example with a linear probe that has these scores on 25, 50, 75 and 100 % of the training images."""
    rng = np.random.default_rng(0)

    def noisy(records: Sequence[ReferenceRecord]) -> tuple[ReferenceRecord, ...]:
        changes = rng.normal(0, spread, len(records))
        shifted = zip(records, changes.tolist(), strict=True)
        return tuple(replace(r, scores={name: s + by for name, s in r.scores.items()}) for r, by in shifted)

    *smaller, whole = scores
    names = [Part("linear_probe", percent, 0).name for percent in PERCENTS]
    parts = [noisy(references(**{name: score})) for name, score in zip(names, smaller, strict=False)]
    return replace(
        example(), references=noisy(references(linear_probe=whole)), parts=tuple(r for part in parts for r in part)
    )


def with_choice(correct: float = 0.86) -> Records:
    """The example with a saved model of trial 7, which is right on this share of images and says about 0.8 of each."""
    base = example()
    said = probabilities(base.images, base.split, correct, len(base.study.classes))
    choice = ChoiceRecord("2025-03-01T23:00:00Z", 7, ((7, 1.0),), (7, 8), 55, 3.0, None)
    return replace(base, others={7: said, 8: said}, choices=(choice,))


def _images(classes: Sequence[str], per_class: int) -> tuple[ImageRecord, ...]:
    found: list[ImageRecord] = []
    for label, name in enumerate(classes):
        for n in range(per_class):
            testing = n >= per_class - 5
            folder = "testing" if testing else "training"
            found.append(ImageRecord(len(found), f"{folder}/{name}/{n:03d}.jpg", label, testing, f"{len(found):064x}"))
    return tuple(found)


def _runs() -> tuple[RunRecord, ...]:
    versions = {
        "smallsearch": "0.1.0",
        "python": "3.11.2",
        "keras": "3.15.1",
        "optuna": "5.0.0",
        "platform": "Linux",
    }
    first = RunRecord("2025-03-01T20:00:00Z", "search run pictures/ --hours 8", versions, "box", 11, 5400.0, "stopped")
    return first, replace(first, command="search run pictures/", seconds=7300.0, outcome="finished", pid=12)


def probabilities(
    images: Sequence[ImageRecord], split: Split, accuracy: float, classes: int
) -> dict[int, NDArray[np.float32]]:
    """Out-of-fold predictions that are right about `accuracy` of the time."""
    rng = np.random.default_rng(3)
    by_fold = {}
    for fold in range(FOLDS):
        labels = np.array([images[int(row)].label for row in np.flatnonzero(split.assignment == fold)], dtype=np.int64)
        rows = rng.dirichlet(np.ones(classes), len(labels)) * 0.4
        wrong = rng.random(len(labels)) > accuracy
        rows[np.arange(len(labels)), (labels + wrong) % classes] += 0.6
        by_fold[fold] = rows.astype(np.float32)
    return by_fold


def point(number: int) -> dict[str, Value]:
    """A point of the space that depends on nothing but `number`."""
    if number == 7:
        changes = {"filters": 19, "dense_layers": 3, "dense_units": 91, "dropout": 0.25, "learning_rate": 0.0005}
        return SPACE.defaults(**changes)
    rng = np.random.default_rng(number)

    def choose(parameter: Parameter) -> Value:
        if isinstance(parameter, Choice):
            return parameter.values[int(rng.integers(len(parameter.values)))]
        share = float(rng.random())
        if parameter.log:
            value = parameter.low * math.exp(share * math.log(parameter.high / parameter.low))
        else:
            value = parameter.low + (parameter.high - parameter.low) * share
        return round(value) if parameter.integer else round(value, 6)

    return SPACE.resolve(choose)


_SCORES = {0: 0.5, 1: 0.62, 2: 0.71, 3: 0.58, 5: 0.79, 6: 0.55, 7: 0.86, 8: 0.83, 9: 0.81, 10: 0.8, 11: 0.84}
_ENDS = {
    3: (
        TrialState.PRUNED,
        "not ahead of trial 2",
        "after 2 folds it lost to trial 2 on 14 of 20 images that differ",
    ),
    4: (TrialState.FAILED, "out of memory", "the model with 41,000,000 parameters did not fit into memory"),
    6: (TrialState.PRUNED, "stuck at chance", "training loss stayed within 2 % of ln 2"),
    9: (TrialState.FAILED, "out of memory", "fold 3: allocation of 2.1 GB failed"),
    11: (TrialState.RUNNING, None, None),
}
_FOLDS_DONE = {3: 2, 4: 0, 6: 1, 9: 1, 11: 3}


def trial(number: int, classes: int = 2, metric: str = "balanced_accuracy") -> TrialRecord:
    """One trial of the example."""
    rng = np.random.default_rng(100 + number)
    params = SPACE.defaults() if number == 0 else point(number)
    state, cause, detail = _ENDS.get(number, (TrialState.COMPLETE, None, None))
    folds = tuple(
        fold_run(number, fold, _SCORES.get(number, 0.5), rng, classes=classes, metric=metric)
        for fold in range(_FOLDS_DONE.get(number, FOLDS))
    )
    if number == 10:
        folds = (*folds[:4], replace(folds[4], scores=dict.fromkeys(folds[4].scores, float("nan"))))
    return TrialRecord(
        number=number,
        params=params,
        origin=Origin.BASELINE if number == 0 else Origin.START if number < 3 else Origin.SAMPLER,
        state=state,
        cause=cause,
        detail=detail,
        parameters=61_706 if number == 0 else None if number == 4 else int(9_000 * (1 + number)),
        layers=LAYERS if number != 4 else (),
        started="2025-03-01T20:00:00Z",
        finished=None if state == TrialState.RUNNING else "2025-03-01T20:10:00Z",
        folds=folds,
    )


def fold_run(
    number: int,
    fold: int,
    score: float,
    rng: np.random.Generator,
    *,
    classes: int = 2,
    metric: str = "balanced_accuracy",
) -> FoldRecord:
    """One fold run whose curve belongs to its score; a score at chance gives the flat picture of ln k."""
    stuck = score <= 0.5
    reached = score if stuck else float(np.clip(score + rng.normal(0, 0.05), 0, 1))
    epochs = 12 if stuck else EPOCHS
    t = np.arange(1, epochs + 1)
    ln_k = float(np.log(classes))
    if stuck:
        loss, val_loss = ln_k + rng.normal(0, 0.002, epochs), ln_k + rng.normal(0, 0.001, epochs)
        acc, val_acc = 0.5 + rng.normal(0, 0.02, epochs), np.full(epochs, 0.5)
    else:
        loss = ln_k * (0.15 + 0.85 * np.exp(-t / 8)) + rng.normal(0, 0.01, epochs)
        val_loss = ln_k * (0.9 - 0.6 * (score - 0.5) * (1 - np.exp(-t / 6))) + 0.004 * t + rng.normal(0, 0.02, epochs)
        acc = 0.5 + (0.98 - 0.5) * (1 - np.exp(-t / 7)) + rng.normal(0, 0.01, epochs)
        val_acc = 0.5 + (reached - 0.5) * (1 - np.exp(-t / 5)) + rng.normal(0, 0.015, epochs)
    best_epoch = int(np.argmin(val_loss)) + 1
    loss_score = float(val_loss[best_epoch - 1])
    scores = {
        "balanced_accuracy": reached,
        "accuracy": reached,
        "auroc": min(reached + 0.05, 1),
        "log_loss": loss_score,
    }
    shown = metric if metric != "log_loss" else "accuracy"
    curve = {"loss": loss, "val_loss": val_loss, shown: acc, f"val_{shown}": val_acc}
    return FoldRecord(
        trial=number,
        repeat=0,
        fold=fold,
        seed=1000 * number + fold,
        scores=scores,
        epochs=epochs,
        best_epoch=best_epoch,
        curve={name: tuple(map(float, values)) for name, values in curve.items()},
        parameters=9_000 * (1 + number),
        seconds=20.0 + number + fold,
    )


def with_two_objectives(second: str = "parameters") -> Records:
    """The example as a search for the metric and few parameters, or a low latency of trial + 1 ms an image."""
    base = example()
    trials = tuple(
        replace(t, folds=tuple(replace(f, latency=t.number + 1.0) for f in t.folds) if second == "latency" else t.folds)
        for t in base.trials
    )
    return replace(
        base, study=replace(base.study, config={**base.study.config, "second_objective": second}), trials=trials
    )


def with_backbones() -> Records:
    """The example with trials of two backbones under `auto`: trials 1, 7, 8 on frozen features, 5 trained further."""
    base = example()
    points: dict[int, dict[str, Value]] = {
        1: {"family": "frozen", "frozen_backbone": "lite2", "frozen_input_size": 128, "frozen_c": 1.0},
        5: {"family": "fine-tune", "fine_tune_backbone": "vgg16", "fine_tune_input_size": 64},
        7: {"family": "frozen", "frozen_backbone": "lite0", "frozen_input_size": 192, "frozen_c": 0.1},
        8: {"family": "frozen", "frozen_backbone": "lite0", "frozen_input_size": 128, "frozen_c": 0.1},
    }
    trials = tuple(
        replace(
            t,
            params=points.get(t.number, {"family": "cnn", "cnn_filters": 8}),
            folds=tuple(replace(f, latency=4.0 + f.fold if t.number == 1 else None) for f in t.folds),
        )
        for t in base.trials
    )
    return replace(base, study=replace(base.study, config={**base.study.config, "preset": "auto"}), trials=trials)


def many(count: int) -> Records:
    """A long search: `count` trials, all complete but every tenth."""
    base = example()
    trials = [base.trials[0]]
    for number in range(1, count):
        rng = np.random.default_rng(number)
        score = 0.5 + 0.4 * float(rng.beta(2, 3))
        failed = number % 10 == 0
        folds = () if failed else tuple(_bare_fold(number, fold, score, rng) for fold in range(FOLDS))
        trials.append(
            TrialRecord(
                number=number,
                params=point(number),
                origin=Origin.SAMPLER,
                state=TrialState.FAILED if failed else TrialState.COMPLETE,
                cause="out of memory" if failed else None,
                parameters=9_000,
                folds=folds,
            )
        )
    return replace(base, trials=tuple(trials), probabilities={})


def _bare_fold(number: int, fold: int, score: float, rng: np.random.Generator) -> FoldRecord:
    reached = float(np.clip(score + rng.normal(0, 0.05), 0, 1))
    return FoldRecord(number, 0, fold, number, {"balanced_accuracy": reached}, 20, 12, {}, 9_000, 10.0)
