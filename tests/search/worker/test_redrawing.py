"""A network's first weights for another seed, without building it again."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from search.jobs import WorkerContext
from search.study.prepared import Prepared
from search.worker.redrawing import Redrawing, noted
from search.worker.worker import Worker
from spaces import Value
from spaces.presets import FAMILIES, Preset
from tests.search.worker.test_epoch_program import SMALL
from tests.search.worker.test_trainer import fold_job, trained

NETWORKS: list[tuple[str, dict[str, Value]]] = [
    ("cnn", {"dropout": 0.3, "initializer": "orthogonal"}),
    ("cnn", {"block": "separable", "normalization": "group", "initializer": "uniform_0.05", "dropout": 0.0}),
    ("cnn", {"block": "residual", "initializer": "random_normal", "dense_depth": 2}),
    ("question", {"initializer": "lecun_normal"}),
]


@pytest.mark.parametrize(("family", "changes"), NETWORKS, ids=str)
def test_they_are_those_of_a_network_that_is_built(prepared: Prepared, family: str, changes: dict[str, Value]) -> None:
    preset = FAMILIES[family]
    params = preset.space(prepared.facts).defaults(**changes)

    def built(seed: int) -> keras.Model:
        random.seed(seed)
        return preset.build(params, prepared.facts)

    with noted() as seeds:
        model = built(1)
    redrawing = Redrawing.of(model, seeds, 1)
    assert redrawing is not None
    other = built(2)
    after = random.getstate()
    for value, variable in zip(redrawing.values(2), other.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    assert random.getstate() == after, "what comes next, as augmentation, draws from there"


def test_a_network_whose_weights_come_from_elsewhere_is_built() -> None:
    random.seed(1)
    with noted() as seeds:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        model.layers[-1].kernel.assign(np.full((3, 4), 0.25))
    assert Redrawing.of(model, seeds, 1) is None


class Hidden(keras.layers.Layer):  # type: ignore[misc]
    """Draws its weights by an initializer that is under no name of Keras's."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.drawn_by = keras.initializers.GlorotUniform()
        self.scale = self.add_weight(shape=(shape[-1],), initializer=self.drawn_by)

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


def test_a_network_with_weights_whose_initializer_is_not_seen_is_built() -> None:
    """Else each fold run in one worker would begin with the weights of the first."""
    random.seed(1)
    with noted() as seeds:
        model = keras.Sequential([keras.Input((3,)), Hidden(), keras.layers.Dense(4)])
    assert Redrawing.of(model, seeds, 1) is None


@pytest.mark.slow
def test_folds_of_a_point_are_trained_on_one_network_as_if_each_built_its_own(
    context: WorkerContext, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fold_job(prepared, prepared.space.defaults(**SMALL, dropout=0.3, augmentation="shift"), max_epochs=2)
    jobs = [replace(job, seed=seed) for seed in (1, 2, 1)]
    alone = [trained(Worker(context), each) for each in jobs]
    calls, plain = [], Preset.build

    def counted(*args: object) -> keras.Model:
        calls.append(args)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Preset, "build", counted)
    worker = Worker(context)
    for each, expected in zip(jobs, alone, strict=True):
        found = trained(worker, each)
        assert found.curve == expected.curve
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert len(calls) == 1
    trained(worker, replace(job, params={**job.params, "dropout": 0.4}))
    assert trained(worker, job).curve != alone[0].curve, "seed 7"
    assert len(calls) == 3
