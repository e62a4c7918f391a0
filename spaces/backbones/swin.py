"""Swin Transformers as Hugging Face's `transformers` stores them (arXiv 2103.14030), of Keras's own layers alone.

A token sees those in its window; in every other block the windows are shifted by half. How far apart two tokens are
decides a bias, and two that are neighbours only because the shift goes round the edge do not see each other. Both are
folded into one bias for each pair of places in a window, which changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones.vision_transformer import Array, Arrays, Shapes, linear, norm, pair
from spaces.layers import Layer

if TYPE_CHECKING:
    import keras

EPSILON = 1e-5  # of the normalisations between stages, whatever config.json says of the others
APART = -100.0  # added before the softmax for two tokens that do not see each other
KEPT_A_BLOCK = 9  # see `Backbone.kept`; of Swin-T, with 12 images


@dataclass(frozen=True)
class Swin:
    """The shape of one, from its config.json."""

    width: int  # numbers of a token in the first stage; each stage has twice as many as the one before
    depths: tuple[int, ...]  # blocks of its stages
    heads: tuple[int, ...]  # of its stages
    window: int  # tokens along a side
    ratio: int  # units of a block's dense layers for each number of a token
    patch: int  # pixels
    epsilon: float  # of layer normalisation in blocks and at the end
    biased: bool  # whether queries, keys and values have biases

    any_side = False  # a network of its own for every side: which windows are at the edge belongs to it

    @property
    def widths(self) -> tuple[int, ...]:
        """Of its maps, the tokens after each stage; the last ones are normalised."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))

    @property
    def below_last(self) -> int:
        """Maps below the last stage."""
        return len(self.depths) - 1

    @property
    def kept(self) -> int:
        """See `Backbone.kept`."""
        return KEPT_A_BLOCK * sum(self.depths)

    def side(self, side: int) -> int:
        """The side to which it resizes an image of `side` pixels: the nearest with whole windows in every stage."""
        step = self.patch * self.window << len(self.depths) - 1
        return max(1, round(side / step)) * step

    def expected(self) -> Shapes:
        """The tensors that it needs, with their shapes."""
        first = self.width
        shapes: Shapes = {"embeddings.patch_embeddings.projection.weight": (first, 3, self.patch, self.patch)}
        shapes |= {"embeddings.patch_embeddings.projection.bias": (first,)} | norm("embeddings.norm", first)
        shapes |= norm("layernorm", self.widths[-1])
        for stage, (c, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            for block in range(depth):
                begin = f"encoder.layers.{stage}.blocks.{block}"
                shapes |= {f"{begin}.{name}": shape for name, shape in self._block_shapes(c, self.heads[stage]).items()}
            if stage < self.below_last:
                shapes |= norm(f"encoder.layers.{stage}.downsample.norm", 4 * c)
                shapes[f"encoder.layers.{stage}.downsample.reduction.weight"] = (2 * c, 4 * c)
        return shapes

    def _block_shapes(self, c: int, heads: int) -> Shapes:
        shapes = norm("layernorm_before", c) | norm("layernorm_after", c)
        for part in ("query", "key", "value"):
            shapes |= linear(f"attention.self.{part}", c, c, biased=self.biased)
        shapes["attention.self.relative_position_bias_table"] = ((2 * self.window - 1) ** 2, heads)
        shapes |= linear("attention.output.dense", c, c)
        return shapes | linear("intermediate.dense", self.ratio * c, c) | linear("output.dense", c, self.ratio * c)

    def maps(self, x: Any) -> list[Any]:
        """Its maps of scaled images [batch, side, side, 3], `side` one of `side`."""
        from keras import layers as kl  # heavy, and only workers build models

        x = kl.Conv2D(self.width, self.patch, strides=self.patch, name="embedding")(x)
        x = kl.LayerNormalization(epsilon=EPSILON, name="embedding_norm")(x)
        found = []
        for stage, (c, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            if stage:
                x = _merged(x, c, f"stage_{stage}")
            for block in range(depth):
                x = self._block(x, self.heads[stage], self._shift(block, x.shape[1]), f"stage_{stage}_block_{block}")
            found.append(x)
        return [*found[:-1], kl.LayerNormalization(epsilon=self.epsilon, name="layernorm")(found[-1])]

    def _shift(self, block: int, grid: int) -> int:
        """Tokens by which a block's windows are shifted, both down and to the right."""
        return self.window // 2 if block % 2 and grid > self.window else 0

    def _block(self, x: Any, heads: int, shift: int, name: str) -> Any:
        from keras import layers as kl

        c = x.shape[-1]
        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm1")(x)
        x = kl.Add()([x, self._attention(y, heads, shift, name)])
        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm2")(x)
        y = kl.Dense(self.ratio * c, activation="gelu", name=f"{name}_dense1")(y)
        return kl.Add()([x, kl.Dense(c, name=f"{name}_dense2")(y)])

    def _attention(self, x: Any, heads: int, shift: int, name: str) -> Any:
        from keras import layers as kl
        from keras import ops

        grid, c = x.shape[1], x.shape[-1]
        side, places, size = grid // self.window, self.window**2, c // heads

        def part(which: str) -> Any:
            shape = (side**2, places, heads, size)
            return kl.EinsumDense("bwtc,chd->bwthd", shape, bias_axes="hd", name=f"{name}_{which}")(windows)

        x = ops.roll(x, (-shift, -shift), axis=(1, 2)) if shift else x
        windows = kl.Reshape((side, self.window, side, self.window, c))(x)
        windows = kl.Reshape((side**2, places, c))(kl.Permute((1, 3, 2, 4, 5))(windows))
        scores = ops.einsum("bwqhd,bwkhd->bwhqk", part("query"), part("key"))
        bias = "whqk" if shift else "hqk"
        shape = (side**2, heads, places, places)
        scores = kl.EinsumDense("bwhqk,h->bwhqk", shape, bias_axes=bias, name=f"{name}_bias")(scores)
        seen = ops.einsum("bwhqk,bwkhd->bwqhd", kl.Softmax()(scores), part("value"))
        x = kl.EinsumDense("bwthd,hdc->bwtc", (side**2, places, c), bias_axes="c", name=f"{name}_output")(seen)
        x = kl.Permute((1, 3, 2, 4, 5))(kl.Reshape((side, side, self.window, self.window, c))(x))
        x = kl.Reshape((grid, grid, c))(x)
        return ops.roll(x, (shift, shift), axis=(1, 2)) if shift else x

    def fill(self, model: keras.Model, arrays: Arrays) -> None:
        """Give a model of `maps` its weights. `arrays`: those of `expected`."""
        name = "embeddings.patch_embeddings.projection"
        kernel, bias = pair(arrays, name)
        model.get_layer("embedding").set_weights([kernel.transpose(2, 3, 1, 0), bias])
        model.get_layer("embedding_norm").set_weights(pair(arrays, "embeddings.norm"))
        model.get_layer("layernorm").set_weights(pair(arrays, "layernorm"))
        for stage, depth in enumerate(self.depths):
            begin = f"encoder.layers.{stage}."
            if stage < self.below_last:
                model.get_layer(f"stage_{stage + 1}_norm").set_weights(pair(arrays, f"{begin}downsample.norm"))
                kernel = arrays[f"{begin}downsample.reduction.weight"].T
                model.get_layer(f"stage_{stage + 1}_down").set_weights([kernel])
            for block in range(depth):
                inside = f"{begin}blocks.{block}."
                of_block = {name[len(inside) :]: array for name, array in arrays.items() if name.startswith(inside)}
                self._fill_block(model, f"stage_{stage}_block_{block}", of_block)

    def _fill_block(self, model: keras.Model, name: str, arrays: Arrays) -> None:
        for layer, stored in (("norm1", "layernorm_before"), ("norm2", "layernorm_after")):
            model.get_layer(f"{name}_{layer}").set_weights(pair(arrays, stored))
        bias = model.get_layer(f"{name}_bias")
        heads, c = bias.kernel.shape[0], len(arrays["layernorm_before.bias"])
        size = (heads, c // heads)
        for part in ("query", "key", "value"):
            kernel, values = pair(arrays, f"attention.self.{part}")
            model.get_layer(f"{name}_{part}").set_weights([kernel.T.reshape(c, *size), values.reshape(size)])
        kernel, values = pair(arrays, "attention.output.dense")
        model.get_layer(f"{name}_output").set_weights([kernel.T.reshape(*size, c), values])
        by_distance = arrays["attention.self.relative_position_bias_table"][distances(self.window)].transpose(2, 0, 1)
        if len(bias.bias.shape) == 4:  # shifted
            by_distance = by_distance + apart(bias.bias.shape[0], self.window)[:, None]
        bias.set_weights([np.full(heads, size[1] ** -0.5, np.float32), by_distance])
        for dense, layer in (("intermediate.dense", "dense1"), ("output.dense", "dense2")):
            kernel, values = pair(arrays, dense)
            model.get_layer(f"{name}_{layer}").set_weights([kernel.T, values])

    def plates(self, side: int) -> tuple[Layer, ...]:
        """One plate a map, with the layers that lead to it."""
        rows, grid = [], self.side(side) // self.patch
        for stage, (c, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            heads, last = self.heads[stage], stage == self.below_last
            count = 2 * c * c + 4 * c if stage else (3 * self.patch**2 + 3) * c  # norm and reduction of c / 2 numbers
            for block in range(depth):
                windows = (grid // self.window) ** 2 if self._shift(block, grid) else 1
                count += 4 * c * (c + 1) + 4 * c + (2 * self.ratio * c + self.ratio + 1) * c
                count += heads + windows * heads * self.window**4
            count += 2 * c if last else 0
            rows.append(Layer(f"stage_{stage + 1}", "Swin blocks", (grid, grid, c), count, f"{depth} blocks"))
            grid //= 2
        return tuple(rows)


def distances(window: int) -> NDArray[np.int64]:
    """[places, places]: the row of a bias table for two places of a window, by how far apart they are."""
    places = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij")).reshape(2, -1)
    rows, columns = places[:, :, None] - places[:, None, :] + window - 1
    table: NDArray[np.int64] = rows * (2 * window - 1) + columns
    return table


def apart(windows: int, window: int) -> Array:
    """[windows, places, places]: APART for two tokens that only the shift by half a window made neighbours, else 0."""
    side = round(windows**0.5)
    line = np.repeat([0, 1, 2], [side * window - window, window - window // 2, window // 2])  # before, and round
    parts = (line[:, None] * 3 + line).reshape(side, window, side, window).swapaxes(1, 2).reshape(windows, window**2)
    return np.where(parts[:, :, None] == parts[:, None, :], 0, APART).astype(np.float32)


def _merged(x: Any, width: int, name: str) -> Any:
    """Four neighbours as one token of `width` numbers: first those of the left column, then of the right."""
    from keras import layers as kl

    grid, c = x.shape[1] // 2, x.shape[-1]
    x = kl.Permute((1, 3, 4, 2, 5))(kl.Reshape((grid, 2, grid, 2, c))(x))
    x = kl.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(kl.Reshape((grid, grid, 4 * c))(x))
    return kl.Dense(width, use_bias=False, name=f"{name}_down")(x)
