"""Fine-tuning of every backbone: what each choice trains, what it needs, and a step of those of keras.applications."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, FitOptions, FoldJob, FoldResult, WorkerContext
from search.study.config import Config
from search.worker.describe import describe_frozen
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones import Backbone, lite
from spaces.backbones.applications import ARCHITECTURES, Application, opened, untrained, without_weights
from spaces.backbones.lite import PACKAGED, Lite
from spaces.facts import Facts
from spaces.presets import FAMILIES, fine_tune

FAMILY = FAMILIES["fine-tune"]
NAMES = (*(packaged.name for packaged in PACKAGED), *ARCHITECTURES)
by_name = pytest.mark.parametrize("name", NAMES)


class Bare(Application):
    """Never trained, nor given memory for weights."""

    def network(self, side: int | None = None) -> Any:
        return untrained(self.name, side)[1]


class BareLite(Lite):
    """The same of a package's."""

    def network(self, side: int | None = None) -> Any:
        import keras

        whole = lite.untrained(self, side)
        maps = keras.Model(whole.inputs[0], whole.outputs[: len(self.widths)])
        maps.trainable = True
        return maps


def bare(name: str) -> Backbone:
    for packaged in PACKAGED:
        if packaged.name == name:
            return BareLite(**vars(packaged))
    return Bare(**vars(without_weights(name)))


def facts_of(backbone: Backbone) -> Facts:
    return Facts(8, 8, 1, 2, 400, (backbone,))


def point(backbone: Backbone, **changes: Value) -> dict[str, Value]:
    return FAMILY.space(facts_of(backbone)).defaults(**{"input_size": 64, "batch_size": 8, **changes})


@cache
def trained_layers(name: str, unfreeze: str) -> dict[str, int]:
    """Layer of the backbone -> how many of its weights are trained, where any are."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    backbone = bare(name)
    with keras.StatelessScope(initialize_variables=False):
        network = FAMILY.network(point(backbone, unfreeze=unfreeze), facts_of(backbone))
    layers = network.get_layer("backbone").layers
    counts = {layer.name: sum(math.prod(one.shape) for one in layer.trainable_variables) for layer in layers}
    return {layer: count for layer, count in counts.items() if count}


def all_of(backbone: Backbone) -> int:
    return sum(layer.parameters for layer in backbone.layers(64))


SHARES = {
    "lite0": (29.6, 96.0, 97.5),
    "lite2": (23.8, 95.4, 97.6),
    "convnext_tiny": (55.6, 95.6, 100.0),
    "convnext_base": (31.3, 97.5, 100.0),
    "efficientnetv2_b0": (75.1, 94.7, 98.0),
    "efficientnetv2_s": (72.8, 94.1, 98.5),
    "mobilenetv3_large": (72.3, 96.4, 98.4),
    "densenet121": (37.7, 79.4, 97.6),
    "resnet50v2": (63.4, 93.5, 99.6),
    "vgg16": (48.1, 98.2, 100.0),
}
"""Percent of a backbone's weights under 'last', 'upper' and 'all', which leaves those of batch normalisation."""

LAST = {
    "lite0": ("blocks.15.", "conv_head"),
    "lite2": ("blocks.20.", "conv_head"),
    "convnext_tiny": ("convnext_tiny_downsampling_block_2", "convnext_tiny_stage_3_", "layer_normalization"),
    "convnext_base": ("convnext_base_downsampling_block_2", "convnext_base_stage_3_", "layer_normalization"),
    "efficientnetv2_b0": ("block6", "top_conv"),
    "efficientnetv2_s": ("block6", "top_conv"),
    "mobilenetv3_large": ("expanded_conv_12_", "expanded_conv_13_", "expanded_conv_14_", "conv_1"),
    "densenet121": ("pool4_conv", "conv5_block"),
    "resnet50v2": ("conv5_block",),
    "vgg16": ("block5_conv",),
}
"""How the layers of the last block begin, with what leads into it and the top."""


@pytest.mark.first(3)
@by_name
def test_the_share_that_each_choice_trains(name: str) -> None:
    found = [sum(trained_layers(name, unfreeze).values()) for unfreeze in ("last", "upper", "all")]
    assert tuple(round(100 * count / all_of(bare(name)), 1) for count in found) == SHARES[name]


@pytest.mark.first(4)
@by_name
def test_the_last_block_is_one_block(name: str) -> None:
    assert all(layer.startswith(LAST[name]) for layer in trained_layers(name, "last"))
    assert all(any(layer.startswith(begin) for layer in trained_layers(name, "last")) for begin in LAST[name])


