"""The functions that every script has: `script.py` copies their text. So they use nothing of this project.

What they take from their module (`CLASSES`, `HEIGHT`, …) a script has of its own. For scripts and tests only.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

CLASSES: list[str] = []
HEIGHT, WIDTH, CHANNELS = 8, 8, 3
SEED = 0


def read_picture(path: Path) -> Any:
    """[height, width, channels] of 0 to 255: upright, on white where it is transparent, squeezed to the size."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode.startswith("I") or picture.mode == "F":
        sys.exit(f"{path}: has more than 8 bits of grey, which these lines do not read; save it with 8 bits")
    picture = picture.convert("RGBA")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    small = white.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR).convert("RGB" if CHANNELS == 3 else "L")
    return np.asarray(small, np.uint8).reshape(HEIGHT, WIDTH, CHANNELS)


def read_table(table: Path, pictures: Path) -> tuple[Any, Any, Any]:
    """Pixels, class numbers, and the fold of each picture: 'test' for testing, '' for none."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [row["path"] for row in rows if not (pictures / row["path"]).is_file()]
    if missing:
        sys.exit(f"{pictures}: {len(missing)} of {len(rows)} pictures of {table} are not there, such as {missing[0]}")
    pixels = np.stack([read_picture(pictures / row["path"]) for row in rows])
    return pixels, np.array([CLASSES.index(row["class"]) for row in rows]), np.array([row["fold"] for row in rows])


def cosine(step: int, steps: int) -> float:
    """Of the learning rate: from 0 to 1 in the first twentieth of all steps, then half a cosine down to 0."""
    return min(1.0, (step + 1) / max(1.0, 0.05 * steps)) * (1 + math.cos(math.pi * step / steps)) / 2


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate before each step: what the optimizer began with, times `factor(epoch, step, steps)`."""

    def __init__(self, factor: Callable[[int, int, int], float], steps: int, epochs: int) -> None:
        super().__init__()
        self.factor, self.steps, self.all_steps, self.epoch, self.first = factor, steps, steps * epochs, 0, 0.0

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras's
        self.first = float(self.model.optimizer.learning_rate)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's
        factor = self.factor(self.epoch, self.epoch * self.steps + batch, self.all_steps)
        self.model.optimizer.learning_rate = self.first * factor


def balanced_weights(y: Any) -> Any:
    """[classes] weights by which each class counts the same; their mean over all pictures is 1."""
    counts = np.bincount(y, minlength=len(CLASSES))
    return (len(y) / (counts > 0).sum() / np.maximum(counts, 1)).astype("float32")


def fit(  # noqa: PLR0913 - as many as Keras's own
    network: Any,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int,
    steps: int | None = None,
    augment: Any = None,
    factor: Any = None,
    balanced: bool = False,
    scale: float = 1.0,
    numbers: bool = False,
    callbacks: Any = (),
) -> None:
    """Train a compiled network.

    `steps`: batches an epoch; None: every picture once. `scale`: what pixels are multiplied by, after `augment`.
    `numbers`: whether its loss wants numbers of classes.
    """
    single = network.output_shape[-1] == 1
    targets = y[:, None].astype("float32") if single or numbers else np.eye(len(CLASSES), dtype="float32")[y]
    data = tf.data.Dataset.from_tensor_slices((x, targets)).shuffle(len(x), seed=SEED).batch(batch_size)
    data = data.map(lambda images, wanted: (tf.cast(images, tf.float32), wanted))
    if augment is not None:
        data = data.map(augment)
    if balanced:
        weights = tf.constant(balanced_weights(y))

        def weighed(images: Any, wanted: Any) -> Any:
            shares = tf.concat([1 - wanted, wanted], axis=1) if single else wanted
            return images, wanted, tf.linalg.matvec(shares, weights)

        data = data.map(weighed)
    if scale != 1:
        data = data.map(lambda images, *others: (images * scale, *others))
    in_an_epoch = steps or math.ceil(len(x) / batch_size)
    callbacks = [*callbacks, *([] if factor is None else [LearningRate(factor, in_an_epoch, epochs)])]
    data = data.repeat() if steps else data
    how = {"callbacks": callbacks, "shuffle": False, "verbose": 0}  # it is shuffled above
    network.fit(data.prefetch(2), epochs=epochs, steps_per_epoch=steps, **how)


