"""A pre-trained network trained on: from a head fitted on its frozen features, then the last layers or all of them.

First the probe, then the network, is better than either (Kumar et al., arXiv 2202.10054): a head that begins at
random sends large gradients into weights that were good. Batch normalisation stays as it was trained: a few images
are a poor sample of its statistics.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import Backbone, pooled_maps
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value, boolean, choice, integer, real
from spaces.presets import dimensions
from spaces.presets.frozen import backbone, pooled_width, row_weights
from spaces.recipe import Recipe, recipe_of
from spaces.resizing import resized
from spaces.space import Space

if TYPE_CHECKING:
    import keras

SUMMARY = "a pre-trained network trained on, beginning from a head fitted on its frozen features"

UPPER = 3 / 8  # share of the maps below which 'upper' leaves all as it is: it costs most, and sees edges and colours
_FLOOR = 0.3  # of the features' mean deviation, added to each one's: a feature that hardly varies gets no huge weight
_MAX_STEPS = 1000  # of L-BFGS


def space(facts: Facts) -> Space:
    """Larger input and more epochs by default where there are fewer images: about the same work a fold run."""
    side, epochs = (128, 8) if facts.images <= 300 else (96, 4) if facts.images <= 1000 else (64, 3)
    batches = [b for b in (8, 16, 32) if b <= max(16, facts.images // 10)]
    return Space(
        (
            *dimensions.backbone(facts, "pre-trained network that is trained on"),
            choice(
                "input_size",
                *dimensions.sides(facts),
                default=facts.side or side,
                help="side in pixels to which images are resized; costs its square",
                source="224 at most, the side on ImageNet; multiples of 32, as maps halve five times; by default the "
                "smaller the more images, for about the same work",
            ),
            choice(
                "stages",
                "all",
                "last",
                help="the head sees all stages of the backbone together, or its last",
                source="all: as in Head2Toe (arXiv 2201.03529); last: the usual head",
            ),
            choice(
                "unfreeze",
                "upper",
                "all",
                "last",
                help="what is trained: the upper five eighths, all layers, or the last block",
                source="lower layers are the general ones (arXiv 1411.1792); where to cut is a guess",
            ),
            integer(
                "epochs",
                2,
                16,
                epochs,
                log=True,
                limits=(1, 1000),
                help="passes over the training images; all of them are trained",
                source="by default the fewer the more images, for about the same work; the range is a guess",
            ),
            real(
                "learning_rate",
                1e-5,
                1e-3,
                3e-4,
                log=True,
                limits=(1e-8, 1.0),
                help="of adamw at its highest; it falls to 0 along a cosine",
                source="Keras's default 0.001 at most, a hundredth of it at least: what is good moves little; 3e-4 "
                "is a guess",
            ),
            *dimensions.weight_decay(1e-2, "PyTorch's default of AdamW 0.01; the range around it is a guess"),
            real(
                "dropout",
                0.0,
                0.5,
                0.2,
                step=0.1,
                limits=(0.0, 0.95),
                help="before the output",
                source="0.5 at most, as in Srivastava et al. 2014; 0.2 as in EfficientNet-B0 (arXiv 1905.11946)",
            ),
            *dimensions.label_smoothing(),
            choice(
                "batch_size",
                *batches,
                default=16,
                known=(8, 16, 32, 64),
                help="images a step",
                source="practice on small data: a tenth of the images at most; 2 to 32 did best in arXiv 1804.07612",
            ),
            real(
                "c",
                1e-3,
                1.0,
                0.1,
                log=True,
                limits=(1e-8, 1e8),
                help="of the logistic regression that the head begins as: inverse strength of its L2 penalty",
                source="scikit-learn's default 1.0 at most, 0.1 as in frozen, a hundredth of that at least; probe "
                "first: arXiv 2202.10054",
            ),
            *dimensions.augmentation("shift"),
            *dimensions.vertical_flip(facts),
            *(
                (
                    boolean(
                        "flip_average",
                        default=True,
                        help="predictions averaged over the image and its mirror image",
                        source="as VGG averages predictions (arXiv 1409.1556)",
                    ),
                )
                if facts.flip
                else ()
            ),
            *dimensions.class_weights(facts),
        )
    )


def recipe(params: Mapping[str, Value], facts: Facts) -> Recipe:
    """A cosine whose length is the point's own."""
    return replace(recipe_of(params, facts), schedule="cosine")


def network(params: Mapping[str, Value], facts: Facts) -> keras.Model:
    """The network of one point with its pre-trained weights, not compiled; its head, 'output', is not fitted yet."""
    import keras  # heavy, and only workers build models

    side = int(params["input_size"])
    x = inputs = keras.Input(facts.shape)
    if facts.channels == 1:
        x = keras.layers.Concatenate()([x, x, x])
    x = resized(x, side)
    maps = _body(backbone(params, facts), side, str(params["unfreeze"]))(x)
    x = pooled_maps(maps if params["stages"] == "all" else maps[-1:])
    return keras.Model(inputs, _head(x, params, facts))


def _head(x: Any, params: Mapping[str, Value], facts: Facts) -> Any:
    import keras

    from spaces.presets import parts

    return parts.output(keras.layers.Dropout(float(params["dropout"]))(x), "softmax", facts.classes)


def head(params: Mapping[str, Value], facts: Facts) -> keras.Model:
    """What is above the backbone, on its features [batch, width]: all that differs between points of one `shape`."""
    import keras

    features = keras.Input((pooled_width(params, facts),))
    return keras.Model(features, _head(features, params, facts))


