"""Callbacks of a user's file: when they are called, what they are told, and what they may not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import Failure, FailureCause, FoldJob, FoldResult, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from tests.search.worker.conftest import job_of_own, worker_for
from tests.search.worker.nets import BUILD
from tests.search.worker.test_trainer import trained

WATCHED = (
    BUILD
    + """
class Diary(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def write(self, *row):
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\\n")

    def on_train_begin(self, logs=None):
        self.write("begin", self.params["epochs"], self.model.count_params())

    def on_epoch_begin(self, epoch, logs=None):
        self.write("epoch", epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.write("end of epoch", epoch, sorted(logs))
        if epoch == 1:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.write("end")

    def on_train_batch_end(self, batch, logs=None):
        self.write("batch")


def callbacks(hp):
    return [Diary("DIARY"), keras.callbacks.EarlyStopping("val_accuracy", patience=100)]
"""
)


def test_callbacks_are_told_of_epochs_and_may_stop_the_training(
    worker_of: Callable[[str], Worker], job: FoldJob, plain: FoldResult, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    worker = worker_of(WATCHED.replace("DIARY", str(diary)))
    result = trained(worker, job)
    logs = ["accuracy", "balanced_accuracy", "loss", "val_accuracy", "val_balanced_accuracy", "val_log_loss"]
    logs.append("val_loss")
    assert [tuple(row) for row in map(json.loads, diary.read_text().splitlines())] == [
        ("begin", 4, result.parameters),
        ("epoch", 0),
        ("end of epoch", 0, logs),
        ("epoch", 1),
        ("end of epoch", 1, logs),
        ("end",),
    ]
    assert result.epochs == 2
    assert result.notes == ("the callback Diary is called at epochs only, not at batches: an epoch is one graph",)
    assert plain.notes == ()
    assert result.curve["loss"] == plain.curve["loss"][:2]


def test_callbacks_may_change_the_learning_rate(
    worker_of: Callable[[str], Worker], job: FoldJob, plain: FoldResult
) -> None:
    """What Keras's scheduler does before an epoch is what the epoch is trained with; its parameters are searched."""
    scheduled = (
        BUILD
        + """
def callbacks(hp):
    later = hp.Float("later", 0.0, 1.0, default=0.0)
    return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < 2 else later)]
"""
    )
    worker = worker_of(scheduled)
    assert [p.name for p in worker._own.discover()[0].parameters] == ["rate", "later"]
    still = trained(worker, replace(job, params={**job.params, "later": 0.0}))
    moving = trained(worker, replace(job, params={**job.params, "later": 0.01}))
    assert still.curve["loss"][:2] == moving.curve["loss"][:2]
    assert still.curve["loss"][3] != moving.curve["loss"][3]
    assert moving.curve["loss"] == plain.curve["loss"]
    assert still.notes == ()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("callbacks = [keras.callbacks.TerminateOnNaN()]", "make it a function, def callbacks(hp), that returns"),
        ("def callbacks(hp):\n    return None", "callbacks(hp) in net.py must return a list of keras callbacks"),
        ("def callbacks(hp):\n    return [1 / 0]", "net.py, line 20: ZeroDivisionError: division by zero"),
    ],
)
def test_what_are_no_callbacks_fails_by_name(
    worker_of: Callable[[str], Worker], job: FoldJob, function: str, said: str
) -> None:
    result = worker_of(f"{BUILD}\n{function}\n").do(job)
    assert isinstance(result, Failure)
    assert result.cause == FailureCause.MODEL
    assert said in result.detail


MEASURED = BUILD.replace(
    '"categorical_crossentropy")',
    """"categorical_crossentropy", metrics=[
        "acc", keras.metrics.AUC(name="auc"), keras.metrics.Precision(class_id=1, name="precision"), f1, Counted()])""",
).replace(
    "def build",
    '''
def f1(y_true, y_pred):
    hits = keras.ops.sum(y_true * keras.ops.round(y_pred))
    return 2 * hits / (keras.ops.sum(y_true) + keras.ops.sum(keras.ops.round(y_pred)) + 1e-7)


class Counted(keras.metrics.Metric):
    """The images that were seen since the last reset, and more than one number."""

    def __init__(self):
        super().__init__(name="counted")
        self.count = self.add_variable((), "zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(keras.ops.cast(keras.ops.shape(y_true)[0], "float32"))

    def result(self):
        return self.count


def build''',
)
DIARY = """

class Diary(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        with open("DIARY", "a") as file:
            file.write(json.dumps(logs) + "\\n")


def callbacks(hp):
    return [Diary(), MORE]
"""