def from_pixels(network: Any, *, mirror: bool = False, scale: float = 1.0, logits: bool = False) -> Any:
    """A model from pixels 0 to 255 to a probability of each class.

    `mirror`: the mean with the mirror image. `scale`: what the network's pixels are multiplied by. `logits`: whether
    it answers what a softmax or sigmoid makes probabilities of.
    """
    inputs = keras.Input((HEIGHT, WIDTH, CHANNELS))
    x = inputs if scale == 1 else inputs * scale
    answer = network(x, training=False)
    if logits:
        answer = keras.ops.sigmoid(answer) if answer.shape[-1] == 1 else keras.ops.softmax(answer)
    if mirror:
        answer = (answer + network(keras.ops.flip(inputs, axis=2), training=False)) / 2
    if answer.shape[-1] == 1:  # one unit says the probability of the second class
        answer = keras.ops.concatenate([1 - answer, answer], axis=1)
    return keras.Model(inputs, answer)


def load_backbone(path: Path, sha256: str) -> Any:
    """The pre-trained network, from three colours of 0 to 255 to its maps, if its file is the one that it was."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        sys.exit(f"{path} is not the file that was written with this script")
    return keras.saving.load_model(path, compile=False)


def enlarged(inputs: Any, side: int) -> Any:
    """Pictures as the pre-trained network sees them: square, and in three colours."""
    x = keras.layers.Concatenate()([inputs, inputs, inputs]) if CHANNELS == 1 else inputs
    return keras.ops.image.resize(x, (side, side), interpolation="bilinear", antialias=True)


def pooled(maps: Any, *, last: bool) -> Any:
    """The mean over each map of the pre-trained network, or over its last one."""
    maps = maps if isinstance(maps, list) else [maps]
    means = [keras.layers.GlobalAveragePooling2D()(one) for one in (maps[-1:] if last else maps)]
    return keras.layers.Concatenate()(means) if len(means) > 1 else means[0]


def features_of(backbone: Any, side: int, *, last: bool, mirror: bool = False) -> Any:
    """A model from pixels 0 to 255 to features; `mirror`: the mean with those of the mirror image."""
    inputs = keras.Input((HEIGHT, WIDTH, CHANNELS))
    x = enlarged(inputs, side)
    features = pooled(backbone(x, training=False), last=last)
    if mirror:
        features = (features + pooled(backbone(keras.ops.flip(x, axis=2), training=False), last=last)) / 2
    return keras.Model(inputs, features)


def standardized(features: Any) -> tuple[Any, Any, Any]:
    """The features with mean 0 and deviation 1, and the mean and deviation that they had."""
    mean, deviation = features.mean(axis=0, dtype="float64"), features.std(axis=0, dtype="float64")
    deviation[deviation < 1e-6] = 1.0
    return ((features - mean) / deviation).astype("float32"), mean, deviation


def logistic_regression(x: Any, y: Any, c: float, *, balanced: bool = False) -> tuple[Any, Any]:
    """The weights [width, classes] and biases [classes] that minimise c * cross-entropy + |weights|^2 / 2.

    By accelerated gradient descent, which begins anew where it overshoots; the minimum is the only one. With two
    classes it is the usual form with one vector of weights, which is the difference of the two here.
    """
    classes = len(CLASSES)
    counts = balanced_weights(y)[y] if balanced else np.ones(len(y))
    x = np.hstack([x, np.ones((len(x), 1))]).astype("float64")
    wanted = np.eye(classes)[y]
    penalty = np.full((x.shape[1], 1), 2.0 if classes == 2 else 1.0)
    penalty[-1] = 0.0  # not of the biases
    step = 1 / (0.5 * c * counts.max() * np.linalg.norm(x, 2) ** 2 + penalty.max())
    weights = ahead = np.zeros((x.shape[1], classes))
    speed = 1.0
    for _ in range(20_000):
        scores = x @ ahead
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        slope = c * x.T @ (counts[:, None] * (shares - wanted)) + penalty * ahead
        if np.abs(slope).max() < 1e-4 * max(1.0, c):
            break
        before, weights = weights, ahead - step * slope
        if (slope * (weights - before)).sum() > 0:
            speed = 1.0
        faster = (1 + math.sqrt(1 + 4 * speed**2)) / 2
        ahead, speed = weights + (speed - 1) / faster * (weights - before), faster
    return ahead[:-1], ahead[-1]


def with_head(seen: Any, mean: Any, deviation: Any, head: Any) -> Any:
    """A model of what it sees, standardised, and a head on that."""
    x = (seen.output - mean.astype("float32")) / deviation.astype("float32")
    return keras.Model(seen.inputs, head(x, training=False))


def linear(weights: Any, biases: Any) -> Any:
    """A head that is a logistic regression."""
    head = keras.Sequential([keras.Input((len(weights),)), keras.layers.Dense(len(CLASSES), activation="softmax")])
    head.set_weights([weights.astype("float32"), biases.astype("float32")])
    return head


def begin_with_regression(network: Any, features: Any, y: Any, c: float, *, balanced: bool) -> None:
    """Give the layer 'output' of a network the weights of a logistic regression on features as they are."""
    mean, deviation = features.mean(axis=0, dtype="float64"), features.std(axis=0, dtype="float64")
    deviation = np.hypot(deviation, 0.3 * np.sqrt(np.mean(deviation**2))) + 1e-9
    weights, biases = logistic_regression((features - mean) / deviation, y, c, balanced=balanced)
    biases = biases - (weights * (mean / deviation)[:, None]).sum(axis=0)
    network.get_layer("output").set_weights([weights / deviation[:, None], biases])


class SupportVectors:
    """A support vector machine of scikit-learn on features; its scores become probabilities by sigmoids."""

    def __init__(self, seen: Any, x: Any, y: Any, c: float, gamma: float, *, balanced: bool) -> None:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import StratifiedKFold
        from sklearn.svm import SVC

        features, self.mean, self.deviation = standardized(seen.predict(x, batch_size=64, verbose=0))
        folds = StratifiedKFold(min(3, np.bincount(y).min()), shuffle=True, random_state=SEED)
        machine = SVC(C=c, gamma=gamma / features.shape[1])
        self.head = CalibratedClassifierCV(machine, method="sigmoid", cv=folds, ensemble=False)
        self.head.fit(features, y, sample_weight=balanced_weights(y)[y] if balanced else None)
        self.seen = seen

    def predict(self, x: Any, batch_size: int = 64, verbose: int = 0) -> Any:
        """[pictures, classes] probabilities."""
        features = self.seen.predict(x, batch_size=batch_size, verbose=verbose)
        return self.head.predict_proba(((features - self.mean) / self.deviation).astype("float32"))


class Values:
    """In place of Keras Tuner's `hp`: every parameter has the value of the winner."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.scopes: list[str] = []

    def get(self, name: str) -> Any:
        return self.values["/".join([*self.scopes, name])]

    def Int(self, name: str, *_: Any, **__: Any) -> Any:  # noqa: N802 - Keras Tuner's name
        return self.get(name)

    Float = Choice = Boolean = Int

    def Fixed(self, name: str, value: Any, **_: Any) -> Any:  # noqa: ARG002, N802 - Keras Tuner's
        return value

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        self.scopes.append(name)
        yield
        self.scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, *_: Any, **__: Any) -> Iterator[None]:
        yield


