"""A fold run: what it returns, when it stops, and what it does not depend on."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, Failure, FailureCause, FitOptions, FoldJob, FoldResult, WorkerContext
from search.stats.metrics import scores
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.recipe import Recipe


def fold_job(prepared: Prepared, params: dict[str, Value] | None = None, seed: int = 7, **training: Any) -> FoldJob:
    rows = np.arange(len(prepared.images.labels), dtype=np.int32)
    return FoldJob(
        trial=0,
        repeat=0,
        fold=0,
        params=params or prepared.space.defaults(),
        train=rows[rows % 3 != 0],
        validate=rows[rows % 3 == 0],
        seed=seed,
        training=FitOptions(**({"max_epochs": 3, "patience": 0} | training)),
    )


def trained(worker: Worker, job: FoldJob) -> FoldResult:
    result = worker.do(job)
    assert isinstance(result, FoldResult), result
    return result


def test_it_returns_curves_scores_and_a_probability_for_every_validation_image(
    worker: Worker, prepared: Prepared
) -> None:
    job = fold_job(prepared)
    result = trained(worker, job)
    assert result.epochs == 3
    expected = {"loss", "accuracy", "balanced_accuracy"}
    assert set(result.curve) == expected | {"val_loss", "val_log_loss", "val_balanced_accuracy"}
    assert {len(values) for values in result.curve.values()} == {3}
    assert result.probabilities.shape == (len(job.validate), 2)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    assert result.scores == scores(prepared.images.labels[job.validate], result.probabilities)


def test_latency_is_seen_by_the_way_and_measuring_it_changes_nothing_else(
    worker: Worker, context: WorkerContext, prepared: Prepared
) -> None:
    job = fold_job(prepared)
    without = trained(worker, job)
    measured = trained(Worker(replace(context, latency=True)), job)
    assert without.latency is not None and 0 < without.latency < 1000
    assert trained(worker, fold_job(prepared, max_epochs=1)).latency is None, "the only pass also traced"
    assert measured.latency is not None and 0 < measured.latency < 1000
    assert measured.curve == without.curve
    np.testing.assert_array_equal(measured.probabilities, without.probabilities)


def test_another_seed_gives_another_result(worker: Worker, prepared: Prepared) -> None:
    one, other = (trained(worker, fold_job(prepared, seed=seed)) for seed in (1, 2))
    assert one.curve["loss"] != other.curve["loss"]


def test_it_learns_pictures_that_are_easy_to_tell_apart(worker: Worker, prepared: Prepared) -> None:
    params = prepared.space.defaults(learning_rate=0.01)
    result = trained(worker, fold_job(prepared, params, max_epochs=40, patience=20))
    assert result.scores["balanced_accuracy"] > 0.9


def test_it_stops_when_the_loss_no_longer_falls_and_keeps_the_best_epoch(worker: Worker, prepared: Prepared) -> None:
    params = prepared.space.defaults(learning_rate=0.01)
    result = trained(worker, fold_job(prepared, params, max_epochs=200, patience=3, min_delta=0.05))
    losses = result.curve["val_log_loss"]
    assert result.epochs == len(losses) < 200
    assert result.epochs == result.best_epoch + 3
    assert all(loss > losses[result.best_epoch - 1] - 0.05 for loss in losses[result.best_epoch :])
    assert result.scores["log_loss"] == pytest.approx(losses[result.best_epoch - 1])


def test_between_folds_tensorflow_keeps_what_it_made_of_the_graphs(
    worker: Worker, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emptied cache of kernels costs as much as all epochs of a small network: its graph is optimised anew."""
    from tensorflow.python.eager import context

    params = prepared.space.defaults()
    trained(worker, fold_job(prepared, params, seed=5))

    def emptied(*_: object) -> None:
        pytest.fail("the cache of kernels was emptied")

    monkeypatch.setattr(context.context(), "clear_kernel_cache", emptied)
    monkeypatch.setattr(context.context(), "_set_global_seed", emptied)
    worker.do(DescribeJob(params))
    trained(worker, fold_job(prepared, params, seed=6))


