"""What a trainer reads of the images: pixels, features, or maps of layers that are not trained. For workers only."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.seeds import derive
from search.worker.augmentation import Augmentation
from search.worker.latency import milliseconds_an_image
from search.worker.pixel_range import PixelRange, pixel_range
from spaces.recipe import Recipe

PIECE = 32  # images of one pass through layers that are not trained; part of what decides the last bits of maps


class Inputs(Protocol):
    """Rows of images in, batches out. `batch` and `mirrored` are traced into graphs."""

    pixels: PixelRange
    in_program: bool  # whether batches are the same function of their rows in every epoch, which XLA compiles
    from_images: bool  # whether the model is given images or features; else maps, whose size says nothing of scaling
    latency: float  # milliseconds an image that a prediction takes before the model that is trained

    @property
    def variables(self) -> list[Any]:
        """The states of random generators."""

    def begin(self, epoch: int) -> None:
        """Called before each epoch of training, 0-based."""

    def batch(self, rows: Any, targets: Any, *, training: bool) -> tuple[Any, Any]:
        """(what the model is given of these images, their targets), augmented in training."""

    def mirrored(self, rows: Any, x: Any) -> Any:
        """What the model is given of the mirror images; `x`: of the images themselves."""

    def renew(self, inputs: Any, recipe: Recipe) -> None:
        """Begin anew with what another trainer would be given, and with new random generators."""


def placed(pixels: NDArray[np.uint8], *, gpu: bool | None = None) -> tf.Tensor:
    """Pixels where they are used, one copy for all graphs: uint8 in memory; float16, which is exact, on a GPU.

    GPUs have no kernel that gathers uint8, and each batch would come from the host. `gpu`: as TensorFlow sees it.
    """
    there = bool(tf.config.list_logical_devices("GPU")) if gpu is None else gpu
    return tf.cast(tf.constant(pixels), tf.float16) if there else tf.constant(pixels)


class Pixels:
    """Pixels [images, height, width, channels], 0..255, the same for all fold runs: see `placed`.

    Of a mapped file only the images of a batch are read, which costs time, and no memory.
    """

    from_images, latency = True, 0.0

    def __init__(self, pixels: Any, model: keras.Model, recipe: Recipe) -> None:
        self.in_program = not isinstance(pixels, np.memmap)
        self._pixels = tf.convert_to_tensor(pixels) if self.in_program else pixels
        self._augmentation = Augmentation(recipe) if recipe.augmentation != "none" else None
        self._coloured = self._pixels.shape[-1] == 1 and model.input_shape[-1] == 3
        self.pixels = pixel_range(model)

    @property
    def variables(self) -> list[Any]:
        """As of any inputs."""
        return self._augmentation.variables if self._augmentation else []

    def begin(self, epoch: int) -> None:
        """Nothing: the generators go on."""

    def batch(self, rows: Any, targets: Any, *, training: bool) -> tuple[Any, Any]:
        """As of any inputs."""
        x, y = tf.cast(self._of(rows), tf.float32), targets
        if training and self._augmentation:
            x, y = self._augmentation(x, y)
        if self.pixels.largest == 1:
            x = x / 255
        return tf.image.grayscale_to_rgb(x) if self._coloured else x, y

    def _of(self, rows: Any) -> Any:
        if self.in_program:
            return tf.gather(self._pixels, rows)
        read = tf.numpy_function(lambda rows: np.asarray(self._pixels[rows]), [rows], tf.uint8)
        return tf.ensure_shape(read, (*rows.shape, *self._pixels.shape[1:]))

    def mirrored(self, rows: Any, x: Any) -> Any:  # noqa: ARG002 - as of any inputs
        """As of any inputs."""
        return tf.reverse(x, [2])

    def renew(self, inputs: Any, recipe: Recipe) -> None:  # noqa: ARG002 - the pixels stay
        """As of any inputs."""
        new = Augmentation(recipe).variables if self._augmentation else []
        for variable, value in zip(self.variables, new, strict=True):
            variable.assign(value.value)


class Features:
    """float32 features [images, width], which are standardised for each fold."""

    pixels, in_program, from_images, latency = PixelRange(255), True, True, 0.0

    def __init__(self, features: NDArray[np.float32]) -> None:
        self._features = tf.Variable(features, trainable=False)

    @property
    def variables(self) -> list[Any]:
        """As of any inputs."""
        return []

    def begin(self, epoch: int) -> None:
        """Nothing: they are the same in each epoch."""

    def batch(self, rows: Any, targets: Any, *, training: bool) -> tuple[Any, Any]:  # noqa: ARG002 - not augmented
        """As of any inputs."""
        return tf.gather(self._features, rows), targets

    def mirrored(self, rows: Any, x: Any) -> Any:
        """None: features are averaged over mirror images beforehand. Raises NotImplementedError."""
        raise NotImplementedError("features have no mirror image")

    def renew(self, inputs: Any, recipe: Recipe) -> None:  # noqa: ARG002 - nothing is random
        """As of any inputs."""
        self._features.assign(inputs)


@dataclass(frozen=True)
class Shown:
    """The images that `Maps` shows, and how."""

    pixels: NDArray[np.uint8]  # [images, height, width, channels]
    rows: NDArray[np.int32]  # of those in any fold, ascending
    recipe: Recipe
    epochs: int  # the most of a fold run
    seed: int  # of augmentation

    @property
    def views(self) -> int:
        """How many are kept of each image: as it is, mirrored, and as each epoch shows it."""
        return 2 + (self.epochs if self.recipe.augmentation != "none" else 0)

    def numbers(self, width: int) -> int:
        """How many are kept of all views, `width` of an image."""
        return self.views * len(self.rows) * width

    def view(self, number: int) -> list[Any]:
        """Pieces of at most PIECE images, float32 tensors: those of view `number`."""
        pieces = [self.rows[start : start + PIECE] for start in range(0, len(self.rows), PIECE)]
        images = [tf.cast(tf.constant(self.pixels[rows]), tf.float32) for rows in pieces]
        if number == 0:
            return images
        if number == 1:
            return [tf.reverse(x, [2]) for x in images]
        before = random.getstate()
        random.seed(derive(self.seed, "augmentation", number - 2))  # layers of Keras draw their seeds from it
        augmentation = Augmentation(self.recipe)
        random.setstate(before)
        return [augmentation(x, None)[0] for x in images]


class Maps:
    """What layers that are not trained make of each image in each epoch; computed once for all folds of a trial.

    How an epoch shows an image follows from the seed and the epoch, not from the fold: each fold sees each image
    augmented anew in each epoch, as where maps are computed while training, and all folds see the same.
    """

    pixels, in_program, from_images = PixelRange(255), False, False

    def __init__(self, lower: keras.Model, shown: Shown) -> None:
        """`lower`: from pixels 0..255 to rows of numbers. It is closed: `open` it before anything is read."""
        shape = (None, *lower.input_shape[1:])
        self._lower = tf.function(
            lambda x: tf.cast(lower(x, training=False), tf.float32),
            input_signature=[tf.TensorSpec(shape)],
            autograph=False,
        )
        self.shown, self.latency, self._milliseconds = shown, 0.0, 0.0
        self.width = int(lower.output_shape[-1])
        self._table = tf.Variable(
            np.zeros((0, self.width), np.float32), trainable=False, shape=tf.TensorShape([None, self.width])
        )
        self._places = tf.Variable(np.zeros(len(shown.pixels), np.int32), trainable=False)
        self._images, self._epoch = (tf.Variable(0, trainable=False, dtype=tf.int32) for _ in range(2))
        self._computed: set[int] = set()

    @property
    def numbers(self) -> int:
        """How many it keeps."""
        return self.shown.numbers(self.width)

    @property
    def variables(self) -> list[Any]:
        """As of any inputs: none, since an epoch says what it shows."""
        return []

    def renew(self, inputs: Maps, recipe: Recipe) -> None:  # noqa: ARG002 - it is that of `inputs`
        """As of any inputs; `inputs` are of the same layers."""
        self.show(inputs.shown)

    def show(self, shown: Shown) -> None:
        """Keep the maps of these images, as they are shown there."""
        if shown is not self.shown:
            same = shown.pixels is self.shown.pixels and np.array_equal(shown.rows, self.shown.rows)
            self.shown = shown
            self.open(kept=self._computed & {0, 1} if same else set())

    def open(self, kept: Collection[int] = ()) -> None:
        """Make room, and compute the maps of the images as they are, but for the views `kept`: {0}, {0, 1} or none."""
        self._computed, rows = set(kept), self.shown.rows
        places = np.zeros(len(self.shown.pixels), np.int32)
        places[rows] = np.arange(len(rows))
        self._places.assign(places)
        self._images.assign(len(rows))
        known = tf.identity(self._table[: len(kept) * len(rows)])
        self._table.assign(known)  # first: two tables at once may be too large
        room = self.shown.views * len(rows) - len(known)
        self._table.assign(tf.concat([known, tf.zeros([room, self.width])], 0))
        self._compute(0)
        views = 2 if self.shown.recipe.flip_average else 1
        if not self._milliseconds:
            piece = self.shown.view(0)[-1]
            self._milliseconds = milliseconds_an_image(lambda: self._lower(piece).numpy(), len(piece))
        self.latency = views * self._milliseconds
        if views > 1:
            self._compute(1)

    def begin(self, epoch: int) -> None:
        """As of any inputs."""
        view = 2 + epoch if self.shown.recipe.augmentation != "none" else 0
        self._compute(view)
        self._epoch.assign(view)

    def batch(self, rows: Any, targets: Any, *, training: bool) -> tuple[Any, Any]:
        """As of any inputs."""
        return self._view(self._epoch if training else 0, rows), targets

    def mirrored(self, rows: Any, x: Any) -> Any:  # noqa: ARG002 - as of any inputs
        """As of any inputs."""
        return self._view(1, rows)

    def _view(self, view: Any, rows: Any) -> Any:
        return self._table.sparse_read(view * self._images + tf.gather(self._places, rows))

    def _compute(self, view: int) -> None:
        """Fill the rows of a view, unless that is done."""
        if view in self._computed:
            return
        start = view * len(self.shown.rows)
        for piece in self.shown.view(view):
            places = tf.range(start, start + len(piece))
            self._table.scatter_update(tf.IndexedSlices(self._lower(piece), places))  # in place; a slice copies all
            start += len(piece)
        self._computed.add(view)
