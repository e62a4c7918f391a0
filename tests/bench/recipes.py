"""What one would do without this program in so many seconds: plain recipes, and the peers' tuners, each on one thread.

`tests/bench/anytime.py` runs each as a program of its own: `python -m tests.bench.recipes SIDE TRAINING TESTING SECONDS
SEED`, folders with a folder for each class. The last line that it prints is JSON. The clock runs from the start of the
program until the model can predict; testing images are read and predicted after that.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

BEGAN = time.monotonic()  # before the imports that take seconds

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from search.data.images import read_images  # noqa: E402
from search.native import ENVIRONMENT  # noqa: E402
from search.session.prepare import prepare  # noqa: E402
from search.stats.metrics import scores  # noqa: E402
from search.study.config import Config  # noqa: E402
from spaces.facts import Facts  # noqa: E402
from spaces.parameters import Value  # noqa: E402
from spaces.presets import FAMILIES, fine_tune  # noqa: E402
from spaces.presets.frozen import columns, views  # noqa: E402

if TYPE_CHECKING:
    import keras

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
ONE_THREAD: Mapping[str, str] = {**dict.fromkeys(THREADS, "1"), **ENVIRONMENT, "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Environment of a side's program."""

PLAIN_C = np.logspace(-4, 2, 7)  # of logistic regressions, chosen by five folds
PROBED_SIDE = 128  # pixels, of the probe
BATCH, CNN_EPOCHS, PATIENCE = 16, 60, 8
SHIFT = 0.1  # of the side
ENDING = 1.0  # seconds kept for what comes after the last step

Pixels: TypeAlias = NDArray[np.uint8]
Predict: TypeAlias = Callable[[Pixels], NDArray[np.floating]]


@dataclass(frozen=True)
class Task:
    """Training images, and until when a model must be ready."""

    pixels: Pixels  # [images, height, width, channels]
    labels: NDArray[np.int16]  # [images]
    facts: Facts
    seed: int
    ends: float  # of time.monotonic

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()


@dataclass(frozen=True)
class Made:
    """A model."""

    predict: Predict  # pixels as in the task -> [images, classes]
    work: str  # what was done: '9 epochs'
    whole: bool  # whether more time would have changed nothing


def pixel_regression(task: Task) -> Made:
    """Logistic regression on the pixels."""

    def rows(pixels: Pixels) -> NDArray[np.floating]:
        return pixels.reshape(len(pixels), -1) / 255.0

    head = _logistic(rows(task.pixels), task)
    return Made(lambda pixels: np.asarray(head.predict_proba(rows(pixels))), "one fit", whole=True)


def probe(task: Task) -> Made:
    """Logistic regression on all stages of the frozen network, averaged over the mirror image."""
    params = FAMILIES["frozen"].space(task.facts).defaults(input_size=PROBED_SIDE)
    head = _logistic(features(params, task.facts, task.pixels), task)

    def predict(pixels: Pixels) -> NDArray[np.floating]:
        return np.asarray(head.predict_proba(features(params, task.facts, pixels)))

    return Made(predict, "one fit", whole=True)


def features(params: Mapping[str, Value], facts: Facts, pixels: Pixels) -> NDArray[np.floating]:
    """[images, width]: what a head at this point of a family is shown of images, the mean over its views."""
    seen, of_head = views(params, facts), columns(params, facts)
    return np.asarray(np.mean([view.features(pixels)[:, of_head] for view in seen], axis=0))


def _logistic(rows: NDArray[np.floating], task: Task) -> Any:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(5, shuffle=True, random_state=task.seed)
    return make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=PLAIN_C, cv=folds, max_iter=1000)).fit(
        rows, task.labels
    )


