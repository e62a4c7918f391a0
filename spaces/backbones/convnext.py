"""ConvNeXt as Hugging Face's `transformers` stores it (arXiv 2201.03545), of Keras's own layers alone.

LayerScale is folded into the layer before it, which changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Layer

if TYPE_CHECKING:
    import keras

EPSILON = 1e-6  # of layer normalisation inside the network, whatever its config.json says of the last one
STRIDE = 32  # pixels of the image from one place of the last map to the next
KERNEL = 7
KEPT_A_BLOCK = 85 / 18  # `Backbone.kept` of ConvNeXt-Tiny of keras.applications, which has 18 blocks


@dataclass(frozen=True)
class ConvNext:
    """The shape of one, from its config.json."""

    filters: tuple[int, ...]  # of its stages
    depths: tuple[int, ...]  # blocks of its stages
    patch: int  # pixels of the first convolution, and its stride
    epsilon: float  # of the last normalisation
    layer_scale: bool

    any_side = True  # one network for all sides

    @property
    def widths(self) -> tuple[int, ...]:
        """Of its maps: one a stage; the last is averaged over its places and normalised, as the network was trained."""
        return self.filters

    @property
    def below_last(self) -> int:
        """Maps below the last stage."""
        return len(self.filters) - 1

    @property
    def kept(self) -> int:
        """See `Backbone.kept`."""
        return round(KEPT_A_BLOCK * sum(self.depths))

    def side(self, side: int) -> int:
        """The side to which it resizes an image of `side` pixels: itself, a multiple of 32."""
        return side

    def expected(self) -> dict[str, tuple[int, ...]]:
        """The tensors that it needs, with their shapes."""
        first, last = self.filters[0], self.filters[-1]
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.patch_embeddings.weight": (first, 3, self.patch, self.patch),
            **_vectors("embeddings.patch_embeddings", first, "bias"),
            **_vectors("embeddings.layernorm", first),
            **_vectors("layernorm", last),
        }
        before = first
        for stage, (width, depth) in enumerate(zip(self.filters, self.depths, strict=True)):
            name = f"encoder.stages.{stage}"
            if stage:
                shapes |= _vectors(f"{name}.downsampling_layer.0", before)
                shapes[f"{name}.downsampling_layer.1.weight"] = (width, before, 2, 2)
                shapes |= _vectors(f"{name}.downsampling_layer.1", width, "bias")
            for block in range(depth):
                begin = f"{name}.layers.{block}"
                shapes[f"{begin}.dwconv.weight"] = (width, 1, KERNEL, KERNEL)
                shapes |= _vectors(f"{begin}.dwconv", width, "bias") | _vectors(f"{begin}.layernorm", width)
                shapes[f"{begin}.pwconv1.weight"] = (4 * width, width)
                shapes |= _vectors(f"{begin}.pwconv1", 4 * width, "bias")
                shapes[f"{begin}.pwconv2.weight"] = (width, 4 * width)
                shapes |= _vectors(f"{begin}.pwconv2", width, "bias")
                if self.layer_scale:
                    shapes[f"{begin}.layer_scale_parameter"] = (width,)
            before = width
        return shapes

    def maps(self, x: Any) -> list[Any]:
        """Its maps of scaled images [batch, side, side, 3]."""
        from keras import layers as kl  # heavy, and only workers build models

        found = []
        for stage, (width, depth) in enumerate(zip(self.filters, self.depths, strict=True)):
            name = f"stage_{stage}"
            if stage == 0:
                x = kl.Conv2D(width, self.patch, strides=self.patch, name=f"{name}_down")(x)
                x = kl.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
            else:
                x = kl.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
                x = kl.Conv2D(width, 2, strides=2, name=f"{name}_down")(x)
            for block in range(depth):
                x = _block(x, width, f"{name}_block_{block}")
            found.append(x)
        x = kl.GlobalAveragePooling2D(keepdims=True)(found.pop())
        return [*found, kl.LayerNormalization(epsilon=self.epsilon, name="layernorm")(x)]

    def fill(self, model: keras.Model, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Give a model of `maps` its weights. `arrays`: those of `expected`."""

        def put(layer: str, name: str, kernel: NDArray[np.float32] | None = None) -> None:
            first = arrays[f"{name}.weight"] if kernel is None else kernel
            model.get_layer(layer).set_weights([first, arrays[f"{name}.bias"]])

        put("layernorm", "layernorm")
        for stage, depth in enumerate(self.depths):
            name = f"encoder.stages.{stage}"
            norm = f"{name}.downsampling_layer.0" if stage else "embeddings.layernorm"
            down = f"{name}.downsampling_layer.1" if stage else "embeddings.patch_embeddings"
            put(f"stage_{stage}_norm", norm)
            put(f"stage_{stage}_down", down, arrays[f"{down}.weight"].transpose(2, 3, 1, 0))
            for number in range(depth):
                begin, layer = f"{name}.layers.{number}", f"stage_{stage}_block_{number}"
                put(f"{layer}_depthwise", f"{begin}.dwconv", arrays[f"{begin}.dwconv.weight"].transpose(2, 3, 0, 1))
                put(f"{layer}_norm", f"{begin}.layernorm")
                put(f"{layer}_dense1", f"{begin}.pwconv1", arrays[f"{begin}.pwconv1.weight"].T)
                scale = arrays.get(f"{begin}.layer_scale_parameter", np.float32(1))
                last = [arrays[f"{begin}.pwconv2.weight"].T * scale, arrays[f"{begin}.pwconv2.bias"] * scale]
                model.get_layer(f"{layer}_dense2").set_weights(last)

    def plates(self, side: int) -> tuple[Layer, ...]:
        """One plate a map, with the layers that lead to it."""
        rows, before, place = [], 3, side // self.patch
        for stage, (width, depth) in enumerate(zip(self.filters, self.depths, strict=True)):
            kernel = self.patch if stage == 0 else 2
            down = before * width * kernel**2 + width + 2 * (before if stage else width)
            block = (KERNEL**2 + 1) * width + 2 * width + 8 * width**2 + 5 * width
            last = stage == len(self.depths) - 1
            count = down + depth * block + (2 * width if last else 0)
            shape = (1, 1, width) if last else (place, place, width)
            rows.append(Layer(f"stage_{stage + 1}", "ConvNeXt blocks", shape, count, f"{depth} blocks"))
            before, place = width, place // 2
        return tuple(rows)


def _vectors(name: str, width: int, *parts: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in parts or ("weight", "bias")}


def _block(x: Any, width: int, name: str) -> Any:
    from keras import layers as kl

    y = kl.DepthwiseConv2D(KERNEL, padding="same", name=f"{name}_depthwise")(x)
    y = kl.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(y)
    y = kl.Dense(4 * width, activation="gelu", name=f"{name}_dense1")(y)
    y = kl.Dense(width, name=f"{name}_dense2")(y)
    return kl.Add()([x, y])
