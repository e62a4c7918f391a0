"""Those of keras.applications that do well on few images, with weights from a file: of the user's, or Keras's own.

The stages end where the map is about to be halved, or at the widest one of each size; their maps, pooled, are features.
Each network scales its own input as it was trained: within the architecture where Keras has put it there, else in front
of it, as its `preprocess_input` does (keras/src/applications/imagenet_utils.py).
"""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.backbones import Backbone, BackboneError
from spaces.backbones.h5_file import Shape, digest, shapes
from spaces.layers import Layer

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Stage:
    """Layers in a row that end in a map."""

    before: str  # the layer that follows the map; '' where the network ends
    stride: int  # pixels of the image from one place of the map to the next
    width: int  # channels of the map
    parameters: int


@dataclass(frozen=True)
class Architecture:
    """A network of keras.applications without its classes."""

    title: str
    function: str  # of keras.applications
    scaling: str  # 'inside' it, or that of imagenet_utils: 'tf', 'torch', 'caffe'
    blocks: str  # what its stages are made of
    licence: str  # as Keras's documentation says of the weights; '(of the original)': it says only where they are from
    kept: int  # see `Backbone.kept`
    file: str  # as Keras names it in its cache: weights of ImageNet without the classes
    shapes: str  # `fingerprint` of its weights
    stages: tuple[Stage, ...]
    topped: bool = False  # whether the last one is a single convolution, on top of the last block

    @property
    def parameters(self) -> int:
        """All its weights, those that remember means and variances too."""
        return sum(stage.parameters for stage in self.stages)


