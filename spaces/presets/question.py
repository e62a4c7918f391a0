"""The LeNet of a question that is asked again and again, and every answer to it as another value of a parameter.

"My network stays at accuracy 0.5000 and loss 0.6932, what is wrong?": 110 images of two classes, two
convolutions, four dense layers with tiny uniform initial weights, L2 and dropout, 50 steps an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spaces.facts import Facts
from spaces.parameters import Value, When, choice, integer, real
from spaces.space import Space

if TYPE_CHECKING:
    import keras

SUMMARY = "the LeNet that stays at chance, as asked, and the answers to it"

FILTERS = (6, 16, 32, 64, 64)
DENSE = (128, 64, 64, 64)


def space(facts: Facts) -> Space:
    """The question's model as the default point; sigmoid is there for two classes only."""
    outputs = ("softmax", "sigmoid") if facts.classes == 2 else ("softmax",)
    return Space(
        (
            integer(
                "conv_depth",
                1,
                5,
                2,
                limits=(1, 5),
                help="convolutions of 6, 16, 32, 64, 64 filters",
                source="2 as asked; more, as the answers advised",
            ),
            integer(
                "dense_depth",
                0,
                4,
                4,
                limits=(0, 4),
                help="dense layers of 128, 64, 64, 64 units",
                source="4 as asked; fewer, as the answers advised",
            ),
            choice(
                "head",
                "flatten",
                "global_average",
                help="from feature maps to a vector",
                source="flatten as asked; global_average (arXiv 1312.4400), as the answers advised",
            ),
            choice(
                "initializer",
                "uniform_0.05",
                "glorot_uniform",
                "he_uniform",
                "he_normal",
                "lecun_normal",
                "orthogonal",
                known=("glorot_normal", "lecun_uniform"),
                when=(When("dense_depth", at_least=1),),
                help="initial weights of the dense layers; the question's are uniform in -0.05..0.05",
                source="uniform_0.05 as asked, Keras's RandomUniform; glorot_uniform, Keras's default, was the "
                "answer; others: He 2015 (arXiv 1502.01852), LeCun 1998, orthogonal (arXiv 1312.6120)",
            ),
            real(
                "dropout",
                0.0,
                0.5,
                0.2,
                step=0.1,
                limits=(0.0, 0.95),
                when=(When("dense_depth", at_least=1),),
                help="after each dense layer",
                source="0.2 as asked; none, as the answers advised; 0.5 at most, as in Srivastava et al. 2014",
            ),
            choice(
                "l2",
                0.01,
                0.001,
                0.0001,
                0.0,
                known=(0.1, 0.00001),
                when=(When("dense_depth", at_least=1),),
                help="L2 penalty on the weights of the dense layers",
                source="0.01 as asked, Keras's default; then a tenth of it, a hundredth, none",
            ),
            choice(
                "output",
                *outputs,
                help="softmax with categorical, sigmoid with binary cross-entropy",
                source="softmax as asked; sigmoid for two classes, as the answers advised",
            ),
            choice(
                "batch_size",
                32,
                16,
                8,
                4,
                2,
                1,
                known=(64,),
                help="images a step",
                source="32 as asked, Keras's default; smaller ones, as the answers advised",
            ),
            choice(
                "augmentation",
                "question",
                "none",
                "shift",
                "geometric",
                known=("randaugment", "mixup", "cutmix"),
                help="of training images; the question's is shear 0.2, zoom 0.2 and a flip",
                source="question as asked; shift and geometric add what the answers advised, usual shifts and turns",
            ),
            choice(
                "epoch",
                "50 steps",
                "one pass",
                help="what an epoch is: 50 steps, or every image once",
                source="50 steps as asked; one pass is Keras's default",
            ),
        )
    )


def network(params: Mapping[str, Value], facts: Facts) -> keras.Model:
    """The model of one point, not compiled."""
    import keras  # heavy, and only workers build models

    from spaces.presets import parts

    x = inputs = keras.Input(facts.shape)
    x = keras.layers.Rescaling(1 / 255)(x)
    for filters in FILTERS[: int(params["conv_depth"])]:
        # As asked ('valid', then pooled) while the map is large enough; kept in size where it would vanish.
        padding = "valid" if min(x.shape[1:3]) >= 10 else "same"
        x = keras.layers.Conv2D(filters, 5, padding=padding, activation="relu")(x)
        if min(x.shape[1:3]) >= 2:
            x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x) if params["head"] == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    for units in DENSE[: int(params["dense_depth"])]:
        x = keras.layers.Dense(
            units,
            activation="relu",
            kernel_initializer=parts.initializer(str(params["initializer"])),
            kernel_regularizer=parts.l2(float(params["l2"])),
        )(x)
        x = keras.layers.Dropout(float(params["dropout"]))(x)
    return keras.Model(inputs, parts.output(x, str(params["output"]), facts.classes))


def optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:  # noqa: ARG001
    """Adam as it comes, at every point."""
    import keras

    return keras.optimizers.Adam()
