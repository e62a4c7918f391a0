"""Builders in the manner of Keras Tuner's guides and of the image classification examples of keras.io, as texts.

They are written anew, for pictures of 32 x 32 x 3 and three classes, with random weights instead of downloaded ones.
docs/own-models.md lists them.
"""

from tests.spaces import nets

CALLS_EXISTING_CODE = """
import keras
from keras import layers


def call_existing_code(units, activation, dropout, lr):
    model = keras.Sequential()
    model.add(layers.Flatten())
    model.add(layers.Dense(units=units, activation=activation))
    if dropout:
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=lr), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def build_model(hp):
    units = hp.Int("units", min_value=32, max_value=512, step=32)
    activation = hp.Choice("activation", ["relu", "tanh"])
    dropout = hp.Boolean("dropout")
    lr = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    return call_existing_code(units=units, activation=activation, dropout=dropout, lr=lr)
"""

TUNED_FIT = """
import keras
import keras_tuner
from keras import layers


class MyHyperModel(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential()
        model.add(layers.Flatten())
        model.add(layers.Dense(units=hp.Int("units", min_value=32, max_value=128, step=32), activation="relu"))
        model.add(layers.Dense(3, activation="softmax"))
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)
"""

DISTRIBUTED = """
import keras
from keras import layers


def build_model(hp):
    inputs = keras.Input(shape=(32, 32, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.Rescaling(1 / 255)(x)
    for i in range(hp.Int("conv_layers", 1, 3, default=2)):
        x = layers.Conv2D(
            filters=hp.Int("filters_" + str(i), 4, 16, step=4, default=8),
            kernel_size=hp.Int("kernel_size_" + str(i), 3, 5),
            activation="relu",
            padding="same",
        )(x)
        if hp.Choice("pooling" + str(i), ["max", "avg"]) == "max":
            x = layers.MaxPooling2D()(x)
        else:
            x = layers.AveragePooling2D()(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    if hp.Choice("global_pooling", ["max", "avg"]) == "max":
        x = layers.GlobalMaxPooling2D()(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    optimizer = hp.Choice("optimizer", ["adam", "sgd"])
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

FAILED_TRIALS = """
import keras
import keras_tuner
from keras import layers


def build_model(hp):
    model = keras.Sequential()
    model.add(keras.Input(shape=(32, 32, 3)))
    model.add(layers.Flatten())
    for i in range(hp.Int("layers", 1, 2)):
        model.add(layers.Dense(units=hp.Choice(f"units_{i}", [16, 1024]), activation="relu"))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(loss="categorical_crossentropy")
    if model.count_params() > 2_000_000:
        raise keras_tuner.errors.FailedTrialError("Model too large! It contains more than 2 million params.")
    return model
"""

CUSTOM_METRIC = """
import keras
import keras_tuner
from keras import layers, ops


class CustomMetric(keras.metrics.Metric):
    def __init__(self, **kwargs):
        super().__init__(name="custom_metric", **kwargs)
        self.sum = self.add_weight(name="sum", initializer="zeros")
        self.count = self.add_weight(name="count", dtype="int32", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.sum.assign_add(ops.sum(ops.square(y_true - y_pred)))
        self.count.assign_add(ops.shape(y_true)[0])

    def result(self):
        return self.sum / ops.cast(self.count, "float32")

    def reset_state(self):
        self.sum.assign(0)
        self.count.assign(0)


class HyperClassifier(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 8, 32, step=8), activation="relu")])
        model.add(layers.Dense(3, activation="softmax"))
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=[CustomMetric()])
        return model


def callbacks(hp):
    return [keras.callbacks.EarlyStopping("val_custom_metric", mode="min", patience=2)]


build_model = HyperClassifier()
"""

FROM_SCRATCH = """
import keras
from keras import layers


def make_model(input_shape, num_classes, sizes):
    inputs = keras.Input(shape=input_shape)
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomRotation(0.1)(x)
    x = layers.Rescaling(1.0 / 255)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x
    for size in sizes:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(size, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x
    x = layers.SeparableConv2D(32, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.25)(x)
    outputs = layers.Dense(1 if num_classes == 2 else num_classes, activation=None)(x)
    return keras.Model(inputs, outputs)


def build_model(hp):
    model = make_model((32, 32, 3), 3, [8, 16][: hp.Int("blocks", 1, 2)])
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Choice("rate", [3e-4, 1e-3])),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="acc")],
    )
    return model


def callbacks(hp):
    return [keras.callbacks.ModelCheckpoint("save_at_{epoch}.keras")]
"""

CONVNET = """
import keras
from keras import layers


