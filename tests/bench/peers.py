"""Cross-validation as users of other tools write it, after those tools' documentation.

`model.fit` by itself; Keras Tuner, whose guide says to override `Tuner.run_trial` for what its tuners do not do; and
Optuna, whose example for Keras clears the session and fits within the objective. None writes checkpoints, none stops
early, and each validates after every epoch, as is needed to see a curve or to choose an epoch.

As a program one whole study from a folder of pictures, imports and all:
`python -m tests.bench.peers keras-tuner|optuna PICTURES TRIALS EPOCHS WORK`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spaces.parameters import Value
from tests.bench.cases import BATCH, FOLDS, LENET, Case, Data, compiled

if TYPE_CHECKING:
    import keras
    import keras_tuner
    import optuna

Floats: TypeAlias = NDArray[np.float32]
Folds: TypeAlias = Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]


def fitted(model: keras.Model, x: Floats, y: Floats, fold: tuple[Any, Any], epochs: int) -> Floats:
    """Fit a compiled model on a fold; returns its predictions for the validation images."""
    train, validate = fold
    model.fit(
        x[train],
        y[train],
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(x[validate], y[validate]),
        verbose=0,
    )
    predictions: Floats = model(x[validate], training=False).numpy()  # `predict` would trace a graph for it
    return predictions


def naive(data: Data) -> Callable[[], list[Floats]]:
    """A trial: a new model for every fold and `model.fit`."""
    import keras

    x, y = data.arrays

    def trial() -> list[Floats]:
        predictions = []
        for fold in data.folds:
            keras.backend.clear_session()
            predictions.append(fitted(compiled(data.case.network()), x, y, fold, data.case.epochs))
        return predictions

    return trial


def keras_tuner_trials(data: Data, work: Path) -> Callable[[], list[Floats]]:
    """Each call is one more trial of a search by Keras Tuner, with another learning rate."""
    import keras_tuner

    predictions: list[Floats] = []
    tuner = cross_validating_tuner(
        lambda hp: compiled(data.case.network(), learning_rate=hp.Float("rate", 1e-4, 1e-2, sampling="log")),
        keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("val_accuracy", "max"), max_trials=0, seed=1),
        work,
        predictions,
    )
    x, y = data.arrays

    def trial() -> list[Floats]:
        predictions.clear()
        tuner.oracle.max_trials += 1
        tuner.search(x, y, data.folds, data.case.epochs, verbose=0)
        return list(predictions)

    return trial


def cross_validating_tuner(
    build: Callable[[keras_tuner.HyperParameters], keras.Model],
    oracle: keras_tuner.Oracle,
    work: Path,
    predictions: list[Floats],
) -> keras_tuner.Tuner:
    """Keras Tuner with cross-validation; predictions of each fold are appended to `said`."""
    import keras_tuner

    class CrossValidatingTuner(keras_tuner.Tuner):  # type: ignore[misc]
        def run_trial(self, trial: Any, x: Floats, y: Floats, folds: Folds, epochs: int, **_: Any) -> dict[str, float]:
            scores = []
            for fold in folds:
                model = self.hypermodel.build(trial.hyperparameters)
                predictions.append(fitted(model, x, y, fold, epochs))
                scores.append(accuracy(predictions[-1], y[fold[1]]))
            return {"val_accuracy": float(np.mean(scores))}

    return CrossValidatingTuner(oracle, build, directory=str(work), project_name="search", overwrite=True)


def optuna_trials(data: Data) -> Callable[[], list[Floats]]:
    """Each call is one more trial of an Optuna study, with another learning rate."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    x, y = data.arrays
    predictions: list[Floats] = []

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        scores = []
        for fold in data.folds:
            model = compiled(data.case.network(), learning_rate=rate)
            predictions.append(fitted(model, x, y, fold, data.case.epochs))
            scores.append(accuracy(predictions[-1], y[fold[1]]))
        return float(np.mean(scores))

    def trial() -> list[Floats]:
        predictions.clear()
        study.optimize(objective, n_trials=1)
        return list(predictions)

    return trial


def accuracy(predictions: Floats, targets: Floats) -> float:
    """Share of rows whose largest column is the right one."""
    return float(np.mean(predictions.argmax(axis=1) == targets.argmax(axis=1)))


# Whole studies: the question's LeNet at the first size, over a space that all three search.

SPACE: Mapping[str, Sequence[Value]] = {
    "dense_depth": (1, 2, 3, 4),
    "initializer": ("glorot_uniform", "he_normal"),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "l2": (0.01, 0.001, 0.0001, 0.0),
}


def pictures(folder: Path, case: Case) -> tuple[Floats, Floats, Folds]:
    """Pixels, targets and stratified folds of a folder with a folder for each class."""
    import keras
    from sklearn.model_selection import StratifiedKFold

    batches = keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", image_size=(case.side, case.side), shuffle=False, verbose=False
    )
    x, y = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator(), strict=True))
    return x, y, list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y.argmax(axis=1)))


def study_of_keras_tuner(folder: Path, case: Case, trials: int, work: Path) -> int:
    """Bayesian search with the folds above; returns the trials. Its summary is the report."""
    import keras_tuner

    x, y, folds = pictures(folder, case)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        point: dict[str, Any] = {name: hp.Choice(name, list(values)) for name, values in SPACE.items()}
        return compiled(case.network(**point))

    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(objective, max_trials=trials, seed=1)
    tuner = cross_validating_tuner(build, oracle, work, [])
    tuner.search(x, y, folds, case.epochs, verbose=0)
    tuner.results_summary()
    return len(tuner.oracle.trials)


def study_of_optuna(folder: Path, case: Case, trials: int, work: Path) -> int:
    """TPE, its default, kept in SQLite; returns the trials. Two pages of its visualisation are the report."""
    import keras
    import optuna

    x, y, folds = pictures(folder, case)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        point: dict[str, Any] = {name: trial.suggest_categorical(name, list(values)) for name, values in SPACE.items()}
        scores = []
        for fold in folds:
            predictions = fitted(compiled(case.network(**point)), x, y, fold, case.epochs)
            scores.append(accuracy(predictions, y[fold[1]]))
        return float(np.mean(scores))

    study = optuna.create_study(storage=f"sqlite:///{work / 'optuna.db'}", direction="maximize")
    study.optimize(objective, n_trials=trials)
    optuna.visualization.plot_optimization_history(study).write_html(work / "history.html")
    optuna.visualization.plot_param_importances(study).write_html(work / "importances.html")
    return len(study.trials)


if __name__ == "__main__":
    tool, where, asked, epochs, into = sys.argv[1:]
    of_images = Case("", 0, 32, "question", LENET, int(epochs))
    run = {"keras-tuner": study_of_keras_tuner, "optuna": study_of_optuna}[tool]
    print(run(Path(where), of_images, int(asked), Path(into)), "trials")