Changes = dict[str, Value]
VALUES: list[tuple[Changes, Changes, int]] = [
    (
        {"optimizer": "adamw", "dropout": 0.2, "label_smoothing": 0.0, "batch_size": 4},
        {
            "optimizer": "adamw",
            "dropout": 0.5,
            "label_smoothing": 0.15,
            "batch_size": 8,
            "learning_rate": 0.004,
            "weight_decay": 0.2,
            "initializer": "orthogonal",
            "schedule": "cosine",
        },
        1,
    ),
    (
        {"optimizer": "sgd", "weight_penalty": "l2", "l2": 0.1, "output": "sigmoid", "ema": True, "batch_size": 4},
        {
            "optimizer": "sgd",
            "weight_penalty": "l2",
            "l2": 1e-4,
            "output": "sigmoid",
            "ema": True,
            "label_smoothing": 0.1,
            "sgd_learning_rate": 0.05,
            "weight_decay": 0.3,
            "batch_size": 8,
        },
        1,
    ),
    ({"dropout": 0.0}, {"dropout": 0.3}, 2),  # nothing to drop: the layer does nothing, at no cost
    ({"augmentation": "shift"}, {"augmentation": "shift", "vertical_flip": True}, 2),
    ({"activation": "relu"}, {"activation": "gelu"}, 2),
]


@pytest.mark.first(1)
@pytest.mark.parametrize(("one", "other", "graphs"), VALUES)
def test_points_that_differ_in_values_share_graphs_and_none_of_them_notices(
    context: WorkerContext, prepared: Prepared, one: dict[str, Value], other: dict[str, Value], graphs: int
) -> None:
    jobs = [fold_job(prepared, prepared.space.defaults(**changes), seed=5) for changes in (one, other)]
    cold = [trained(Worker(context), job) for job in jobs]
    warm = Worker(context)
    for number in (0, 1, 0):
        found = trained(warm, jobs[number])
        assert found.curve == cold[number].curve
        np.testing.assert_array_equal(found.probabilities, cold[number].probabilities)
    assert warm._trainers._made == graphs
    assert cold[0].curve != cold[1].curve


