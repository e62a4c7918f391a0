"""Nothing that a user's file makes outside of its builder goes from one fold run to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import DescribeJob, Failure, FailureCause, FoldJob, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from tests.search.worker.conftest import worker_for
from tests.search.worker.test_trainer import fold_job, trained

HEAD = """
import functools
import keras
import keras_tuner
from keras import layers


def new_body():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16, "relu")])


def model_of(body, optimizer=None, loss="categorical_crossentropy"):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(body(inputs)))
    model.compile(optimizer or keras.optimizers.Adam(1e-2), loss)
    with open("BEGINS", "a") as log:
        print(float(abs(body.get_weights()[0]).sum()), file=log)
    return model

"""

FILES = {
    "a model": "body = new_body()\n\n\ndef build(hp):\n    return model_of(body)\n",
    "layers": (
        "flatten, dense = layers.Flatten(), layers.Dense(16, 'relu')\ndense.build((None, 64))\n\n\n"
        "def build(hp):\n    return model_of(keras.Sequential([keras.Input((8, 8, 1)), flatten, dense]))\n"
    ),
    "an optimizer": (
        "optimizer, body = keras.optimizers.SGD(0.05, momentum=0.9), new_body()\n\n\n"
        "def build(hp):\n    return model_of(body, optimizer)\n"
    ),
    "a loss with state": (
        "class Fading(keras.losses.Loss):\n"
        "    def __init__(self):\n        super().__init__()\n        self.calls = 0\n\n"
        "    def call(self, y, p):\n        self.calls += 1\n"
        "        return keras.losses.categorical_crossentropy(y, p) / self.calls\n\n\n"
        "loss = Fading()\n\n\ndef build(hp):\n    return model_of(new_body(), None, loss)\n"
    ),
    "a cached function": (
        "@functools.lru_cache\ndef body():\n    return new_body()\n\n\ndef build(hp):\n    return model_of(body())\n"
    ),
    "a closure": (
        "def maker():\n    body = new_body()\n\n    def build(hp):\n        return model_of(body)\n\n"
        "    return build\n\n\nbuild = maker()\n"
    ),
    "a default argument": "def build(hp, body=new_body()):\n    return model_of(body)\n",
    "a HyperModel": (
        "class build(keras_tuner.HyperModel):\n    def __init__(self):\n        super().__init__()\n"
        "        self.body = new_body()\n\n    def build(self, hp):\n        return model_of(self.body)\n"
    ),
    "a HyperModel's instance": (
        "class Net(keras_tuner.HyperModel):\n    body = new_body()\n\n    def build(self, hp):\n"
        "        return model_of(self.body)\n\n\nbuild = Net()\n"
    ),
    "a file beside it": "import beside\n\n\ndef build(hp):\n    return model_of(beside.body)\n",
    "a callback": (
        "stopping = keras.callbacks.ReduceLROnPlateau('val_loss', factor=0.1, patience=1, min_delta=9.0)\n\n\n"
        "def callbacks(hp):\n    return [stopping]\n\n\ndef build(hp):\n    return model_of(new_body())\n"
    ),
}
BESIDE = (
    "import keras\n\nbody = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),"
    " keras.layers.Dense(16, 'relu')])\n"
)


@pytest.fixture
def made(context: WorkerContext, tmp_path: Path) -> Callable[[str], Worker]:
    """A new worker of one of FILES, which writes what its body begins with to begins.txt."""
    (tmp_path / "beside.py").write_text(BESIDE)
    head = HEAD.replace("BEGINS", str(tmp_path / "begins.txt"))

    def worker(name: str) -> Worker:
        source = head + FILES[name]
        if name != "a file beside it":
            return worker_for(source, context, tmp_path)
        (tmp_path / "net.py").write_text(source)
        from spaces.custom.file import named

        return Worker(replace(context, model=named(f"{tmp_path / 'net.py'}:build")))

    return worker


@pytest.fixture
def job(prepared: Prepared) -> FoldJob:
    return replace(fold_job(prepared, max_epochs=3, use_last_epoch=True), params={})


@pytest.mark.first(2)
@pytest.mark.parametrize("name", FILES)
def test_a_fold_run_after_others_is_the_same_as_in_a_new_process(
    made: Callable[[str], Worker], job: FoldJob, name: str
) -> None:
    used, second = made(name), replace(job, fold=1, train=job.validate, validate=job.train, seed=8)
    used.do(DescribeJob({}))
    trained(used, job)
    after = trained(used, second)
    alone = trained(made(name), second)
    assert after.curve == alone.curve
    np.testing.assert_array_equal(after.probabilities, alone.probabilities)


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        ("body = keras._test_body = getattr(keras, '_test_body', None) or new_body()", "the weights sequential"),
        (
            "optimizer = keras._test_sgd = getattr(keras, '_test_sgd', None) or keras.optimizers.SGD(0.1)\n"
            "body = new_body()",
            "an optimizer with ",
        ),
    ],
)
def test_what_lies_in_a_module_that_is_not_loaded_anew_is_refused(
    context: WorkerContext, tmp_path: Path, job: FoldJob, kept: str, named: str
) -> None:
    head, given = HEAD.replace("BEGINS", str(tmp_path / "begins.txt")), "optimizer" if "optimizer" in kept else "None"
    worker = worker_for(f"{head}{kept}\n\n\ndef build(hp):\n    return model_of(body, {given})\n", context, tmp_path)
    trained(worker, job)
    outcome = worker.do(replace(job, fold=1))
    assert isinstance(outcome, Failure) and outcome.cause == FailureCause.MODEL
    assert f"net.py:build uses {named}" in outcome.detail and outcome.detail.endswith("make it in the builder")


def test_what_is_made_once_begins_every_fold_with_the_same_weights(
    made: Callable[[str], Worker], job: FoldJob, tmp_path: Path
) -> None:
    worker = made("a model")
    for fold in range(3):
        trained(worker, replace(job, fold=fold, seed=fold))
    begins = (tmp_path / "begins.txt").read_text().splitlines()
    assert len(begins) == 3 and len(set(begins)) == 1


def test_random_labels_are_not_learned_from_the_folds_before(
    context: WorkerContext, job: FoldJob, tmp_path: Path
) -> None:
    """A body that had seen the other folds would know these labels by heart."""
    labels = np.random.default_rng(0).permutation(context.labels)
    source = HEAD.replace("BEGINS", str(tmp_path / "begins.txt")).replace("Dense(16", "Dense(64") + FILES["a model"]
    worker = worker_for(source, replace(context, labels=labels), tmp_path)
    rows = np.arange(len(labels), dtype=np.int32)
    options = replace(job.training, max_epochs=40, stop_collapsed=False)
    found = [
        trained(
            worker,
            replace(job, fold=fold, train=rows[rows % 3 != fold], validate=rows[rows % 3 == fold], training=options),
        ).scores["balanced_accuracy"]
        for fold in range(3)
    ]
    assert np.mean(found) < 0.75