def build_model(hp):
    model = keras.Sequential(
        [
            keras.Input(shape=(32, 32, 3)),
            layers.Conv2D(hp.Choice("filters", [8, 16]), kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(16, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model
"""

TF_TUTORIAL = """
import tensorflow as tf


def build_model(hp):
    model = tf.keras.Sequential([
        tf.keras.layers.Rescaling(1./255, input_shape=(32, 32, 3)),
        tf.keras.layers.Conv2D(8, 3, padding='same', activation='relu'),
        tf.keras.layers.MaxPooling2D(),
        tf.keras.layers.Conv2D(16, 3, padding='same', activation='relu'),
        tf.keras.layers.MaxPooling2D(),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(hp.Int('units', 16, 64, step=16), activation='relu'),
        tf.keras.layers.Dense(3)
    ])
    model.compile(optimizer='adam',
                  loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=['accuracy'])
    return model
"""

TRANSFER_IN_BUILD = """
import keras


def build_model(hp):
    base_model = keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(32, 32, 3), include_top=False)
    base_model.trainable = hp.Boolean("trainable", default=True)
    inputs = keras.Input(shape=(32, 32, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(x)
    x = base_model(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    outputs = keras.layers.Dense(3)(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-5),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy()],
    )
    return model
"""

TRANSFER_AT_MODULE_LEVEL = """
import tensorflow as tf

preprocess_input = tf.keras.applications.mobilenet_v2.preprocess_input
data_augmentation = tf.keras.Sequential([
    tf.keras.layers.RandomFlip('horizontal'),
    tf.keras.layers.RandomRotation(0.2),
])
base_model = tf.keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
base_model.trainable = False
global_average_layer = tf.keras.layers.GlobalAveragePooling2D()
prediction_layer = tf.keras.layers.Dense(3, activation='softmax')


def build_model(hp):
    inputs = tf.keras.Input(shape=(32, 32, 3))
    x = data_augmentation(inputs)
    x = preprocess_input(x)
    x = base_model(x, training=False)
    x = global_average_layer(x)
    x = tf.keras.layers.Dropout(hp.Choice('dropout', [0.2, 0.4]))(x)
    outputs = prediction_layer(x)
    model = tf.keras.Model(inputs, outputs)
    model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate=0.0001),
                  loss=tf.keras.losses.CategoricalCrossentropy(),
                  metrics=[tf.keras.metrics.CategoricalAccuracy(name='accuracy')])
    return model
"""

EFFICIENTNET = """
import keras
from keras import layers
from keras.applications import EfficientNetB0


def build_model(hp):
    inputs = layers.Input(shape=(32, 32, 3))
    model = EfficientNetB0(include_top=False, input_tensor=inputs, weights=None)
    model.trainable = False
    x = layers.GlobalAveragePooling2D(name="avg_pool")(model.output)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2, name="top_dropout")(x)
    outputs = layers.Dense(3, activation="softmax", name="pred")(x)
    model = keras.Model(inputs, outputs, name="EfficientNet")
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Choice("rate", [1e-2, 1e-3])),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
"""

VIT = """
import keras
from keras import layers, ops


def mlp(x, hidden_units, dropout_rate):
    for units in hidden_units:
        x = layers.Dense(units, activation=keras.activations.gelu)(x)
        x = layers.Dropout(dropout_rate)(x)
    return x