def test_only_a_few_graphs_are_kept(
    context: WorkerContext, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.worker.trainer_cache.MAX_KEPT", 2)
    worker, activations = Worker(context), ("relu", "gelu", "relu", "swish")
    for activation in activations:
        trained(worker, fold_job(prepared, prepared.space.defaults(activation=activation), max_epochs=1))
    kept = [trainer.model.get_config() for trainer in worker._trainers._kept.values()]
    assert ["gelu" in str(config) for config in kept] == [False, False]
    assert ["relu" in str(config) for config in kept] == [True, False]


@pytest.mark.slow
def test_graphs_that_are_not_kept_are_freed(
    context: WorkerContext, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over hundreds of points memory stays as it is: the gradients of swish, and sums over replicas, keep none."""
    monkeypatch.setattr("search.worker.trainer_cache.MAX_KEPT", 1)
    worker, graphs = Worker(context), []
    for activation in ("swish", "relu", "gelu"):
        trained(worker, fold_job(prepared, prepared.space.defaults(activation=activation), max_epochs=1))
        graphs.append(weakref.ref(worker._trained._train_epoch.graph))
    gc.collect()
    assert [graph() is None for graph in graphs] == [True, True, False]


def test_balanced_weights_make_classes_even_and_leave_the_sum_as_it_was() -> None:
    from search.worker.batches import balanced_weights

    labels = np.array([0] * 30 + [1] * 10 + [3] * 20, np.int16)
    weights = balanced_weights(labels, 4)
    sums = np.bincount(labels, weights[labels], minlength=4)
    np.testing.assert_allclose(sums, [20, 20, 0, 20], rtol=1e-6)


def test_averaged_weights_judge_and_the_others_are_trained_on(worker: Worker, prepared: Prepared) -> None:
    params = prepared.space.defaults(normalization="none")
    averaged, plain = (trained(worker, fold_job(prepared, {**params, "ema": ema})) for ema in (True, False))
    np.testing.assert_allclose(averaged.curve["loss"], plain.curve["loss"], rtol=1e-6)
    assert averaged.curve["val_loss"] != plain.curve["val_loss"]


def test_under_a_cosine_all_epochs_are_trained_and_the_last_one_counts(worker: Worker, prepared: Prepared) -> None:
    params = prepared.space.defaults(schedule="cosine", learning_rate=0.01)
    result = trained(worker, fold_job(prepared, params, max_epochs=6, patience=1, min_delta=100.0))
    assert result.best_epoch == result.epochs == 6
    assert result.scores["log_loss"] == result.curve["val_log_loss"][-1]


def test_it_stops_where_it_has_not_reached_what_it_must_and_returns_what_it_has(
    worker: Worker, prepared: Prepared
) -> None:
    whole = trained(worker, fold_job(prepared, max_epochs=6))
    reached = max(whole.curve["val_balanced_accuracy"][:2])
    met = trained(worker, fold_job(prepared, max_epochs=6, min_score_at={2: reached}))
    assert (met.epochs, met.behind, met.curve) == (6, False, whole.curve)
    missed = trained(worker, fold_job(prepared, max_epochs=6, min_score_at={2: reached + 0.01}))
    assert (missed.epochs, missed.behind) == (2, True)
    assert missed.curve == {name: values[:2] for name, values in whole.curve.items()}
    assert missed.scores["log_loss"] == pytest.approx(min(missed.curve["val_log_loss"]))


def test_a_plateau_lowers_the_learning_rate() -> None:
    from search.worker.fold_run import factor_on_plateau
    from spaces.recipe import PLATEAU_EPOCHS, PLATEAU_FACTOR

    epochs = (3, 2 + PLATEAU_EPOCHS, 3 + PLATEAU_EPOCHS)
    assert [factor_on_plateau(FitOptions(), epoch, best_epoch=2) for epoch in epochs] == [1.0, 1.0, PLATEAU_FACTOR]
    listed = FitOptions(lr_factors=(1.0, 0.5))
    assert [factor_on_plateau(listed, epoch, best_epoch=1) for epoch in (1, 2, 3)] == [1.0, 0.5, 0.5]


def test_an_epoch_is_one_pass_with_a_partial_last_batch() -> None:
    from search.worker.batches import batches

    order, ends = batches(np.random.default_rng(0), np.arange(10, 17, dtype=np.int32), Recipe(batch_size=3))
    assert list(ends) == [3, 6, 7]
    assert sorted(order) == list(range(10, 17))


def test_an_epoch_of_fifty_steps_goes_through_the_images_again_and_again() -> None:
    from search.worker.batches import batches

    recipe = Recipe(batch_size=32, steps=50)
    order, ends = batches(np.random.default_rng(0), np.arange(88, dtype=np.int32), recipe)
    assert len(ends) == 50
    assert list(np.diff(ends, prepend=0)[:6]) == [32, 32, 24, 32, 32, 24]
    assert sorted(order[:88]) == list(range(88))
    assert len(order) == ends[-1]


def test_a_loss_that_leaves_the_numbers_ends_the_run_which_is_judged_as_a_guess(
    worker: Worker, prepared: Prepared
) -> None:
    changes: dict[str, Value] = {"optimizer": "sgd", "normalization": "none", "activation": "swish"}
    job = fold_job(prepared, prepared.space.defaults(**changes))
    exploding = replace(job, params={**job.params, "sgd_learning_rate": 1e30})
    result = trained(worker, exploding)
    assert result.diagnosis is not None and result.diagnosis.collapsed
    assert result.diagnosis.name == "not finite: learning rate too large"
    assert result.scores["balanced_accuracy"] == 0.5
    assert np.isfinite(result.probabilities).all()


def test_a_point_that_gives_no_model_is_refused(worker: Worker, prepared: Prepared) -> None:
    params = {**prepared.space.defaults(), "batch_size": 1}
    result = worker.do(DescribeJob(params))
    assert isinstance(result, Failure)
    assert result.cause == FailureCause.REFUSED
    assert "batch_size is 1" in result.detail


def test_describing_a_giant_needs_no_memory_for_its_weights(worker: Worker, prepared: Prepared) -> None:
    params = prepared.space.defaults(dense_depth=4)
    result = worker.do(DescribeJob({**params, "dense_units": 200_000}))
    assert isinstance(result, Description)
    assert result.parameters > 3 * 200_000**2
    assert result.training_bytes > 4 * result.parameters


def test_nor_does_a_layer_that_is_made_in_the_same_process_after_it(worker: Worker, prepared: Prepared) -> None:
    import keras

    class Head(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
            return self.dense(features)

    assert isinstance(
        worker.do(DescribeJob({**prepared.space.defaults(dense_depth=4), "dense_units": 200_000})), Description
    )
    inputs = keras.Input(
        (3,)
    )  # Keras finds the shapes of a `call` in a scope that fills variables that wait for values
    assert keras.Model(inputs, Head()(inputs)).count_params() == 8


def test_the_description_names_every_layer_and_counts_what_training_counts(worker: Worker, prepared: Prepared) -> None:
    description = worker.do(DescribeJob(prepared.space.defaults()))
    assert isinstance(description, Description)
    assert description.parameters == trained(worker, fold_job(prepared, max_epochs=1)).parameters
    kinds = [layer.kind for layer in description.layers]
    assert kinds[:3] == ["InputLayer", "Rescaling", "Conv2D"]
    assert description.layers[2].detail == "16 @ 3x3"
    assert description.layers[-1].shape == (2,)
