"""A closer look at real networks: what stops one, and that one which is looked at goes on as if it were not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from search.jobs import FoldResult, WorkerContext
from search.worker.inspection import answers_of, evidence_of, start_of
from spaces.recipe import Recipe
from tests.bench.faults import EPOCHS, begun, fold_run, network, pictures

if TYPE_CHECKING:
    import keras

SEED = 3


def built(**changes: Any) -> keras.Model:
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    return network(2, **changes)


def run(*, stop: bool = True, epochs: int = EPOCHS, recipe: Recipe | None = None, **changes: Any) -> FoldResult:
    """A fold run of a network with `changes` on pictures that are easy to tell apart."""
    return fold_run(built(**changes), pictures(SEED), recipe or Recipe(batch_size=16), SEED, stop=stop, epochs=epochs)


def test_a_network_stuck_by_its_initializer_is_stopped_early_with_its_cause() -> None:
    result = run(kernel_initializer="zeros")
    assert result.epochs == 3 == len(result.curve["loss"])
    assert result.diagnosis is not None and result.diagnosis.collapsed
    assert result.diagnosis.name == "stuck at chance: initial weights are zero"
    assert result.diagnosis.causes[0].change == 'kernel_initializer="glorot_uniform"'
    assert result.scores["balanced_accuracy"] == 0.5


def on_a_frozen_base(*, nested: bool, trained: bool = False) -> keras.Model:
    """A head on a base that nobody trained, or that has the traces of it, and gives next to nothing."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    inputs = keras.Input((8, 8, 1))
    small = keras.initializers.RandomNormal(stddev=1e-4)
    convolution = keras.layers.Conv2D(8, 3, activation="relu", kernel_initializer=small)
    base = keras.Model(
        inputs, keras.layers.GlobalAveragePooling2D()(convolution(keras.layers.Rescaling(1 / 255)(inputs)))
    )
    base.trainable = False
    if trained:
        convolution.bias.assign(np.full(8, 0.3, np.float32))
    x = base(inputs) if nested else base.output
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.mark.parametrize("nested", [True, False])
def test_frozen_layers_that_were_never_trained_are_named_and_not_the_pictures(nested: bool) -> None:
    result = fold_run(on_a_frozen_base(nested=nested), pictures(SEED), Recipe(batch_size=16), SEED)
    assert result.diagnosis is not None
    assert result.diagnosis.name == "stuck at chance: frozen layers were never trained"
    assert "of how images differ is left after" in result.diagnosis.causes[0].evidence
    assert not {"constant images", "inputs scaled twice"} & {cause.name for cause in result.diagnosis.causes}


def test_frozen_layers_with_traces_of_training_are_not_called_untrained() -> None:
    result = fold_run(on_a_frozen_base(nested=True, trained=True), pictures(SEED), Recipe(batch_size=16), SEED)
    assert result.diagnosis is not None
    assert result.diagnosis.name == "stuck at chance: images lost before what is trained"


def test_constant_images_are_named_as_such() -> None:
    flat = replace(pictures(SEED), pixels=np.full_like(pictures(SEED).pixels, 128))
    result = fold_run(built(), flat, Recipe(batch_size=16), SEED)
    assert result.diagnosis is not None and result.diagnosis.name == "stuck at chance: constant images"


def test_one_that_is_only_diagnosed_is_trained_until_it_ends_by_itself() -> None:
    result = run(kernel_initializer="zeros", stop=False)
    assert result.epochs > 3
    assert result.diagnosis is not None and result.diagnosis.collapsed
    assert result.diagnosis.causes[0].name == "initial weights are zero"


def test_small_initial_weights_in_a_deep_stack_are_named() -> None:
    import keras

    small = keras.initializers.RandomUniform(-0.01, 0.01, seed=1)
    result = run(dense=6, kernel_initializer=small, optimizer=keras.optimizers.SGD(0.01))
    assert result.diagnosis is not None and result.diagnosis.collapsed
    assert "initial weights too small" in [cause.name for cause in result.diagnosis.causes[:2]]


