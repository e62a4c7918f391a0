"""An epoch as one compiled program: the same fold run as without, but for rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.jobs import FoldResult, WorkerContext
from search.study.prepared import Prepared
from search.worker.batches import Epoch
from search.worker.epoch_program import EpochProgram, Shapes
from search.worker.inputs import placed
from search.worker.worker import Worker
from search.worker.xla_kernels import UnknownKernelError, affine_transform, compilable, own_seed, uniform
from spaces import Value
from tests.search.worker.test_trainer import fold_job, trained

SMALL: dict[str, Value] = {"conv_depth": 1, "dense_depth": 0, "normalization": "none", "head": "flatten"}
POINTS: list[dict[str, Value]] = [
    {**SMALL, "dropout": 0.3, "augmentation": "shift", "weight_penalty": "l2", "label_smoothing": 0.1},
    {"augmentation": "geometric", "optimizer": "sgd", "sgd_weight_decay": 0.1, "output": "sigmoid", "batch_size": 2},
    {"ema": True, "schedule": "cosine", "optimizer": "adamw", "class_weights": "balanced", "conv_depth": 1},
    {"block": "separable", "normalization": "group", "augmentation": "question", "schedule": "plateau"},
    {"block": "residual", "pooling": "stride", "activation": "swish"},
]


def same(found: FoldResult, expected: FoldResult, tolerance: float = 1e-5) -> None:
    """But for rounding."""
    assert (found.epochs, found.best_epoch, found.behind) == (expected.epochs, expected.best_epoch, expected.behind)
    assert found.curve.keys() == expected.curve.keys()
    for name, values in expected.curve.items():
        np.testing.assert_allclose(found.curve[name], values, rtol=tolerance, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=tolerance, atol=1e-6)
    assert {**found.scores} == pytest.approx({**expected.scores}, rel=tolerance)


def programs(worker: Worker) -> list[Shapes]:
    program = worker._trained._program
    return list(program._programs) if program else []


@pytest.mark.slow
@pytest.mark.parametrize("changes", POINTS, ids=str)
def test_a_compiled_fold_run_is_the_one_without_but_for_rounding(
    context: WorkerContext, worker: Worker, prepared: Prepared, changes: dict[str, Value]
) -> None:
    job = fold_job(prepared, prepared.space.defaults(**changes))
    compiled = Worker(replace(context, xla=True))
    same(trained(compiled, job), trained(worker, job))
    assert len(programs(compiled)) == 1


@pytest.fixture(scope="module")
def compiling(context: WorkerContext) -> Iterator[Worker]:
    yield Worker(replace(context, xla=True))


def test_folds_and_points_share_a_program_and_none_of_them_notices(
    compiling: Worker, worker: Worker, prepared: Prepared
) -> None:
    rows = np.arange(len(prepared.images.labels), dtype=np.int32)
    job = fold_job(prepared, prepared.space.defaults(**SMALL, dropout=0.3))
    others = [
        replace(job, seed=8, train=rows[rows % 3 != 1], validate=rows[rows % 3 == 1][:-1]),
        replace(job, params={**job.params, "dropout": 0.5, "learning_rate": 0.01}),
    ]
    first, *rest, again = (trained(compiling, each) for each in (job, *others, job))
    for found, each in zip((first, *rest), (job, *others), strict=True):
        same(found, trained(worker, each))
    assert first.curve == again.curve
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert len(programs(compiling)) == 1
    assert again.latency is not None and again.latency > 0


@pytest.mark.slow
def test_what_is_not_known_to_compile_is_trained_without(compiling: Worker, worker: Worker, prepared: Prepared) -> None:
    job = fold_job(prepared, prepared.space.defaults(**SMALL, augmentation="mixup", dropout=0.0))
    assert trained(compiling, job).curve["loss"] == pytest.approx(trained(worker, job).curve["loss"], rel=1e-4)
    assert programs(compiling) == []


def test_nothing_is_compiled_unless_the_user_wants_it_also_on_a_gpu(
    context: WorkerContext, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: ["a GPU"])
    one = Worker(context)
    trained(one, fold_job(prepared, prepared.space.defaults(**SMALL), max_epochs=100_000, patience=1))
    assert programs(one) == []


def refused(program: EpochProgram, shapes: Shapes) -> Any:
    """Stands for a program that the device refuses in the midst of its first run."""
    for variable in program._trainer.model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    raise tf.errors.ResourceExhaustedError(None, None, f"no memory for {shapes}")


@pytest.mark.slow
def test_what_a_device_refuses_in_its_first_run_is_trained_without_as_if_nothing_had_been_tried(
    context: WorkerContext, worker: Worker, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpochProgram, "_traced", refused)
    compiled = Worker(replace(context, xla=True))
    job = fold_job(prepared, prepared.space.defaults(**SMALL, dropout=0.0), max_epochs=2)
    same(trained(compiled, job), trained(worker, job), 1e-4)
    assert programs(compiled) == []


def test_a_program_has_places_for_steps_of_two_sizes() -> None:
    rows, ends = np.arange(23, dtype=np.int32), np.array([4, 8, 10, 14, 18, 20, 23], np.int32)
    two = Epoch(0, rows[:20], ends[:6], np.ones(6))
    shapes = Shapes.of(two, 9)
    assert shapes == Shapes(steps=6, batch=4, last=2, judged=32)
    order, starts, smaller = shapes.arguments(two)
    assert (len(order), list(starts)) == (24, [0, 4, 8, 10, 14, 18])
    assert list(smaller) == [False, False, True, False, False, True]
    assert Shapes.of(Epoch(0, rows, ends, np.ones(7)), 9) is None


@pytest.mark.parametrize("jit", [False, True])
def test_uniform_numbers_are_those_of_tensorflow_to_the_bit(jit: bool) -> None:
    seeds = tf.constant([[3, 1], [2**31 - 1, 5]], tf.int64)
    drawn = tf.function(lambda seeds: uniform((6, 5), tf.unstack(seeds)), jit_compile=jit)(seeds)
    kept = [keras.random.SeedGenerator(1), keras.random.SeedGenerator(1)]
    for generator, seed in zip(kept, seeds, strict=True):
        generator.state.assign(seed)
    expected = [keras.random.uniform((3, 5), seed=generator) for generator in kept]
    np.testing.assert_array_equal(drawn, np.concatenate(expected))


@pytest.mark.parametrize("shape", [(None, 5), (6, None), (6, 5, None)], ids=str)
def test_numbers_for_an_unknown_number_of_anything_are_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(UnknownKernelError, match="not known beforehand"):
        uniform(shape, [tf.constant([3, 1], tf.int64)])


@pytest.mark.parametrize("jit", [False, True])
def test_images_are_transformed_as_keras_does(jit: bool) -> None:
    """Turned, zoomed, sheared and shifted, some of them beyond the edge."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (16, 9, 7, 3)).astype(np.float32)
    matrices = np.zeros((16, 8), np.float32)
    matrices[:, :6] = [1, 0, 0, 0, 1, 0] + rng.normal(0, 1, (16, 6)) * [0.3, 0.3, 4, 0.3, 0.3, 4]
    plain = keras.ops.image.affine_transform(images, matrices, "bilinear", "nearest")
    ours = tf.function(affine_transform, jit_compile=jit)(
        tf.constant(images), tf.constant(matrices), "bilinear", "nearest"
    )
    np.testing.assert_allclose(ours, plain, atol=5e-3)


def test_layers_draw_by_their_generators_within_and_keras_is_as_it_was_after() -> None:
    before, layer = keras.random.uniform, keras.layers.RandomFlip("horizontal", seed=5)
    images = np.random.default_rng(0).uniform(0, 255, (8, 4, 4, 1)).astype(np.float32)
    expected = layer(images, training=True)
    layer.generator.state.assign([5, 0])
    with compilable(own_seed):
        found = layer(images, training=True)
    np.testing.assert_array_equal(found, expected)
    assert keras.random.uniform is before


def test_pixels_on_a_gpu_are_the_same_numbers() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    on_gpu, in_memory = placed(pixels, gpu=True), placed(pixels, gpu=False)
    assert (on_gpu.dtype, in_memory.dtype) == (tf.float16, tf.uint8)
    np.testing.assert_array_equal(tf.cast(on_gpu, tf.float32), tf.cast(in_memory, tf.float32))