def watched(more: str, diary: Path) -> str:
    return MEASURED + DIARY.replace("DIARY", str(diary)).replace("MORE", more)


Noted = tuple[FoldResult, list[dict[str, float]]]


@pytest.fixture(scope="module")
def noted(context: WorkerContext, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Noted:
    """What `job` comes to with metrics and a diary, and what is in that."""
    folder = tmp_path_factory.mktemp("noted")
    result = trained(worker_for(watched("", folder / "diary"), context, folder), job_of_own(prepared))
    return result, [json.loads(line) for line in (folder / "diary").read_text().splitlines()]


def test_callbacks_are_given_the_metrics_of_compile_for_both_parts(noted: Noted, job: FoldJob) -> None:
    result, logs = noted
    for name in ("acc", "auc", "precision", "f1", "counted"):
        assert {name, f"val_{name}"} <= logs[0].keys()
    for epoch, row in enumerate(logs):
        assert row["counted"] == len(job.train)
        assert row["val_counted"] == len(job.validate)
        assert row["val_acc"] == pytest.approx(row["val_accuracy"])
        assert row["val_log_loss"] == result.curve["val_log_loss"][epoch]
    assert result.notes == ()


def test_what_is_judged_and_stored_is_the_same_as_without_them(noted: Noted, plain: FoldResult) -> None:
    with_metrics, _ = noted
    assert with_metrics.curve.items() >= plain.curve.items()
    assert set(with_metrics.curve) == {*plain.curve, "val_accuracy"}
    np.testing.assert_array_equal(with_metrics.probabilities, plain.probabilities)


@pytest.mark.first(2)
@pytest.mark.parametrize("monitor", ["val_auc", "val_counted", "val_f1", "auc"])
def test_early_stopping_waits_for_the_metric_that_it_names(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path, monitor: str
) -> None:
    """Nothing is better by 9, so that the first epoch remains the best one."""
    stopping = f'keras.callbacks.EarlyStopping("{monitor}", min_delta=9, patience=2, mode="max")'
    assert trained(worker_of(watched(stopping, tmp_path / "diary")), job).epochs == 3


def test_the_learning_rate_falls_on_the_plateau_of_a_metric(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path
) -> None:
    plateau = 'keras.callbacks.ReduceLROnPlateau("val_auc", factor=0.5, patience=1, min_delta=9, mode="max")'
    trained(
        worker_of(watched(plateau, tmp_path / "diary").replace("[Diary(), ", "[").replace("]\n", ", Diary()]\n")), job
    )
    logs = [json.loads(line) for line in (tmp_path / "diary").read_text().splitlines()]
    assert [row["learning_rate"] for row in logs] == pytest.approx([0.01, 0.01, 0.005, 0.0025])


def test_metrics_are_also_given_where_keras_itself_trains(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path
) -> None:
    source = watched("", tmp_path / "diary").replace(
        '"categorical_crossentropy", ', '"categorical_crossentropy", run_eagerly=True, '
    )
    trained(worker_of(source), job)
    logs = [json.loads(line) for line in (tmp_path / "diary").read_text().splitlines()]
    assert all({"auc", "val_auc"} <= row.keys() for row in logs)


def test_a_metric_that_nobody_measures_is_named_with_those_that_are(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path
) -> None:
    missing = 'keras.callbacks.EarlyStopping("val_recall", mode="max")'
    (note,) = trained(worker_of(watched(missing, tmp_path / "diary")), job).notes
    assert note.startswith(
        "the callback EarlyStopping waits for 'val_recall', which is not measured: add it in compile(metrics=[...]), "
        "or monitor one of acc, accuracy, auc, "
    )


def test_files_that_folds_share_are_named(worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path) -> None:
    files = {"ModelCheckpoint": tmp_path / "best.keras", "CSVLogger": tmp_path / "log.csv"}
    writing = ", ".join(f'keras.callbacks.{name}("{path}")' for name, path in files.items())
    notes = trained(worker_of(watched(writing, tmp_path / "diary")), job).notes
    assert notes == tuple(
        f"the callback {name} writes to {path} in every fold run, so that holds what the last one wrote; "
        "the study keeps the curves and its model itself"
        for name, path in files.items()
    )
    assert all(path.is_file() for path in files.values())
