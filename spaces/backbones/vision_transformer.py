"""Vision Transformers as Hugging Face's `transformers` stores them: the types vit, dinov2 and dinov2_with_registers.

ViT: arXiv 2010.11929; DINOv2: arXiv 2304.07193; registers: arXiv 2309.16588. Built of Keras's own layers alone, so a
model with one in it loads with `safe_mode`. LayerScale is folded into the layer before it, which changes no result.
Patches, class token, registers and positions come from one layer: zeros in front of the patches' pixels become the
tokens, which are biases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Layer

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class VisionTransformer:
    """The shape of one, from its config.json."""

    width: int  # numbers of a token
    blocks: int
    heads: int
    inner: int  # units of a block's dense layers
    patch: int  # pixels
    grid: int  # patches along a side, for which it has positions
    registers: int
    epsilon: float  # of layer normalisation
    biased: bool  # whether queries, keys and values have biases
    dino: bool  # whether its tensors have DINOv2's names, and its blocks LayerScale

    any_side = False  # a network of its own for every side: positions belong to it

    @property
    def widths(self) -> tuple[int, ...]:
        """Of its five maps: the patches after each of `cuts` and at the end, and the class token."""
        return (self.width,) * 5

    @property
    def below_last(self) -> int:
        """Maps below the last block."""
        return 3

    @property
    def cuts(self) -> tuple[int, int, int]:
        """Blocks after which patches are maps: a fifth of them, two fifths, all but the last."""
        return round(self.blocks / 5), round(2 * self.blocks / 5), self.blocks - 1

    def side(self, side: int) -> int:
        """The side to which it resizes an image of `side` pixels: the nearest multiple of its patches."""
        return max(1, round(side / self.patch)) * self.patch

    def expected(self) -> dict[str, tuple[int, ...]]:
        """The tensors that it needs, with their shapes."""
        c, p = self.width, self.patch
        shapes = {
            "embeddings.cls_token": (1, 1, c),
            "embeddings.position_embeddings": (1, 1 + self.grid**2, c),
            "embeddings.patch_embeddings.projection.weight": (c, 3, p, p),
            "embeddings.patch_embeddings.projection.bias": (c,),
            "layernorm.weight": (c,),
            "layernorm.bias": (c,),
        }
        if self.registers:
            shapes["embeddings.register_tokens"] = (1, self.registers, c)
        norms = ("norm1", "norm2") if self.dino else ("layernorm_before", "layernorm_after")
        first, second = self._dense
        for number in range(self.blocks):
            block: dict[str, tuple[int, ...]] = {
                f"{norm}.{part}": (c,) for norm in norms for part in ("weight", "bias")
            }
            for name in ("query", "key", "value"):
                block[f"attention.attention.{name}.weight"] = (c, c)
                if self.biased:
                    block[f"attention.attention.{name}.bias"] = (c,)
            block |= {"attention.output.dense.weight": (c, c), "attention.output.dense.bias": (c,)}
            block |= {f"{first}.weight": (self.inner, c), f"{first}.bias": (self.inner,)}
            block |= {f"{second}.weight": (c, self.inner), f"{second}.bias": (c,)}
            if self.dino:
                block |= {f"layer_scale{n}.lambda1": (c,) for n in (1, 2)}
            shapes |= {f"encoder.layer.{number}.{name}": shape for name, shape in block.items()}
        return shapes

    @property
    def _dense(self) -> tuple[str, str]:
        return ("mlp.fc1", "mlp.fc2") if self.dino else ("intermediate.dense", "output.dense")

    def maps(self, x: Any) -> list[Any]:
        """Its five maps of scaled images [batch, side, side, 3], `side` a multiple of the patches."""
        from keras import layers as kl  # heavy, and only workers build models

        grid = x.shape[1] // self.patch
        x = kl.Reshape((grid, self.patch, grid, self.patch, 3))(x)
        x = kl.Permute((1, 3, 2, 4, 5))(x)
        x = kl.Reshape((grid**2, 3 * self.patch**2))(x)
        x = kl.ZeroPadding1D((self._tokens, 0))(x)
        tokens = (grid**2 + self._tokens, self.width)
        x = kl.EinsumDense("btk,kc->btc", tokens, bias_axes="tc", name="embedding")(x)
        found = {}
        for number in range(self.blocks):
            found[number] = x
            x = self._block(x, f"block_{number}")
        final = kl.LayerNormalization(epsilon=self.epsilon, name="layernorm")(x)
        token = kl.Reshape((1, 1, self.width))(kl.Cropping1D((0, tokens[0] - 1))(final))
        return [*(self._patches(found[cut], grid) for cut in self.cuts), self._patches(final, grid), token]

    @property
    def _tokens(self) -> int:
        return 1 + self.registers

    def _patches(self, x: Any, grid: int) -> Any:
        from keras import layers as kl

        return kl.Reshape((grid, grid, self.width))(kl.Cropping1D((self._tokens, 0))(x))

    def _block(self, x: Any, name: str) -> Any:
        from keras import layers as kl

        head = self.width // self.heads
        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm1")(x)
        y = kl.MultiHeadAttention(self.heads, head, name=f"{name}_attention")(y, y)
        x = kl.Add()([x, y])
        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm2")(x)
        y = kl.Dense(self.inner, activation="gelu", name=f"{name}_dense1")(y)
        y = kl.Dense(self.width, name=f"{name}_dense2")(y)
        return kl.Add()([x, y])

    def fill(self, model: keras.Model, arrays: Arrays) -> None:
        """Give a model of `maps` its weights. `arrays`: those of `expected`."""
        c, p = self.width, self.patch
        embedding = model.get_layer("embedding")
        grid = math.isqrt(embedding.bias.shape[0] - self._tokens)
        kernel = arrays["embeddings.patch_embeddings.projection.weight"].transpose(2, 3, 1, 0).reshape(3 * p * p, c)
        positions = arrays["embeddings.position_embeddings"][0]
        patches = resampled(positions[1:].reshape(self.grid, self.grid, c), grid, smooth=self.registers > 0)
        biases = [arrays["embeddings.cls_token"][0] + positions[:1]]
        if self.registers:  # they have no positions
            biases.append(arrays["embeddings.register_tokens"][0])
        biases.append(patches.reshape(-1, c) + arrays["embeddings.patch_embeddings.projection.bias"])
        embedding.set_weights([kernel, np.concatenate(biases)])
        model.get_layer("layernorm").set_weights([arrays["layernorm.weight"], arrays["layernorm.bias"]])
        for number in range(self.blocks):
            begin = f"encoder.layer.{number}."
            self._fill_block(
                model, f"block_{number}", {n[len(begin) :]: a for n, a in arrays.items() if n.startswith(begin)}
            )

    def _fill_block(self, model: keras.Model, name: str, arrays: Arrays) -> None:
        c, shape = self.width, (self.heads, self.width // self.heads)
        one = np.ones(c, np.float32)
        scales = [arrays.get(f"layer_scale{n}.lambda1", one) for n in (1, 2)]
        norms = ("norm1", "norm2") if self.dino else ("layernorm_before", "layernorm_after")
        for number, norm in enumerate(norms, 1):
            model.get_layer(f"{name}_norm{number}").set_weights([arrays[f"{norm}.weight"], arrays[f"{norm}.bias"]])
        attention: list[NDArray[np.float32]] = []
        for part in ("query", "key", "value"):
            weight = arrays[f"attention.attention.{part}.weight"]
            bias = arrays.get(f"attention.attention.{part}.bias", 0 * one)
            attention += [weight.T.reshape(c, *shape), bias.reshape(shape)]
        out, bias = arrays["attention.output.dense.weight"], arrays["attention.output.dense.bias"]
        attention += [(out.T * scales[0]).reshape(*shape, c), bias * scales[0]]
        model.get_layer(f"{name}_attention").set_weights(attention)
        first, second = self._dense
        model.get_layer(f"{name}_dense1").set_weights([arrays[f"{first}.weight"].T, arrays[f"{first}.bias"]])
        folded = [arrays[f"{second}.weight"].T * scales[1], arrays[f"{second}.bias"] * scales[1]]
        model.get_layer(f"{name}_dense2").set_weights(folded)

    def plates(self, side: int) -> tuple[Layer, ...]:
        """One plate a map, with the layers that lead to it."""
        c, grid = self.width, self.side(side) // self.patch
        embedding = (3 * self.patch**2 + grid**2 + self._tokens) * c
        block = 4 * c * (c + 1) + 2 * c * self.inner + self.inner + 5 * c
        rows, before = [], 0
        for number, cut in enumerate((*self.cuts, self.blocks)):
            count = (cut - before) * block + (embedding if number == 0 else 0) + (2 * c if cut == self.blocks else 0)
            rows.append(Layer(f"stage_{number + 1}", "Transformer", (grid, grid, c), count, f"{cut - before} blocks"))
            before = cut
        return (*rows, Layer("class_token", "Cropping1D", (1, 1, c), 0, "of the last block"))

    @property
    def kept(self) -> int:
        """See `Backbone.kept`."""
        return KEPT_A_BLOCK * self.blocks


KEPT_A_BLOCK = 8


def resampled(positions: NDArray[np.float32], grid: int, *, smooth: bool) -> NDArray[np.float32]:
    """Positions [old, old, width] for another grid, [grid, grid, width], as `transformers` does: bicubic.

    `smooth`: antialiased where the grid is smaller.
    """
    matrix = cubic(positions.shape[0], grid, smooth=smooth)
    other: NDArray[np.float64] = np.einsum("io,jp,opc->ijc", matrix, matrix, positions)
    return other.astype(np.float32)


def cubic(size: int, side: int, *, smooth: bool) -> NDArray[np.float64]:
    """[side, size]: the weights that `size` numbers in a row have in each of `side`: Keys 1981.

    As PyTorch's `interpolate(mode="bicubic", align_corners=False)`: its constant is -0.75, and what is outside has the
    value of the edge; antialiased (`smooth`) the constant is -0.5, and what is outside has no weight.
    """
    if size == side:
        return np.eye(size)
    scale = size / side
    centres = (np.arange(side) + 0.5) * scale - 0.5
    wide, a = (max(scale, 1.0), -0.5) if smooth else (1.0, -0.75)
    reach = math.ceil(2 * wide) + 1
    places = np.floor(centres)[:, None] + np.arange(-reach, reach + 1)
    d = np.abs(places - centres[:, None]) / wide
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    weights = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    if smooth:
        weights = np.where((places >= 0) & (places < size), weights, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((side, size))
    rows = np.repeat(np.arange(side)[:, None], places.shape[1], axis=1)
    np.add.at(matrix, (rows, np.clip(places, 0, size - 1).astype(int)), weights)
    return matrix