ARCHITECTURES: dict[str, Architecture] = {
    "convnext_tiny": Architecture(
        *("ConvNeXt-Tiny", "ConvNeXtTiny", "inside", "ConvNeXt blocks", "MIT (of the original)", 85),
        *("convnext_tiny_notop.h5", "7521f1fbcefd9fcd"),
        (
            Stage("convnext_tiny_downsampling_block_0", 4, 96, 242_784),
            Stage("convnext_tiny_downsampling_block_1", 8, 192, 992_256),
            Stage("convnext_tiny_downsampling_block_2", 16, 384, 11_112_960),
            Stage("", 32, 768, 15_472_128),
        ),
    ),
    "convnext_base": Architecture(  # first trained on ImageNet-21k, as Keras says of its weights
        *("ConvNeXt-Base", "ConvNeXtBase", "inside", "ConvNeXt blocks", "MIT (of the original)", 160),
        *("convnext_base_notop.h5", "6f7abe6e12f077f3"),
        (
            Stage("convnext_base_downsampling_block_0", 4, 128, 422_016),
            Stage("convnext_base_downsampling_block_1", 8, 256, 1_748_992),
            Stage("convnext_base_downsampling_block_2", 16, 512, 57_950_208),
            Stage("", 32, 1024, 27_445_248),
        ),
    ),
    "efficientnetv2_b0": Architecture(
        *("EfficientNetV2-B0", "EfficientNetV2B0", "inside", "MBConv blocks", "Apache-2.0 (of the original)", 36),
        *("efficientnetv2-b0_notop.h5", "fd929bb36af22cd1"),
        (
            Stage("block2a_expand_conv", 2, 16, 5_664),
            Stage("block3a_expand_conv", 4, 32, 53_248),
            Stage("block4a_expand_conv", 8, 48, 136_832),
            Stage("block5a_expand_conv", 16, 96, 235_068),
            Stage("block6a_expand_conv", 16, 112, 961_224),
            Stage("top_conv", 32, 192, 4_276_396),
            Stage("", 32, 1280, 250_880),
        ),
        topped=True,
    ),
    "efficientnetv2_s": Architecture(
        *("EfficientNetV2-S", "EfficientNetV2S", "inside", "MBConv blocks", "Apache-2.0 (of the original)", 60),
        *("efficientnetv2-s_notop.h5", "88bc960a2961956b"),
        (
            Stage("block2a_expand_conv", 2, 24, 11_304),
            Stage("block3a_expand_conv", 4, 48, 305_280),
            Stage("block4a_expand_conv", 8, 64, 591_616),
            Stage("block5a_expand_conv", 16, 128, 930_480),
            Stage("block6a_expand_conv", 16, 160, 3_500_512),
            Stage("top_conv", 32, 256, 14_659_368),
            Stage("", 32, 1280, 332_800),
        ),
        topped=True,
    ),
    "mobilenetv3_large": Architecture(
        *("MobileNetV3-Large", "MobileNetV3Large", "inside", "MBConv blocks", "Apache-2.0 (of the original)", 35),
        *("weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "5a742186e40000b5"),
        (
            Stage("expanded_conv_1_expand", 2, 16, 1_024),
            Stage("expanded_conv_3_expand", 4, 24, 8_520),
            Stage("expanded_conv_6_expand", 8, 40, 53_800),
            Stage("expanded_conv_10_expand", 16, 80, 134_696),
            Stage("expanded_conv_12_expand", 16, 112, 605_600),
            Stage("conv_1", 32, 160, 2_035_272),
            Stage("", 32, 960, 157_440),
        ),
        topped=True,
    ),
    "densenet121": Architecture(
        *("DenseNet121", "DenseNet121", "torch", "dense blocks", "BSD-3-Clause", 20),
        *("densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5", "c4d5a2ca17690dd6"),
        (
            Stage("pool2_conv", 4, 256, 348_992),
            Stage("pool3_conv", 8, 512, 964_864),
            Stage("pool4_conv", 16, 1024, 3_009_024),
            Stage("", 32, 1024, 2_714_624),
        ),
    ),
    "resnet50v2": Architecture(
        *("ResNet50V2", "ResNet50V2", "tf", "residual blocks", "BSD-3-Clause", 39),
        *("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "638a17600e01fc4e"),
        (
            Stage("conv3_block1_1_conv", 8, 256, 228_352),
            Stage("conv4_block1_1_conv", 16, 512, 1_227_264),
            Stage("conv5_block1_1_conv", 32, 1024, 7_121_920),
            Stage("", 32, 2048, 14_987_264),
        ),
    ),
    "vgg16": Architecture(
        *("VGG16", "VGG16", "caffe", "Conv2D", "CC-BY-4.0", 18),
        *("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "0d6fe7d1e2aa3f8f"),
        (
            Stage("block2_conv1", 2, 64, 38_720),
            Stage("block3_conv1", 4, 128, 221_440),
            Stage("block4_conv1", 8, 256, 1_475_328),
            Stage("block5_conv1", 16, 512, 5_899_776),
            Stage("", 32, 512, 7_079_424),
        ),
    ),
}

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, red, green, blue, 0..1
CAFFE_MEAN = (123.68, 116.779, 103.939)  # red, green, blue, 0..255


@dataclass(frozen=True)
class Application(Backbone):
    """One of `ARCHITECTURES`, with its weights in a file."""

    path: Path  # absolute, .h5

    @property
    def source(self) -> str:
        """As of any backbone."""
        return str(self.path)

    @property
    def licence(self) -> str:
        """As of any backbone: that of Keras's own file. Nothing in a file says whose weights are in it."""
        return ARCHITECTURES[self.name].licence

    @property
    def below_last(self) -> int:
        """As of any backbone."""
        architecture = ARCHITECTURES[self.name]
        return len(architecture.stages) - (2 if architecture.topped else 1)

    @property
    def kept(self) -> int:
        """As of any backbone."""
        return ARCHITECTURES[self.name].kept

    def network(self, side: int | None = None) -> keras.Model:
        """As of any backbone. The file is looked at again: hours may have passed."""
        sha256, _ = digest(self.path)
        if sha256 != self.sha256:
            raise BackboneError(f"{self.path} has changed: its SHA-256 begins with {sha256[:8]}, not {self.sha256[:8]}")
        whole, maps = untrained(self.name, side)
        try:
            whole.load_weights(self.path)
        except (ValueError, KeyError, OSError) as error:
            raise BackboneError(f"{self.path} does not fit {self.title}: {str(error).splitlines()[0]}") from error
        return with_depthwise(maps)

    def layers(self, side: int) -> tuple[Layer, ...]:
        """A plate for the scaling, and one a stage."""
        architecture = ARCHITECTURES[self.name]
        plates = [Layer("scaling", "Rescaling", (side, side, 3), 0, "from 0..255, as it was trained")]
        for number, stage in enumerate(architecture.stages, 1):
            shape = (side // stage.stride, side // stage.stride, stage.width)
            name = f"stage_{number}" if stage.before else "top"
            plates.append(Layer(name, architecture.blocks, shape, stage.parameters, "pre-trained"))
        return tuple(plates)


def opened(name: str, path: Path) -> Application:
    """The backbone of this name with weights from a file, which is looked through but not loaded.

    Raises BackboneError where it is not a file of weights, or not of this architecture without its classes.
    """
    architecture, path = ARCHITECTURES[name], path.absolute()
    sha256, size = digest(path)
    found = shapes(path)
    numbers = sum(map(math.prod, found))
    if numbers != architecture.parameters:
        raise BackboneError(
            f"{path} has {numbers:,} weights, and {architecture.title} without its classes (include_top=False) has "
            f"{architecture.parameters:,}"
        )
    if fingerprint(found) != architecture.shapes:
        raise BackboneError(f"{path} has arrays of other shapes than {architecture.title}")
    return replace(without_weights(name), sha256=sha256, bytes=size, path=path)


def without_weights(name: str) -> Application:
    """The backbone of this name by its architecture alone: to be shown or described, never to be built."""
    architecture = ARCHITECTURES[name]
    widths = tuple(stage.width for stage in architecture.stages)
    return Application(name, architecture.title, widths, sha256="", bytes=0, path=Path())


def cached(name: str) -> Path:
    """Where Keras keeps this network's weights once it has downloaded them."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models" / ARCHITECTURES[name].file


def download(name: str) -> Path:
    """`cached`, downloaded by Keras, which checks it by its own checksum, where it is not there yet.

    In a separate process, since Keras takes seconds and memory. Raises BackboneError, with the last line of it.
    """
    if cached(name).is_file():
        return cached(name)
    function = ARCHITECTURES[name].function
    code = f"import keras; keras.applications.{function}(include_top=False, weights='imagenet')"
    # -P: a keras.py in the current folder must not be imported for Keras.
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", code],
        stdout=2,  # its progress bar, which must not come between lines that a script reads
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode or not cached(name).is_file():
        lines = ran.stderr.strip().splitlines()
        raise BackboneError(
            f"Keras could not download {ARCHITECTURES[name].title}: {lines[-1] if lines else 'no reason'}"
        )
    return cached(name)


def untrained(name: str, side: int | None = None) -> tuple[keras.Model, keras.Model]:
    """Two models of the same layers, before weights are loaded: the one that a file fits, and its maps."""
    import keras  # heavy, and only workers build models

    architecture = ARCHITECTURES[name]
    inputs = keras.Input((side, side, 3))
    scaled, inside = _scaled(inputs, architecture.scaling), architecture.scaling == "inside"
    function = getattr(keras.applications, architecture.function)
    # Keras scales inside only where it is told the channels, and elsewhere only a tensor can be put in front.
    given = {"input_shape": (side, side, 3), "include_preprocessing": True} if inside else {"input_tensor": scaled}
    whole = function(include_top=False, weights=None, **given)
    order = [operation.name for operation in whole.operations]
    ends = [order.index(stage.before) if stage.before else len(order) for stage in architecture.stages]
    return whole, keras.Model(whole.inputs[0], [whole.operations[end - 1].output for end in ends], name=name)


def with_depthwise(network: keras.Model) -> keras.Model:
    """The same network with convolutions of one channel each as depthwise ones, weights and all.

    ConvNeXt in Keras has them as groups of one channel, for which TensorFlow takes sixty times as long on a processor.
    """
    import keras

    def grouped(layer: keras.layers.Layer) -> bool:
        return isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.filters

    def made_anew(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if not grouped(layer):
            return type(layer).from_config(config)
        kept = {key: config[key] for key in ("name", "kernel_size", "strides", "padding", "use_bias", "activation")}
        return keras.layers.DepthwiseConv2D(**kept)

    if not any(map(grouped, network.layers)):
        return network
    clone = keras.models.clone_model(network, clone_function=made_anew)
    for layer in network.layers:
        kernel, *others = layer.get_weights() or [None]
        if grouped(layer):  # [height, width, 1, channels] -> [height, width, channels, 1]
            kernel = kernel.transpose(0, 1, 3, 2)
        if kernel is not None:
            clone.get_layer(layer.name).set_weights([kernel, *others])
    return clone


def _scaled(x: Any, how: str) -> Any:
    """RGB 0..255, scaled as a network without a scaling layer was trained on it."""
    import keras

    match how:
        case "tf":  # -1..1
            return keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
        case "torch":
            x = keras.layers.Rescaling(1 / 255)(x)
            return keras.layers.Normalization(mean=MEAN, variance=[d**2 for d in DEVIATION])(x)
        case "caffe":  # blue, green, red, less their means, as wide as they were
            x = keras.layers.Normalization(mean=CAFFE_MEAN, variance=(1.0, 1.0, 1.0))(x)
            return keras.ops.flip(x, axis=-1)
    return x


def fingerprint(found: list[Shape]) -> str:
    """Sixteen hex digits of SHA-256 that tell one architecture's arrays, by ascending shape, from another's."""
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]