def fine_tuned(task: Task) -> Made | None:
    """The frozen network trained on from a probe's weights; as many epochs as fit, at most nine.

    Batch normalisation as it was trained, all other layers trained, AdamW with a cosine to 0, flips and shifts. With
    more than 300 images they are seen smaller, for six epochs at most. None if not one epoch fits.
    """
    import keras

    side, most = (128, 9) if len(task.labels) <= 300 else (96, 6)
    params = FAMILIES["fine-tune"].space(task.facts).defaults(input_size=side, unfreeze="all", batch_size=BATCH)
    keras.utils.set_random_seed(task.seed)
    model = fine_tune.network(params, task.facts)
    fine_tune.start(model, params, features(params, task.facts, task.pixels), task.labels)
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=float(params["weight_decay"]))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    rng, steps = np.random.default_rng(task.seed), -(-len(task.labels) // BATCH)

    def step(rows: NDArray[np.intp]) -> float:
        began = time.monotonic()
        model.train_on_batch(changed(task.pixels[rows], rng), task.labels[rows])
        return time.monotonic() - began

    # At a learning rate of 0 steps change no weight: the first one traces, the others show how long one takes.
    one = min([step(np.arange(BATCH) % len(task.labels)) for _ in range(3)][1:])
    epochs = min(most, int((task.left - ENDING) / (steps * one)))
    if epochs < 1:
        return None
    for epoch in range(epochs):
        order = np.resize(rng.permutation(len(task.labels)), (steps, BATCH))  # a smaller batch would be traced anew
        for number, rows in enumerate(order):
            done = (epoch * steps + number) / (epochs * steps)
            optimizer.learning_rate.assign(float(params["learning_rate"]) * (1 + np.cos(np.pi * done)) / 2)
            step(rows)

    def predict(pixels: Pixels) -> NDArray[np.floating]:
        x = pixels.astype(np.float32)
        both = (model.predict(seen, batch_size=64, verbose=0) for seen in (x, x[:, :, ::-1]))
        return np.asarray(np.mean([*both], axis=0))

    return Made(predict, f"{epochs} of {most} epochs", whole=epochs == most)


def changed(pixels: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
    """A batch of images, each mirrored or not, and shifted; what is uncovered repeats the edge."""
    height, width = pixels.shape[1:3]
    down, right = round(SHIFT * height), round(SHIFT * width)
    wider = np.pad(pixels, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
    batch = []
    for image in wider:
        top, left = rng.integers(0, 2 * down + 1), rng.integers(0, 2 * right + 1)
        shifted = image[top : top + height, left : left + width]
        batch.append(shifted[:, ::-1] if rng.random() < 0.5 else shifted)
    return np.asarray(batch, np.float32)


def keras_tuner_cnn(task: Task) -> Made | None:
    """Keras Tuner's Bayesian tuner on a small CNN; the best model of 80 % of the images, by the others."""
    import keras_tuner

    best = _Best(task)

    class Tuner(keras_tuner.BayesianOptimization):  # type: ignore[misc]
        """With its own `run_trial`, as that of Keras Tuner wants TensorBoard."""

        def run_trial(self, trial: Any, **_: Any) -> float:
            def enough() -> None:
                self.oracle.max_trials = len(self.oracle.trials)

            return best.fit(self.hypermodel.build(trial.hyperparameters), enough)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        return small_cnn(
            task.facts,
            blocks=hp.Int("blocks", 2, 4),
            filters=hp.Choice("filters", [16, 32, 64]),
            dropout=hp.Float("dropout", 0.0, 0.5, step=0.1),
            rate=hp.Float("rate", 1e-4, 1e-2, sampling="log"),
        )

    objective = keras_tuner.Objective("score", "max")
    with tempfile.TemporaryDirectory() as work:
        Tuner(build, objective, max_trials=1000, seed=task.seed, directory=work).search(verbose=0)
    return best.made()


def optuna_cnn(task: Task) -> Made | None:
    """Optuna's TPE on the same CNN, in the same way."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed))
    best = _Best(task)

    def objective(trial: optuna.Trial) -> float:
        model = small_cnn(
            task.facts,
            blocks=trial.suggest_int("blocks", 2, 4),
            filters=trial.suggest_categorical("filters", [16, 32, 64]),
            dropout=trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
            rate=trial.suggest_float("rate", 1e-4, 1e-2, log=True),
        )
        return best.fit(model, study.stop)

    study.optimize(objective)
    return best.made()


def small_cnn(facts: Facts, *, blocks: int, filters: int, dropout: float, rate: float) -> keras.Model:
    """Blocks of convolution, batch normalisation and pooling, as in Keras's examples; compiled with Adam."""
    import keras

    layers: list[keras.layers.Layer] = [
        keras.layers.Input(facts.shape),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest"),
        keras.layers.Rescaling(1 / 255),
    ]
    for block in range(blocks):
        layers += [
            keras.layers.Conv2D(filters * 2**block, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    layers += [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(dropout),
        keras.layers.Dense(facts.classes, "softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class _Best:
    """The best of some models, each trained on 80 % of the images and judged by the others."""

    def __init__(self, task: Task) -> None:
        import keras
        from sklearn.model_selection import train_test_split

        self._task, self._trials, self._score = task, 0, -1.0
        self._model: keras.Model | None = None
        keras.utils.set_random_seed(task.seed)
        rows = np.arange(len(task.labels))
        train, rest = train_test_split(rows, test_size=0.2, stratify=task.labels, random_state=task.seed)
        x = task.pixels.astype(np.float32)
        self._train, self._rest = (x[train], task.labels[train]), (x[rest], task.labels[rest])

    def fit(self, model: keras.Model, enough: Callable[[], object]) -> float:
        """The accuracy of a model after early stopping; `enough` is called when the time is over."""
        import keras

        task = self._task

        class UntilTheEnd(keras.callbacks.Callback):  # type: ignore[misc]
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's names
                if task.left < ENDING:
                    self.model.stop_training = True
                    enough()

        stopping = keras.callbacks.EarlyStopping("val_accuracy", patience=PATIENCE, restore_best_weights=True)
        fitted = model.fit(
            *self._train,
            validation_data=self._rest,
            epochs=CNN_EPOCHS,
            batch_size=BATCH,
            verbose=0,
            callbacks=[stopping, UntilTheEnd()],
        )
        score = float(max(fitted.history["val_accuracy"]))
        self._trials += 1
        if score > self._score:
            self._score, self._model = score, model
        return score

    def made(self) -> Made | None:
        """The best; None if there is none."""
        model = self._model
        if model is None:
            return None

        def predict(pixels: Pixels) -> NDArray[np.floating]:
            return np.asarray(model.predict(pixels.astype(np.float32), batch_size=64, verbose=0))

        return Made(predict, f"{self._trials} trials", whole=False)


RECIPES: dict[str, Callable[[Task], Made | None]] = {
    "pixels": pixel_regression,
    "probe": probe,
    "fine-tune": fine_tuned,
    "Keras Tuner": keras_tuner_cnn,
    "Optuna": optuna_cnn,
}


def main(side: str, training: Path, testing: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Make a model by `side` and judge it: its seconds, scores and work; without scores if there was too little time.

    `seconds` count from the start of the program.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), tempfile.TemporaryDirectory() as empty:
        prepared = prepare(Config(images=str(training), preset="frozen", lock_box=False), Path(empty))
        images, facts = prepared.images, prepared.facts
        made = RECIPES[side](Task(images.pixels, images.labels, facts, seed, BEGAN + seconds))
        row: dict[str, Any] = {"wall": round(time.monotonic() - BEGAN, 2)}
        if made is None:
            return row
        judged = read_images(testing, size=(facts.height, facts.width))
        found = scores(judged.labels, made.predict(judged.pixels), ("accuracy", "balanced_accuracy"))
        return {**row, **found, "work": made.work, "whole": made.whole}


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))))
