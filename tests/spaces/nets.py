"""Builders as people write them for Keras Tuner, as text: tests write them to files and search them."""

GUIDE = '''
import keras


def build(hp):
    """The shape of Keras Tuner's getting-started guide: layers in a loop, a choice, a boolean, a learning rate."""
    model = keras.Sequential()
    model.add(keras.layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            keras.layers.Dense(
                units=hp.Int(f"units_{i}", min_value=32, max_value=512, step=32),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(rate=0.25))
    model.add(keras.layers.Dense(2, activation="softmax"))
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
'''

FAMILIES = '''
import keras


def build(hp):
    """Two families in conditional scopes, a float under a boolean, batch size and epochs among the parameters."""
    inputs = x = keras.Input((8, 8, 1))
    kind = hp.Choice("model_type", ["mlp", "cnn"])
    with hp.conditional_scope("model_type", ["mlp"]):
        if kind == "mlp":
            x = keras.layers.Flatten()(x)
            x = keras.layers.Dense(hp.Int("units", 8, 32, step=8, default=16), activation="relu")(x)
    with hp.conditional_scope("model_type", ["cnn"]):
        if kind == "cnn":
            with hp.name_scope("cnn"):
                x = keras.layers.Conv2D(hp.Int("filters", 4, 16, step=2, sampling="log"), 3, activation="relu")(x)
            x = keras.layers.GlobalAveragePooling2D()(x)
    if hp.Boolean("drop", default=True):
        x = keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1))(x)
    hp.Choice("batch_size", [4, 8])
    hp.Fixed("epochs", 2)
    assert hp.get("model_type") == hp.values["model_type"]
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
'''

HYPERMODEL = """
import keras
import keras_tuner


class Net(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
        model.add(keras.layers.Dense(hp.Int("units", 8, 16), activation="relu"))
        model.add(keras.layers.Dense(2))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        return model
"""

OWN_FIT = (
    HYPERMODEL
    + """
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)
"""
)

NEEDS_TWO = '''
import keras


def build(hp):
    """A parameter that is there only where two others are both away from their defaults."""
    deep, wide = hp.Boolean("deep"), hp.Boolean("wide")
    units = hp.Int("units", 8, 16) if deep and wide else 8
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(2, "softmax")])
'''

SUBCLASSED = """
import keras


class Net(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.inner = keras.layers.Dense(units, activation="relu")
        self.outer = keras.layers.Dense(2, activation="softmax")

    def call(self, images, training=False):
        return self.outer(self.inner(self.flatten(images)))


def build(hp):
    model = Net(hp.Int("units", 4, 8))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""

ANNOTATED = """
from __future__ import annotations

from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Config:
    units: int


def build(hp):
    units = Config(hp.Int("units", 4, 8)).units
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(2, "softmax")])
"""

IMPORTS_BESIDE = """
import helpers


def build(hp):
    return helpers.net(hp)
"""

HELPERS = """
import keras


def net(hp):
    import later  # looked for only now, as the builder runs

    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(later.CLASSES, "softmax")])
"""

WITH_ARGUMENTS = """
import keras
import keras_tuner


class Net(keras_tuner.HyperModel):
    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def build(self, hp):
        units = hp.Int("units", 4, 8)
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(self.classes)])


net = Net(2)
"""


def simple(body: str) -> str:
    """A builder whose body is this text."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"import keras\n\n\ndef build(hp):\n{lines}\n"