def load_own(path: Path) -> Any:
    """Your file as a module, run anew: what it makes outside of its builder is new too."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_own(module: Any, name: str, hp: Values) -> Any:
    """The model that your builder makes, compiled."""
    builder = getattr(module, name)
    builder = builder() if isinstance(builder, type) else builder
    network = getattr(builder, "build", builder)(hp)
    if not network.built:
        network.build((None, HEIGHT, WIDTH, CHANNELS))
    if not network.compiled:
        single = network.output_shape[-1] == 1
        network.compile("adam", "binary_crossentropy" if single else "categorical_crossentropy")
    return network


def mean_of(models: list[tuple[Any, float]], x: Any) -> Any:
    """[pictures, classes]: the weighted mean of what several models say."""
    return sum(weight * model.predict(x, batch_size=64, verbose=0) for model, weight in models)


def report(what: str, answers: Any, y: Any) -> float:
    """Print how good probabilities are; returns the balanced accuracy: the mean share that is right of each class."""
    right = answers.argmax(axis=1) == y
    balanced = float(np.mean([right[y == label].mean() for label in np.unique(y)]))
    loss = float(-np.log(np.maximum(answers[np.arange(len(y)), y], 1e-7)).mean())
    print(f"{what}: balanced accuracy {balanced:.4f}, accuracy {right.mean():.4f}, log loss {loss:.4f}")  # noqa: T201
    return balanced


def save(models: list[tuple[Any, float]], path: Path) -> None:
    """Write several models as one Keras file, if they are models of Keras."""
    if any(not isinstance(model, keras.Model) for model, _ in models):
        print("no file is written: a support vector machine is no model of Keras")  # noqa: T201 - of a script
        return
    inputs = keras.Input((HEIGHT, WIDTH, CHANNELS))
    answers = [weight * model(inputs, training=False) for model, weight in models]
    keras.Model(inputs, sum(answers[1:], answers[0])).save(path)
    print(f"wrote {path}")  # noqa: T201
