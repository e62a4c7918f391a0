"""What a description says of the work of a network, from which its price is computed before it is trained."""

from __future__ import annotations

import math

import pytest

from search.jobs import DescribeJob, Description
from search.study.prepared import Prepared
from search.worker.describe import BACKWARD, describe, describe_frozen
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES

FACTS = Facts(8, 8, 1, 2, 27, (LITE0,))


def test_each_weight_of_a_convolution_is_used_at_each_place_of_its_output() -> None:
    import keras

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)  # 112 weights, 64 places
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(2)(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))  # 130 weights
    said = describe(model, batch=4)
    assert said.macs == 112 * 64 + 130
    assert said.training_macs == BACKWARD * said.macs
    assert said.views == ()


def test_a_larger_network_is_dearer(worker: Worker, prepared: Prepared) -> None:
    def macs(**changes: Value) -> float:
        said = worker.do(DescribeJob(prepared.space.defaults(**changes)))
        assert isinstance(said, Description)
        assert said.training_macs == BACKWARD * said.macs
        return said.macs

    assert macs(filters=64) > macs(filters=16)
    assert macs(conv_depth=2) > macs(conv_depth=1)


def frozen(family: str, **changes: Value) -> Description:
    chosen = FAMILIES[family]
    assert chosen.frozen is not None
    return describe_frozen(chosen.frozen, chosen.space(FACTS).defaults(**changes), FACTS)


def test_a_head_on_features_costs_its_views_once_and_no_epochs() -> None:
    small, large = frozen("frozen", input_size=64), frozen("frozen", input_size=128)
    assert small.training_macs == large.training_macs == 0.0
    assert large.macs == pytest.approx(4 * small.macs, rel=0.1)
    assert small.views and set(small.views).isdisjoint(large.views)
    assert frozen("frozen", input_size=64, head="svm").views == small.views


def test_fine_tuning_costs_the_way_back_only_through_what_is_trained() -> None:
    last, whole = (frozen("fine-tune", input_size=64, unfreeze=name) for name in ("last", "all"))
    assert last.macs == whole.macs
    assert last.macs < last.training_macs < whole.training_macs
    assert whole.training_macs <= BACKWARD * whole.macs
    assert math.isfinite(whole.training_macs) and whole.views