class Patches(layers.Layer):
    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        batch_size, height, width, channels = ops.shape(images)
        patches = ops.image.extract_patches(images, size=self.patch_size)
        count = (height // self.patch_size) * (width // self.patch_size)
        return ops.reshape(patches, (batch_size, count, self.patch_size * self.patch_size * channels))


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(input_dim=num_patches, output_dim=projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(start=0, stop=self.num_patches, step=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


def build_model(hp):
    inputs = keras.Input(shape=(32, 32, 3))
    augmented = layers.RandomFlip("horizontal")(layers.Normalization(mean=118.0, variance=4000.0)(inputs))
    encoded_patches = PatchEncoder(16, 8)(Patches(8)(augmented))
    for _ in range(hp.Int("transformer_layers", 1, 2)):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
        attention_output = layers.MultiHeadAttention(num_heads=2, key_dim=8, dropout=0.1)(x1, x1)
        x2 = layers.Add()([attention_output, encoded_patches])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        x3 = mlp(x3, hidden_units=[16, 8], dropout_rate=0.1)
        encoded_patches = layers.Add()([x3, x2])
    representation = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
    representation = layers.Dropout(0.5)(layers.Flatten()(representation))
    features = mlp(representation, hidden_units=[32, 16], dropout_rate=0.5)
    model = keras.Model(inputs=inputs, outputs=layers.Dense(3)(features))
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseTopKCategoricalAccuracy(2, name="top-2-accuracy"),
        ],
    )
    return model


def callbacks(hp):
    return [keras.callbacks.EarlyStopping("val_top-2-accuracy", patience=5, restore_best_weights=True)]
"""

MLP_MIXER = """
import keras
from keras import layers


class MLPMixerLayer(layers.Layer):
    def __init__(self, num_patches, hidden_units, dropout_rate, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mlp1 = keras.Sequential(
            [
                layers.Dense(units=num_patches, activation="gelu"),
                layers.Dense(units=num_patches),
                layers.Dropout(dropout_rate),
            ]
        )
        self.mlp2 = keras.Sequential(
            [
                layers.Dense(units=num_patches, activation="gelu"),
                layers.Dense(units=hidden_units),
                layers.Dropout(dropout_rate),
            ]
        )
        self.normalize = layers.LayerNormalization(epsilon=1e-6)

    def build(self, input_shape):
        return super().build(input_shape)

    def call(self, inputs):
        x = self.normalize(inputs)
        x_channels = keras.ops.transpose(x, axes=(0, 2, 1))
        mlp1_outputs = self.mlp1(x_channels)
        mlp1_outputs = keras.ops.transpose(mlp1_outputs, axes=(0, 2, 1))
        x = mlp1_outputs + inputs
        x_patches = self.normalize(x)
        return x + self.mlp2(x_patches)


def build_model(hp):
    inputs = layers.Input(shape=(32, 32, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(8, kernel_size=8, strides=8, padding="valid")(x)
    x = layers.Reshape((16, 8))(x)
    blocks = [MLPMixerLayer(16, 8, 0.2) for _ in range(hp.Int("num_blocks", 1, 2))]
    x = keras.Sequential(blocks)(x)
    representation = layers.GlobalAveragePooling1D()(x)
    representation = layers.Dropout(rate=0.2)(representation)
    logits = layers.Dense(3)(representation)
    model = keras.Model(inputs=inputs, outputs=logits)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.005),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    return model


def callbacks(hp):
    return [keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=5)]
"""

CONVMIXER = """
import keras
from keras import layers


def activation_block(x):
    x = layers.Activation("gelu")(x)
    return layers.BatchNormalization()(x)


def conv_mixer_block(x, filters, kernel_size):
    x0 = x
    x = layers.DepthwiseConv2D(kernel_size=kernel_size, padding="same")(x)
    x = layers.Add()([activation_block(x), x0])
    x = layers.Conv2D(filters, kernel_size=1)(x)
    return activation_block(x)


def build_model(hp):
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(scale=1.0 / 255)(inputs)
    x = layers.Conv2D(8, kernel_size=2, strides=2)(x)
    x = activation_block(x)
    for _ in range(hp.Int("depth", 1, 2)):
        x = conv_mixer_block(x, 8, 5)
    x = layers.GlobalAvgPool2D()(x)
    outputs = layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
"""

ORDINARY_SCRIPT = """
import keras
import keras_tuner as kt
import numpy as np

x_train, y_train = np.random.rand(8, 32, 32, 3), np.eye(3)[np.zeros(8, int)]


def build_model(hp):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(hp.Int("units", 8, 16), "relu")])
    model.add(keras.layers.Dense(3, "softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


tuner = kt.RandomSearch(build_model, objective="val_accuracy", max_trials=2, directory="FOLDER", overwrite=True)
tuner.search(x_train, y_train, epochs=1, validation_split=0.5)
"""

PREMADE = """
import keras_tuner

build_model = keras_tuner.applications.HyperXception(input_shape=(32, 32, 3), classes=3)
"""
"""A tunable application of Keras Tuner. Its networks are large, so nothing is trained in the test."""

RUN = {
    "Getting started": nets.GUIDE.replace("def build(", "def build_model(").replace("Dense(2", "Dense(3"),
    "Getting started: existing code": CALLS_EXISTING_CODE,
    "Distributed tuning": DISTRIBUTED,
    "Handling failed trials": FAILED_TRIALS,
    "Custom metric": CUSTOM_METRIC,
    "Image classification from scratch": FROM_SCRATCH,
    "Simple convnet": CONVNET,
    "TensorFlow's image classification": TF_TUTORIAL,
    "Transfer learning and fine-tuning": TRANSFER_IN_BUILD,
    "TensorFlow's transfer learning": TRANSFER_AT_MODULE_LEVEL,
    "EfficientNet": EFFICIENTNET,
    "Vision Transformer": VIT,
    "MLP-Mixer": MLP_MIXER,
    "ConvMixer": CONVMIXER,
}
"""Those that run unchanged, by the names that docs/own-models.md has."""

FAILS_AT_POINTS = {
    "Handling failed trials": "FailedTrialError: Model too large!",
    "Distributed tuning": "net.py, line 20: TypeError: AveragePooling2D.__init__() missing 1 required",
}
"""Those that fail at some points by themselves, and what is said: the second calls a layer as Keras 2 let it."""

REFUSED = {
    "Tuning `fit` of a HyperModel": (
        TUNED_FIT.replace("class MyHyperModel", "class build_model"),
        "has its own `fit`, which cannot be used",
    ),
    "A script that searches": (
        ORDINARY_SCRIPT,
        "net.py trains when it is loaded (line 17: tuner.search), and every fold loads it: put that under "
        '`if __name__ == "__main__":`',
    ),
}
"""Those that are refused, and what is said."""