@pytest.mark.first(4)
@by_name
def test_what_is_drawn_as_trained_is_what_is_trained_and_its_statistics(name: str) -> None:
    for unfreeze in ("last", "upper", "all"):
        params = point(bare(name), unfreeze=unfreeze)
        *plates, output = fine_tune.trained(params, facts_of(bare(name)))
        count = sum(trained_layers(name, unfreeze).values())
        assert count <= sum(plate.parameters for plate in plates) < 1.06 * count
        assert output.name == "output"


# What it needs


def described(name: str, **changes: Value) -> Description:
    assert FAMILY.frozen is not None
    return describe_frozen(FAMILY.frozen, point(bare(name), **changes), facts_of(bare(name)))


@by_name
def test_weights_that_come_trained_do_not_count_against_max_parameters(name: str) -> None:
    description = described(name)
    width = sum(bare(name).widths)
    assert description.parameters == all_of(bare(name)) + 2 * (width + 1)
    assert description.parameters - description.pretrained == 2 * (width + 1) < Config(images="x").max_parameters


MEASURED = {
    ("convnext_tiny", "all"): 2997,
    ("convnext_base", "all"): 7295,
    ("resnet50v2", "all"): 1344,
    ("efficientnetv2_b0", "all"): 996,
    ("efficientnetv2_s", "all"): 2303,
    ("mobilenetv3_large", "all"): 839,
    ("lite0", "all"): 817,
    ("lite2", "all"): 907,
    ("densenet121", "all"): 1413,
    ("vgg16", "all"): 1490,
    ("convnext_tiny", "upper"): 1494,
    ("resnet50v2", "upper"): 731,
    ("lite0", "last"): 186,
    ("lite2", "last"): 284,
    ("convnext_tiny", "last"): 554,
    ("densenet121", "last"): 468,
    ("vgg16", "last"): 570,
}
"""Most MB within two steps on 32 images of 128 px, on a processor, over what there was before the network."""


@pytest.mark.parametrize(("name", "unfreeze"), MEASURED)
def test_the_memory_that_training_needs_is_about_what_was_measured(name: str, unfreeze: str) -> None:
    changes: dict[str, Value] = {
        "unfreeze": unfreeze,
        "input_size": 128,
        "batch_size": 32,
        "augmentation": "mixup",
    }  # no maps are kept
    said = described(name, **changes).training_bytes / 1e6
    assert (1 if unfreeze == "all" else 0.75) < said / MEASURED[name, unfreeze] < 2.3


@by_name
def test_what_is_left_as_it_is_needs_less_memory(name: str) -> None:
    last, upper, whole = (
        described(name, unfreeze=u, augmentation="mixup").training_bytes for u in ("last", "upper", "all")
    )
    assert last < upper < whole


# A step


@pytest.fixture(scope="module", params=["mobilenetv3_large", "convnext_tiny"])
def backbone(request: pytest.FixtureRequest, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """With weights of a file, never trained."""
    if request.param == "mobilenetv3_large":
        return opened(request.param, weights)
    path = tmp_path_factory.mktemp("file") / "convnext.weights.h5"
    untrained(request.param, 64)[0].save_weights(path)
    return opened(request.param, path)


@pytest.mark.slow
def test_a_step_trains_the_last_block_and_leaves_what_is_below(backbone: Application, context: WorkerContext) -> None:
    facts, rows = facts_of(backbone), np.arange(9, 21, dtype=np.int32)
    assert context.pixels is not None
    worker = Worker(replace(context, facts=facts, preset="fine-tune"))
    params = point(backbone, unfreeze="last", learning_rate=1e-3) | {"epochs": 1}
    result = worker.do(FoldJob(0, 0, 0, params, rows[::2], rows[1::2], 3, FitOptions(max_epochs=1)))
    assert isinstance(result, FoldResult), result
    assert (result.epochs, result.probabilities.shape) == (1, (6, 2))
    assert np.isfinite(result.curve["loss"]).all()
    assert worker._last is not None
    description = worker.do(DescribeJob(params))
    assert isinstance(description, Description)
    assert description.parameters == result.parameters
    layers = zip(worker._last.model.get_layer("backbone").layers, backbone.network(64).layers, strict=True)
    moved = [
        layer.name
        for layer, before in layers
        if any(not np.array_equal(a, b) for a, b in zip(layer.get_weights(), before.get_weights(), strict=True))
    ]
    assert len(moved) == len(trained_layers(backbone.name, "last"))
    assert all(layer.startswith(LAST[backbone.name]) for layer in moved)