def shape(params: Mapping[str, Value], facts: Facts) -> tuple[Hashable, ...]:
    """What decides all below `head`."""
    return backbone(params, facts).sha256, *(params[name] for name in ("input_size", "stages", "unfreeze"))


def cut(model: keras.Model, params: Mapping[str, Value], facts: Facts) -> tuple[keras.Model, keras.Model] | None:
    """`network` as two models on the same layers: from pixels to rows of numbers without training, and from those on.

    A row is the last map that stays as it is, and the means over those before it where the head sees them. None where
    all layers are trained, or where what is trained is given more of the rest than one map.
    """
    import keras

    body, below = model.get_layer("backbone"), _below(backbone(params, facts), str(params["unfreeze"]))
    if not below:
        return None
    maps = body.outputs
    try:
        upper = keras.Model(maps[below - 1], maps[below:])
    except ValueError:  # there is another way around this map
        return None
    means = below - 1 if params["stages"] == "all" else 0
    pixels = keras.Input(facts.shape)
    x = keras.layers.Concatenate()([pixels, pixels, pixels]) if facts.channels == 1 else pixels
    x = keras.Model(body.inputs, maps[:below])(resized(x, int(params["input_size"])))
    x = x if below > 1 else [x]
    parts = [keras.layers.Flatten()(x[-1]), *map(keras.layers.GlobalAveragePooling2D(), x[:means])]
    lower = keras.Model(pixels, keras.layers.Concatenate()(parts) if means else parts[0])

    rows = keras.Input(lower.output_shape[1:])
    size = math.prod(parts[0].shape[1:])
    map_ = keras.layers.Reshape(x[-1].shape[1:])(rows[:, :size])
    above = upper(map_)
    above = [map_, *(above if isinstance(above, list) else [above])]
    if params["stages"] == "all":
        x = pooled_maps(above)
        x = keras.layers.Concatenate()([rows[:, size:], x]) if means else x
    else:
        x = pooled_maps(above[-1:])
    for layer in model.layers[-2:]:  # dropout and output
        x = layer(x)
    return lower, keras.Model(rows, x)


def optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """AdamW."""
    import keras

    return keras.optimizers.AdamW(float(params["learning_rate"]), weight_decay=float(params["weight_decay"]))


def start(
    model: keras.Model, params: Mapping[str, Value], features: NDArray[np.float32], labels: NDArray[np.int16]
) -> None:
    """Give the head of `network` the weights of a logistic regression on `features` [rows, width], frozen ones.

    The regression sees standardised features; what standardises them is taken into the weights. Raises ValueError
    where all rows are of one class.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation = np.hypot(deviation, _FLOOR * np.sqrt(np.mean(deviation**2))) + 1e-9
    with threadpool_limits(1):
        probe = LogisticRegression(C=float(params["c"]), max_iter=_MAX_STEPS)
        probe.fit((features - mean) / deviation, labels, sample_weight=row_weights(params, labels))
    weights, bias = probe.coef_, probe.intercept_
    if len(weights) == 1:  # of two classes, only the difference
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    head = model.get_layer("output")
    kernel, biases = np.zeros(head.kernel.shape), np.full(head.bias.shape, bias.min() - 10.0)
    present = probe.classes_.astype(int)  # a class without training rows stays improbable
    kernel[:, present] = (weights / deviation).T
    biases[present] = bias - (weights * mean / deviation).sum(axis=1)
    head.set_weights([kernel, biases])


def layers(params: Mapping[str, Value], facts: Facts) -> tuple[Layer, ...]:
    """The whole model, as the report draws it."""
    chosen, classes, unfreeze = backbone(params, facts), facts.classes, str(params["unfreeze"])
    width, below = pooled_width(params, facts), _below(chosen, unfreeze)
    trained = f"of its {len(chosen.widths)} maps, what is above the first {below} trained" if below else "all trained"
    detail = f"{classes} units, softmax, dropout {float(params['dropout']):g} before it"
    return (
        Layer("image", "InputLayer", facts.shape, 0, ""),
        *chosen.layers(int(params["input_size"])),
        Layer("features", "GlobalAveragePooling2D", (width,), 0, trained),
        Layer("output", "Dense", (classes,), (width + 1) * classes, detail),
    )


def trained(params: Mapping[str, Value], facts: Facts) -> tuple[Layer, ...]:
    """Those of `layers` that are trained: the last of the backbone's, features and output; or all of them."""
    whole, chosen = layers(params, facts), backbone(params, facts)
    below = _below(chosen, str(params["unfreeze"]))
    return whole[below - len(chosen.widths) - 2 :] if below else whole


def _below(chosen: Backbone, unfreeze: str) -> int:
    """How many of a backbone's maps, counted from the input, stay as they are."""
    return {"all": 0, "upper": round(UPPER * len(chosen.widths)), "last": chosen.below_last}[unfreeze]


def _body(chosen: Backbone, side: int, unfreeze: str) -> Any:
    """The backbone, giving its maps; batch normalisation and what is below `unfreeze` stay as they are."""
    import keras

    whole, below = chosen.network(side), _below(chosen, unfreeze)
    body = keras.Model(whole.inputs, whole.outputs, name="backbone")
    kept = {layer.name for layer in keras.Model(whole.inputs, whole.outputs[below - 1]).layers} if below else set()
    for layer in body.layers:
        layer.trainable = layer.name not in kept and not isinstance(layer, keras.layers.BatchNormalization)
    return body