def test_a_loss_that_is_no_number_in_the_first_epoch_leaves_an_empty_curve_and_a_guess() -> None:
    import keras

    result = run(optimizer=keras.optimizers.SGD(1e30))
    assert (result.epochs, result.best_epoch, dict(result.curve)) == (0, 0, {})
    assert result.diagnosis is not None
    assert result.diagnosis.name == "not finite: learning rate too large"
    assert np.isfinite(result.probabilities).all()
    assert result.scores["balanced_accuracy"] == 0.5


def test_a_healthy_network_is_bit_for_bit_what_it_is_without_a_look() -> None:
    """Even where every epoch is looked at closely: dropout and augmentation have chance that a look must not use up."""
    recipe = Recipe(batch_size=16, schedule="cosine", augmentation="shift")
    results = []
    for looks in (False, True):
        healthy = begun(built(dropout=0.2), pictures(SEED), recipe, SEED, epochs=4)
        while not healthy.finished:
            healthy.epoch()
            if looks:
                assert healthy.inspector.evidence().layers
                assert healthy.inspector.answers().predicted
        results.append(healthy.result())
    without, looked_at = results
    assert looked_at.epochs == 4
    assert looked_at.diagnosis is None
    assert looked_at.curve == without.curve
    np.testing.assert_array_equal(looked_at.probabilities, without.probabilities)


def test_a_healthy_network_learns_with_nothing_said() -> None:
    result = run()
    assert result.diagnosis is None
    assert result.scores["balanced_accuracy"] > 0.9
    assert result.epochs <= EPOCHS


def test_evidence_compares_each_layer_with_its_start_and_leaves_the_model_as_it_was() -> None:
    model, data = built(dense=1, dropout=0.5), pictures(SEED)
    start = start_of(model)
    assert start is not None
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 3)
    before = [np.array(weight) for weight in model.get_weights()]
    x, y = data.pixels[:32].astype(np.float32), np.eye(2, dtype=np.float32)[data.labels[:32]]
    found = evidence_of(model, x, y, start, floor=np.log(2))
    layers = {layer.name: layer for layer in found.layers}
    hidden, output = (layers[layer.name] for layer in (model.layers[-3], model.layers[-1]))
    assert (hidden.moved, hidden.size, hidden.zero_at_start) == (0, 1, False)
    assert hidden.spread == hidden.spread_at_start
    assert hidden.dead is not None and 0 <= hidden.dead < 1
    assert output.moved == pytest.approx(2, rel=1e-5)
    assert output.size == pytest.approx(3, rel=1e-5)
    assert output.spread > (output.spread_at_start or 0)
    assert output.gradient is not None and output.gradient > 0
    assert layers[model.layers[-2].name].dropout == 0.5
    assert 0 < found.input_size < 1
    assert (found.steps, found.penalty) == (0, 0)
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_answers_are_judged_against_labels() -> None:
    labels = np.array([0, 0, 1, 1])
    same = answers_of(labels, np.full((4, 2), 0.5, np.float32))
    assert (same.spread, same.predicted) == (0, 1)
    assert same.log_loss == pytest.approx(np.log(2), rel=1e-5)
    right = answers_of(labels, np.eye(2, dtype=np.float32)[labels] * 0.8 + 0.1)
    assert (right.predicted, right.auroc) == (2, 1)
    assert answers_of(labels, np.full((4, 2), np.nan, np.float32)).predicted == 0


def test_a_model_that_takes_over_from_another_point_shows_the_numbers_of_that() -> None:
    """Graphs are shared by points that differ in numbers, and a look is outside of them."""
    from search.worker.trainer import Trainer

    data, recipe = pictures(SEED), Recipe(batch_size=16)
    context = WorkerContext(None, data.labels, data.facts, "cnn", "balanced_accuracy")
    trainer = Trainer(built(dropout=0.5), data.pixels, context, recipe)
    other = built(dropout=0.1)
    other.optimizer.build(other.trainable_variables)
    trainer.load_state_of(other, data.pixels, recipe)
    x, y = data.pixels[:8].astype(np.float32), np.eye(2, dtype=np.float32)[data.labels[:8]]
    found = evidence_of(trainer.model, x, y, start_of(trainer.model), floor=np.log(2))
    assert {layer.dropout for layer in found.layers} == {0.0, 0.1}
