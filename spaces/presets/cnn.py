"""Convolutional networks from scratch, as wide as practice on small data sets is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spaces.facts import Facts
from spaces.parameters import Value, When, choice, integer, real
from spaces.presets import dimensions
from spaces.recipe import SCHEDULES
from spaces.space import Space

if TYPE_CHECKING:
    import keras

SUMMARY = "convolutional networks from scratch: depth, width, blocks, head, regularisation, optimizer, augmentation"

_DENSE = (When("dense_depth", at_least=1),)


def space(facts: Facts) -> Space:
    """Ranges for these pictures: as deep as halving their shorter side allows, batches of at most n / 10."""
    deepest = max(1, min(5, int(math.log2(min(facts.height, facts.width))) - 1))
    outputs = ("softmax", "sigmoid") if facts.classes == 2 else ("softmax",)
    batches = [b for b in (1, 2, 4, 8, 16, 32, 64) if b <= max(4, facts.images // 10)]
    return Space(
        (
            integer(
                "conv_depth",
                1,
                deepest,
                min(3, deepest),
                limits=(1, 8),
                help="blocks of convolution, normalisation, activation, pooling",
                source="halvings until the shorter side is 2 or 3 pixels, 5 at most as in VGG (arXiv 1409.1556)",
            ),
            choice(
                "block",
                "plain",
                "residual",
                "separable",
                help="one convolution; two beside a shortcut (ResNet); or one for each channel, then 1x1 (MobileNet)",
                source="plain: VGG (arXiv 1409.1556); residual: arXiv 1512.03385; separable: arXiv 1704.04861",
            ),
            integer(
                "filters",
                6,
                64,
                16,
                step=2,
                limits=(1, 512),
                help="filters of the first block",
                source="16 as in ResNet on CIFAR-10, 64 at most as in ResNet on ImageNet (arXiv 1512.03385); 6 at "
                "least as in LeNet-5 (LeCun et al. 1998)",
            ),
            integer(
                "growth",
                1,
                2,
                2,
                limits=(1, 4),
                help="filters of a block over those of the block before",
                source="2 as in VGG and ResNet (arXiv 1409.1556, 1512.03385); 1 for smaller networks",
            ),
            integer(
                "kernel",
                3,
                5,
                3,
                step=2,
                limits=(1, 11),
                help="side of the convolution kernels",
                source="3 as in VGG (arXiv 1409.1556), 5 as in LeNet-5 (LeCun et al. 1998)",
            ),
            choice(
                "pooling",
                "max",
                "average",
                "stride",
                help="how a block halves the map",
                source="max: VGG (arXiv 1409.1556); average: LeNet-5 (LeCun et al. 1998); stride: arXiv 1412.6806",
            ),
            choice(
                "normalization",
                "batch",
                "none",
                "group",
                help="after each convolution",
                source="batch: arXiv 1502.03167; group, which small batches do not harm: arXiv 1803.08494",
            ),
            choice(
                "activation",
                "relu",
                "elu",
                "gelu",
                "swish",
                known=("tanh", "selu", "leaky_relu"),
                help="after each convolution, and of the dense layers",
                source="elu: arXiv 1511.07289; gelu: arXiv 1606.08415; swish: arXiv 1710.05941; relu as in VGG and "
                "ResNet",
            ),
            choice(
                "head",
                "global_average",
                "flatten",
                help="from feature maps to a vector",
                source="global_average: arXiv 1312.4400; flatten as in LeNet-5 and VGG",
            ),
            integer(
                "dense_depth",
                0,
                4,
                1,
                limits=(0, 8),
                help="dense layers before the output",
                source="none as in ResNet (arXiv 1512.03385), up to the question's 4; 1 is a guess",
            ),
            integer(
                "dense_units",
                16,
                512,
                64,
                log=True,
                limits=(1, 4096),
                when=_DENSE,
                help="units of each dense layer",
                source="the question's 64 and 128, a factor of 4 below and above",
            ),
            choice(
                "initializer",
                "he_normal",
                "he_uniform",
                "glorot_uniform",
                "lecun_normal",
                "orthogonal",
                "random_normal",
                "uniform_0.05",
                known=("glorot_normal", "lecun_uniform"),
                help="initial weights of convolutions and dense layers",
                source="He 2015 (arXiv 1502.01852), Glorot 2010, LeCun 1998, orthogonal (arXiv 1312.6120); "
                "random_normal and uniform_0.05 are Keras's RandomNormal and RandomUniform as they come",
            ),
            real(
                "dropout",
                0.0,
                0.5,
                0.2,
                step=0.1,
                limits=(0.0, 0.95),
                help="before each dense layer and the output",
                source="0.5 at most, as in Srivastava et al. 2014; 0.2 as in EfficientNet-B0 (arXiv 1905.11946)",
            ),
            choice(
                "weight_penalty", "none", "l2", help="whether large weights cost", source="none by default, as in Keras"
            ),
            real(
                "l2",
                1e-5,
                1e-1,
                1e-4,
                log=True,
                limits=(1e-8, 10.0),
                when=(When("weight_penalty", ("l2",)),),
                help="strength of the L2 penalty",
                source="1e-4 as in ResNet (arXiv 1512.03385); up to ten times Keras's default 0.01, down to a tenth "
                "of 1e-4",
            ),
            choice(
                "output",
                *outputs,
                help="softmax with categorical, sigmoid with binary cross-entropy",
                source="both ways of two classes; with more classes softmax only",
            ),
            *dimensions.label_smoothing(),
            choice(
                "optimizer",
                "adam",
                "adamw",
                "sgd",
                help="sgd with Nesterov momentum 0.9",
                source="adam: arXiv 1412.6980; adamw: arXiv 1711.05101; sgd's momentum as in ResNet (arXiv 1512.03385)",
            ),
            real(
                "learning_rate",
                1e-4,
                1e-2,
                1e-3,
                log=True,
                limits=(1e-7, 10.0),
                when=(When("optimizer", ("adam", "adamw")),),
                help="of adam and adamw",
                source="Keras's default 0.001, a factor of 10 either way; worth tuning with few images: "
                "arXiv 2108.13122",
            ),
            real(
                "sgd_learning_rate",
                1e-4,
                1e-1,
                1e-2,
                log=True,
                limits=(1e-7, 10.0),
                when=(When("optimizer", ("sgd",)),),
                help="of sgd",
                source="Keras's default 0.01, up to ResNet's 0.1 (arXiv 1512.03385), down to a hundredth",
            ),
            *dimensions.weight_decay(
                4e-3,
                "Keras's default of AdamW 0.004, decoupled (arXiv 1711.05101); the range around it is a guess",
                (When("optimizer", ("adamw",)),),
            ),
            *dimensions.weight_decay(
                4e-3,
                "ResNet's 1e-4 at least (arXiv 1512.03385); 1 at most, since what is decoupled is not multiplied by "
                "momentum: a guess; 0.004 as of adamw",
                (When("optimizer", ("sgd",)),),
                name="sgd_weight_decay",
                most=1.0,
            ),
            choice(
                "schedule",
                *SCHEDULES,
                help="of the learning rate; cosine trains all epochs down to 0 and is judged at the end, "
                "plateau lowers it to 0.3 of itself after 3 epochs without progress",
                source="cosine: arXiv 1608.03983; plateau: Keras's ReduceLROnPlateau, sooner and in smaller steps",
            ),
            choice(
                "batch_size",
                *batches,
                default=min(16, batches[-1]),
                known=(1, 2, 4, 8, 16, 32, 64, 128),
                help="images a step; a single one not with batch normalisation",
                source="practice on small data: a tenth of the images at most; 2 to 32 did best in arXiv 1804.07612",
            ),
            *dimensions.augmentation("none"),
            *dimensions.vertical_flip(facts),
            *dimensions.class_weights(facts),
            *dimensions.ema(),
        )
    )


def network(params: Mapping[str, Value], facts: Facts) -> keras.Model:
    """The model of one point, not compiled.

    Raises ValueError for batch normalisation over batches of one, and for a stride beyond the kernel.
    """
    import keras  # heavy, and only workers build models

    from spaces.presets import parts

    if params["batch_size"] == 1 and params["normalization"] == "batch":
        raise ValueError("batch normalisation needs batches of two or more; batch_size is 1")
    if params["kernel"] == 1 and params["pooling"] == "stride":
        raise ValueError("a stride of 2 needs kernels of 2 or more: kernel is 1")
    dropout, activation = float(params["dropout"]), str(params["activation"])
    x = inputs = keras.Input(facts.shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for depth in range(int(params["conv_depth"])):
        x = _block(x, int(params["filters"]) * int(params["growth"]) ** depth, params)
    x = keras.layers.Flatten()(x) if params["head"] == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    for _ in range(int(params["dense_depth"])):
        x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Dense(int(params["dense_units"]), activation=activation, **_kernel(params))(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, parts.output(x, str(params["output"]), facts.classes))


def optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """The optimizer of one point."""
    import keras

    match params["optimizer"]:
        case "sgd":
            rate, decay = float(params["sgd_learning_rate"]), float(params["sgd_weight_decay"])
            return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
        case "adamw":
            return keras.optimizers.AdamW(float(params["learning_rate"]), weight_decay=float(params["weight_decay"]))
        case _:
            return keras.optimizers.Adam(float(params["learning_rate"]))


def _kernel(params: Mapping[str, Value]) -> dict[str, Any]:
    """Initial weights and penalty; an initializer may serve one layer only, lest two layers begin alike."""
    from spaces.presets import parts

    return {
        "kernel_initializer": parts.initializer(str(params["initializer"])),
        "kernel_regularizer": parts.l2(float(params.get("l2", 0.0))),
    }


def _block(x: Any, filters: int, params: Mapping[str, Value]) -> Any:
    """Convolution, normalisation, activation, and half the map while it has two rows and columns."""
    import keras

    pooling, halve = str(params["pooling"]), min(x.shape[1:3]) > 1
    strides = 2 if pooling == "stride" and halve else 1
    match params["block"]:
        case "residual":
            x = _residual(x, filters, strides, params)
        case "separable":
            x = _activated(_convolved(x, filters, strides, params, separable=True), params)
        case _:
            x = _activated(_convolved(x, filters, strides, params), params)
    if halve and pooling != "stride":
        pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
        x = pool(2)(x)
    return x


def _residual(x: Any, filters: int, strides: int, params: Mapping[str, Value]) -> Any:
    """Two convolutions added to what came in (arXiv 1512.03385), which a 1x1 convolution fits where shapes differ.

    Before it the map is halved by averages (ResNet-D, arXiv 1812.01187): a stride in the 1x1 convolution would drop
    three pixels of four, and on three channels its way back crashes oneDNN (TensorFlow 2.21).
    """
    import keras

    given, channels = x, int(x.shape[-1])
    x = _activated(_convolved(x, filters, strides, params), params)
    x = _convolved(x, filters, 1, params)
    if strides > 1:
        given = keras.layers.AveragePooling2D(strides, padding="same")(given)
    if channels != filters:
        given = keras.layers.Conv2D(filters, 1, **_kernel(params))(given)
    return _activated(keras.layers.Add()([x, given]), params)


def _convolved(x: Any, filters: int, strides: int, params: Mapping[str, Value], *, separable: bool = False) -> Any:
    """One convolution, or one for each channel followed by 1x1 (arXiv 1704.04861); normalised, not yet activated."""
    import keras

    from spaces.presets import parts

    kernel = int(params["kernel"])
    norm = parts.normalization(str(params["normalization"]), filters)
    more: dict[str, Any] = {"strides": strides, "padding": "same", "use_bias": norm is None}
    if separable:
        weights = _kernel(params)
        x = keras.layers.SeparableConv2D(
            filters,
            kernel,
            depthwise_initializer=parts.initializer(str(params["initializer"])),
            pointwise_initializer=weights["kernel_initializer"],
            pointwise_regularizer=weights["kernel_regularizer"],
            **more,
        )(x)
    else:
        x = keras.layers.Conv2D(filters, kernel, **more, **_kernel(params))(x)
    return norm(x) if norm is not None else x


def _activated(x: Any, params: Mapping[str, Value]) -> Any:
    import keras

    return keras.layers.Activation(str(params["activation"]))(x)
