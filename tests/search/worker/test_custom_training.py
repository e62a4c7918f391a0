"""Fold runs of a user's own model: callbacks at epochs, and models that do not run as a graph."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.executors.local import LocalProcesses
from search.jobs import (
    DescribeJob,
    Description,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    RefitJob,
    SavedModel,
)
from search.worker.worker import Worker
from tests.search.worker.nets import BUILD
from tests.search.worker.test_trainer import trained

EAGER = BUILD.replace('"categorical_crossentropy")', '"categorical_crossentropy", run_eagerly=True)')
UNTRACEABLE = BUILD.replace("keras.Sequential([", "Net([").replace(
    "def build",
    '''
class Net(keras.Sequential):
    def train_step(self, data):
        """Fails in the loop over the batches of an epoch, but not in Keras's own fit."""
        in_loop = "while" in tf.compat.v1.get_default_graph().name
        assert not in_loop, "not in a loop"
        return super().train_step(data)


def build''',
)
IN_THE_GRAPH = BUILD.replace(
    "        keras.layers.Flatten(),",
    "        keras.layers.Flatten(),\n"
    "        keras.layers.Lambda(lambda x: tf.ensure_shape(tf.py_function(lambda y: y, [x], x.dtype), [None, 144])),",
)


UNSHARED = BUILD.replace("keras.Sequential([", "Net([").replace(
    "def build", "class Net(keras.Sequential):\n    pass\n\n\ndef build"
)
AVERAGED = ("optimizers.Adam(", "optimizers.SGD(use_ema=True, learning_rate=")


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("source", "graph_source", "why"),
    [
        (EAGER, BUILD, "run_eagerly"),
        (UNTRACEABLE, BUILD, "not in a loop"),
        (UNTRACEABLE.replace(*AVERAGED), BUILD.replace(*AVERAGED), "not in a loop"),
        (IN_THE_GRAPH, BUILD, None),
    ],
)
def test_a_model_that_is_no_graph_is_trained_by_fit_with_the_same_result(
    worker_of: Callable[[str], Worker], job: FoldJob, source: str, graph_source: str, why: str | None
) -> None:
    job = replace(job, params={**job.params, "batch_size": 4, "augmentation": "shift"})
    found, graph = trained(worker_of(source), job), trained(worker_of(graph_source), job)
    tolerance = 1e-5  # TensorFlow joins other operations in a loop, which round otherwise
    assert found.curve.keys() == graph.curve.keys()
    np.testing.assert_allclose(found.curve["loss"], graph.curve["loss"], rtol=tolerance)
    np.testing.assert_allclose(found.probabilities, graph.probabilities, atol=tolerance)
    assert found.epochs == graph.epochs
    slow = [note for note in found.notes if not note.startswith("no model of net.py:build will be saved: ")]
    if why is None:
        assert slow == []
    else:
        (note,) = slow
        assert "trained by Keras's own fit" in note and why in note.lower()


@pytest.mark.slow
def test_a_model_that_is_trained_by_fit_leaves_no_graph_behind(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    worker, left = worker_of(UNTRACEABLE), []
    for seed in range(3):
        trained(worker, replace(job, seed=seed))
        gc.collect()
        left.append(sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects()))
    assert left[0] == left[2]


@pytest.mark.parametrize("error", ["MemoryError('no room')", "tf.errors.ResourceExhaustedError(None, None, 'no room')"])
def test_memory_that_runs_out_while_tracing_is_not_the_models_fault(
    worker_of: Callable[[str], Worker], job: FoldJob, error: str
) -> None:
    source = UNTRACEABLE.replace('assert not in_loop, "not in a loop"', f"if in_loop: raise {error}")
    outcome = worker_of(source).do(job)
    assert isinstance(outcome, Failure) and outcome.cause == FailureCause.OUT_OF_MEMORY


def test_a_model_that_is_no_graph_races_as_others_do(worker_of: Callable[[str], Worker], job: FoldJob) -> None:
    hopeless = replace(job, training=replace(job.training, max_epochs=4, min_score_at={2: 1.1}))
    found = trained(worker_of(EAGER), hopeless)
    assert (found.epochs, found.behind) == (2, True)


def test_it_trains_as_long_as_its_job_says_whatever_its_own_epochs_are(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    long = replace(job, params={**job.params, "epochs": 6}, training=replace(job.training, max_epochs=2))
    assert trained(worker_of(BUILD), long).epochs == 2


SILENT = BUILD.replace("keras.Sequential([", "Net([").replace(
    "def build",
    """
class Net(keras.Sequential):
    def test_step(self, data):
        return {}  # measures nothing


def build""",
)


def test_every_epoch_counts_anew_whatever_the_models_own_test_step_does(
    worker_of: Callable[[str], Worker], job: FoldJob, plain: FoldResult
) -> None:
    silent = trained(worker_of(SILENT), job)
    assert silent.curve["balanced_accuracy"] == plain.curve["balanced_accuracy"]


def graph_of(worker: Worker) -> object:
    return worker._trained._train_epoch.graph


def test_a_model_of_keras_parts_alone_shares_its_graphs_and_no_fold_notices(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    source = BUILD.replace("Dropout(0.3)", 'Dropout(hp.Float("dropout", 0.1, 0.5))')
    one = replace(job, params={"rate": 0.01, "dropout": 0.2}, seed=1)
    two = replace(one, fold=1, seed=2)
    used = worker_of(source)
    trained(used, one)
    graph = graph_of(used)
    found = trained(used, two)
    assert graph_of(used) is graph
    expected = trained(worker_of(source), two)
    assert found.curve == expected.curve
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "loss",
    [
        'keras.losses.Huber(delta=hp.Choice("delta", [1.0, 1e-6]))',
        'keras.losses.CategoricalCrossentropy(label_smoothing=hp.Choice("delta", [1.0, 1e-6]))',
    ],
)
def test_another_point_of_a_users_builder_has_graphs_of_its_own(
    worker_of: Callable[[str], Worker], job: FoldJob, loss: str
) -> None:
    """Keras's configurations do not tell all: that of Huber has no delta."""
    source = BUILD.replace('"categorical_crossentropy"', loss)
    used = worker_of(source)
    trained(used, replace(job, params={"rate": 0.01, "delta": 1.0}))
    small = replace(job, params={"rate": 0.01, "delta": 1e-6})
    assert trained(used, small).curve == trained(worker_of(source), small).curve


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("keras.Sequential([", "Net(["),
        ("def build", "def callbacks(hp):\n    return [keras.callbacks.TerminateOnNaN()]\n\n\ndef build"),
        ("        keras.layers.Flatten(),", "        keras.layers.Normalization(), keras.layers.Flatten(),"),
        ("        keras.layers.Flatten(),", "        keras.layers.Lambda(lambda x: 2 * x), keras.layers.Flatten(),"),
        ('"categorical_crossentropy")', "lambda y, said: keras.losses.categorical_crossentropy(y, said))"),
        ("    return model\n", "    model.optimizer.build(model.trainable_variables)\n    return model\n"),
    ],
)
def test_a_model_with_anything_else_is_traced_for_every_fold(
    worker_of: Callable[[str], Worker], job: FoldJob, old: str, new: str
) -> None:
    net = "class Net(keras.Sequential):\n    pass\n\n\ndef build"
    worker = worker_of(BUILD.replace(old, new).replace("def build", net))
    trained(worker, job)
    graph = graph_of(worker)
    trained(worker, job)
    assert graph_of(worker) is not graph


def test_the_graph_of_the_fold_before_is_freed(worker_of: Callable[[str], Worker], job: FoldJob) -> None:
    worker = worker_of(UNSHARED)
    trained(worker, job)
    graph = weakref.ref(worker._trained._train_epoch.graph)
    trained(worker, job)
    gc.collect()
    assert graph() is None


def test_pixels_that_the_model_divides_once_more_are_said_with_the_line_to_change(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    """A model with Rescaling is given 0..255; one that divides once more is not refused, it may learn all the same."""
    plain = BUILD.replace("        keras.layers.BatchNormalization(),\n", "")
    twice = plain.replace(
        "        keras.layers.Conv2D",
        "        keras.layers.Rescaling(1 / 255),\n        keras.layers.Lambda(lambda x: x / 255),\n"
        "        keras.layers.Conv2D",
    )
    assert trained(worker_of(plain), job).notes == ()
    _, note = trained(worker_of(twice), job).notes  # the first: it cannot be saved
    assert note.startswith("before training, inputs scaled twice: the first layer is given numbers of about 0.00")
    assert "remove one of the divisions by 255" in note
    assert note not in trained(worker_of(twice), replace(job, fold=1)).notes  # once a study is enough


STEPPING = """
class Net(keras.Sequential):
    def __init__(self, layers):
        super().__init__(layers)
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}
"""


def test_a_train_step_with_metrics_of_its_own_has_no_training_accuracy(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    """As in Keras's guide to writing a `train_step`."""
    source = BUILD.replace("keras.Sequential([", "Net([").replace("def build", STEPPING + "\n\ndef build")
    result = trained(worker_of(source), job)
    assert isinstance(result, FoldResult)
    assert {"loss", "val_loss", "val_balanced_accuracy"} <= result.curve.keys()
    assert "accuracy" not in result.curve
    assert result.notes == ()


BREAKING = BUILD.replace(
    "def build",
    """
seen = []

def look(x):
    seen.append(1)
    if len(seen) > 20:
        raise RuntimeError("no such picture")
    return x

class Looking(keras.layers.Layer):
    def call(self, x):
        y = tf.py_function(look, [x], tf.float32)
        y.set_shape(x.shape)
        return y


def build""",
).replace("keras.layers.Flatten()", "Looking(), keras.layers.Flatten()")


def test_an_error_of_the_users_code_in_a_later_epoch_is_told_with_its_line(
    worker_of: Callable[[str], Worker], job: FoldJob
) -> None:
    outcome = worker_of(BREAKING).do(replace(job, training=replace(job.training, max_epochs=100)))
    assert isinstance(outcome, Failure)
    line = 1 + BREAKING[: BREAKING.index("raise RuntimeError")].count("\n")
    assert outcome.detail == f"net.py, line {line}: RuntimeError: no such picture"


OWN_PARTS = {
    "layer": (
        "class Gate(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n",
        "Gate(),",
        "Gate is not",
    ),
    "registered": (
        "@keras.saving.register_keras_serializable()\nclass Wall(keras.layers.Layer):\n    def call(self, x):\n"
        "        return 2 * x\n",
        "keras.Sequential([Wall()]),",
        "Wall is not",
    ),
    "function": ("def bent(x):\n    return x\n", "keras.layers.Activation(bent),", "bent is not"),
    "lambda": ("", "keras.layers.Lambda(lambda x: 2 * x),", "a lambda is not"),
    "lambda as activation": ("", "keras.layers.Activation(lambda x: 2 * x),", "a lambda is not"),
    "a name of Keras's": ("def relu(x):\n    return -x\n", "keras.layers.Activation(relu),", "relu is not"),
    "no config": (
        "class Kept(keras.layers.Layer):\n    def __init__(self, what):\n        super().__init__()\n"
        "    def call(self, x):\n        return x\n",
        "Kept(object()),",
        "it cannot be written to a file: ",
    ),
}


@pytest.mark.first(2)
@pytest.mark.parametrize("part", OWN_PARTS)
def test_a_model_with_parts_that_keras_does_not_have_is_trained_but_not_saved_and_is_told_why(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path, part: str
) -> None:
    code, layer, why = OWN_PARTS[part]
    source = BUILD.replace("def build", f"{code}\n\ndef build").replace(
        "keras.layers.Flatten(),", f"{layer} keras.layers.Flatten(),"
    )
    worker = worker_of(source)
    (note,) = trained(worker, replace(job, training=replace(job.training, max_epochs=1))).notes
    assert note.startswith("no model of net.py:build will be saved: ") and why in note
    outcome = worker.do(RefitJob(job, tmp_path / "model.keras"))
    assert isinstance(outcome, Failure) and outcome.cause == FailureCause.MODEL
    assert outcome.detail.startswith("net.py:build: ") and why in outcome.detail
    assert not (tmp_path / "model.keras").exists()


def test_a_train_step_and_a_loss_of_ones_own_do_not_keep_a_model_from_being_saved(
    worker_of: Callable[[str], Worker], job: FoldJob, tmp_path: Path
) -> None:
    source = (
        BUILD.replace("keras.Sequential([", "Net([")
        .replace('"categorical_crossentropy"', "lambda y, p: keras.losses.categorical_crossentropy(y, p)")
        .replace("def build", STEPPING + "\n\ndef build")
    )
    worker = worker_of(source)
    result = trained(worker, job)
    assert result.notes == ()
    outcome = worker.do(RefitJob(job, tmp_path / "model.keras"))
    assert isinstance(outcome, SavedModel), outcome
    import keras

    assert keras.saving.load_model(tmp_path / "model.keras", safe_mode=True).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_builder_that_ends_the_program_fails_its_trial(
    worker_of: Callable[[str], Worker], job: FoldJob, line: str, said: str
) -> None:
    source = BUILD.replace("    return model\n", f"    {line}\n")
    outcome = worker_of(source).do(job)
    assert isinstance(outcome, Failure)
    assert outcome.cause == FailureCause.MODEL
    assert "net.py, line" in outcome.detail and said in outcome.detail


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "line",
    [
        'keras.config.set_image_data_format("channels_first")',
        'keras.config.set_floatx("float64")',
        "tf.config.run_functions_eagerly(True)",
    ],
)
def test_what_a_builder_sets_for_the_whole_process_ends_with_its_fold(
    worker_of: Callable[[str], Worker], job: FoldJob, plain: FoldResult, line: str
) -> None:
    worker_of(BUILD.replace("    return model\n", f"    {line}\n    return model\n")).do(job)
    again = trained(worker_of(BUILD), job)
    assert again.curve == plain.curve


def test_no_epochs_are_refused_by_name(worker_of: Callable[[str], Worker], job: FoldJob) -> None:
    outcome = worker_of(BUILD).do(replace(job, params={**job.params, "epochs": 0}))
    assert isinstance(outcome, Failure)
    assert "epochs: must be at least 1, got 0" in outcome.detail


def test_of_a_builder_that_forks_one_process_answers(worker_of: Callable[[str], Worker], tmp_path: Path) -> None:
    """Its child comes back as well, and must not answer in its parent's name: the next job would get that."""
    source = BUILD.replace("Conv2D(4, 3", 'Conv2D(hp.Int("filters", 1, 9), 3')
    forking = source.replace("    return model\n", "    import os\n    os.fork()\n    return model\n")
    executor, found = LocalProcesses(1), []
    try:
        executor.prepare(worker_of(forking)._context, tmp_path / "logs")
        for filters in (2, 4, 8):
            described = executor.submit(DescribeJob({"rate": 0.01, "filters": filters})).result(timeout=60)
            assert isinstance(described, Description), described
            found.append(described.parameters)
    finally:
        executor.close(kill=True)
    assert found == sorted(set(found))
