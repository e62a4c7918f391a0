"""Vision Transformers as Hugging Face's `transformers` stores them: one network, and a table of names for each type.

ViT: arXiv 2010.11929; DINOv2: 2304.07193; registers: 2309.16588; DINOv3: 2508.10104; SigLIP: 2303.15343; SigLIP 2:
2502.14786. Built of Keras's own layers and operations alone, so a model with one in it loads with `safe_mode`.

What changes no result is folded. LayerScale: into the layer before it. Patches, class token, registers and positions:
into one layer (zeros in front of the patches' pixels become the tokens, which are biases). The question that SigLIP's
head asks, the same of every image: into the weights of its keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Layer

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]
Shapes = dict[str, tuple[int, ...]]

PARTS = ("query", "key", "value", "output")  # of attention


@dataclass(frozen=True)
class Names:
    """What the tensors of a type are called; '' and () for what it does not have."""

    whole: str  # the class token
    patches: str  # what makes patches tokens
    positions: str  # without them, queries and keys are turned by their place
    block: str  # before the tensors of a block, {} for its number
    norms: tuple[str, str]
    attention: tuple[str, ...]  # as PARTS
    dense: tuple[str, str]  # the first, the last
    gated: tuple[str, ...]  # the gate, what goes through it, the last; of two, the first has the gate in its first half
    scales: tuple[str, ...]  # LayerScale
    end: str  # normalisation of the last tokens
    head: str  # what pools the last tokens where there is no class token
    how: str  # positions are resampled for another grid: see `resampling`


_VIT = Names(
    whole="embeddings.cls_token",
    patches="embeddings.patch_embeddings.projection",
    positions="embeddings.position_embeddings",
    block="encoder.layer.{}.",
    norms=("layernorm_before", "layernorm_after"),
    attention=(*(f"attention.attention.{part}" for part in PARTS[:3]), "attention.output.dense"),
    dense=("intermediate.dense", "output.dense"),
    gated=(),
    scales=(),
    end="layernorm",
    head="",
    how="",
)
_DINO = replace(
    _VIT,
    norms=("norm1", "norm2"),
    dense=("mlp.fc1", "mlp.fc2"),
    gated=("mlp.weights_in", "mlp.weights_out"),
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
_SIGLIP = replace(
    _VIT,
    whole="",
    patches="embeddings.patch_embedding",
    positions="embeddings.position_embedding.weight",
    block="encoder.layers.{}.",
    norms=("layer_norm1", "layer_norm2"),
    attention=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"),
    dense=("mlp.fc1", "mlp.fc2"),
    end="post_layernorm",
    head="head",
)
NAMES: Mapping[str, Names] = {
    "vit": _VIT,
    "dinov2": _DINO,
    "dinov2_with_registers": replace(_DINO, how="cubic"),
    "dinov3_vit": replace(
        _DINO,
        patches="embeddings.patch_embeddings",
        positions="",
        block="layer.{}.",
        attention=("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
        dense=("mlp.up_proj", "mlp.down_proj"),
        gated=("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
        end="norm",
    ),
    "siglip": _SIGLIP,
    "siglip2": replace(_SIGLIP, how="linear"),
}
"""By type."""


@dataclass(frozen=True)
class VisionTransformer:
    """The shape of one, from its config.json."""

    kind: str  # of NAMES
    width: int  # numbers of a token
    blocks: int
    heads: int
    inner: int  # units of a block's dense layers
    patch: int  # pixels
    grid: int  # patches along a side, for which it has positions
    epsilon: float  # of layer normalisation
    registers: int = 0
    without_bias: tuple[str, ...] = ()  # of PARTS and 'dense'
    activation: str = "gelu"  # or 'gelu_tanh', its approximation, or 'silu'
    gated: bool = False  # whether a gate is multiplied in the dense layers
    theta: float = 0.0  # base of the angles by which queries and keys are turned; 0: they are not

    any_side = False  # a network of its own for every side: positions belong to it

    @property
    def names(self) -> Names:
        """Of its tensors."""
        return NAMES[self.kind]

    @property
    def widths(self) -> tuple[int, ...]:
        """Of its five maps: the patches after each of `cuts` and at the end, and the class token or what is pooled."""
        return (self.width,) * 5

    @property
    def below_last(self) -> int:
        """Maps below the last block."""
        return 3

    @property
    def kept(self) -> int:
        """See `Backbone.kept`."""
        more = self.theta or self.gated or self.names.head
        return (KEPT_MORE if more else KEPT_A_BLOCK) * self.blocks

    @property
    def cuts(self) -> tuple[int, int, int]:
        """Blocks after which patches are maps: a fifth of them, two fifths, all but the last."""
        return round(self.blocks / 5), round(2 * self.blocks / 5), self.blocks - 1

    def side(self, side: int) -> int:
        """The side to which it resizes an image of `side` pixels: the nearest multiple of its patches."""
        return max(1, round(side / self.patch)) * self.patch

    @property
    def _tokens(self) -> int:
        """Tokens in front of the patches'."""
        return bool(self.names.whole) + self.registers

    # Its tensors

    def expected(self) -> Shapes:
        """The tensors that it needs, with their shapes."""
        c, p, names = self.width, self.patch, self.names
        shapes: Shapes = {names.whole: (1, 1, c)} if names.whole else {}
        shapes[f"{names.patches}.weight"] = (c, 3 * p * p) if self.kind == "siglip2" else (c, 3, p, p)
        shapes[f"{names.patches}.bias"] = (c,)
        if names.positions:
            places = self.grid**2
            shapes[names.positions] = (1, 1 + places, c) if names.whole else (places, c)
        if self.registers:
            shapes["embeddings.register_tokens"] = (1, self.registers, c)
        shapes |= norm(names.end, c) | (self._head_shapes() if names.head else {})
        for number in range(self.blocks):
            begin = names.block.format(number)
            shapes |= {begin + name: shape for name, shape in self._block_shapes().items()}
        return shapes

    def _block_shapes(self) -> Shapes:
        c, names = self.width, self.names
        shapes = norm(names.norms[0], c) | norm(names.norms[1], c)
        for part, name in zip(PARTS, names.attention, strict=True):
            shapes |= linear(name, c, c, biased=part not in self.without_bias)
        *first, last = names.gated if self.gated else names.dense
        units = 2 * self.inner if self.gated and len(first) == 1 else self.inner
        for name in first:
            shapes |= linear(name, units, c, biased="dense" not in self.without_bias)
        shapes |= linear(last, c, self.inner, biased="dense" not in self.without_bias)
        return shapes | dict.fromkeys(names.scales, (c,))

    def _head_shapes(self) -> Shapes:
        c, head = self.width, self.names.head
        return {
            f"{head}.probe": (1, 1, c),
            f"{head}.attention.in_proj_weight": (3 * c, c),
            f"{head}.attention.in_proj_bias": (3 * c,),
            **linear(f"{head}.attention.out_proj", c, c),
            **norm(f"{head}.layernorm", c),
            **linear(f"{head}.mlp.fc1", self.inner, c),
            **linear(f"{head}.mlp.fc2", c, self.inner),
        }

    # The network

    def maps(self, x: Any) -> list[Any]:
        """Its five maps of scaled images [batch, side, side, 3], `side` a multiple of the patches."""
        from keras import layers as kl  # heavy, and only workers build models

        grid = x.shape[1] // self.patch
        x = kl.Reshape((grid, self.patch, grid, self.patch, 3))(x)
        x = kl.Permute((1, 3, 2, 4, 5))(x)
        x = kl.Reshape((grid**2, 3 * self.patch**2))(x)
        if self._tokens:
            x = kl.ZeroPadding1D((self._tokens, 0))(x)
        tokens = (grid**2 + self._tokens, self.width)
        x = kl.EinsumDense("btk,kc->btc", tokens, bias_axes="tc", name="embedding")(x)
        turn = self._turn(x) if self.theta else None
        found = {}
        for number in range(self.blocks):
            found[number] = x
            x = self._block(x, f"block_{number}", turn)
        final = kl.LayerNormalization(epsilon=self.epsilon, name="layernorm")(x)
        top = self._pooled(final) if self.names.head else kl.Cropping1D((0, tokens[0] - 1))(final)
        patches = [self._patches(found[cut], grid) for cut in self.cuts]
        return [*patches, self._patches(final, grid), kl.Reshape((1, 1, self.width))(top)]

    def _patches(self, x: Any, grid: int) -> Any:
        from keras import layers as kl

        patches = kl.Cropping1D((self._tokens, 0))(x) if self._tokens else x
        return kl.Reshape((grid, grid, self.width))(patches)

    def _block(self, x: Any, name: str, turn: tuple[Any, Any] | None) -> Any:
        from keras import layers as kl

        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm1")(x)
        if turn:
            y = self._turned_attention(y, f"{name}_attention", turn)
        else:
            y = kl.MultiHeadAttention(self.heads, self.width // self.heads, name=f"{name}_attention")(y, y)
        x = kl.Add()([x, y])
        y = kl.LayerNormalization(epsilon=self.epsilon, name=f"{name}_norm2")(x)
        return kl.Add()([x, self._dense(y, name)])

    def _dense(self, y: Any, name: str) -> Any:
        from keras import layers as kl
        from keras import ops

        exact = None if self.activation == "gelu_tanh" else self.activation
        first = kl.Dense(self.inner, activation=exact, name=f"{name}_dense1")(y)
        first = first if exact else ops.gelu(first, approximate=True)
        if self.gated:
            first = kl.Multiply()([first, kl.Dense(self.inner, name=f"{name}_gated")(y)])
        return kl.Dense(self.width, name=f"{name}_dense2")(first)

    def _turn(self, x: Any) -> tuple[Any, Any]:
        """The cosines and sines of all tokens' angles, [batch, tokens, 1, numbers of half a head]: see `turns`."""
        from keras import layers as kl
        from keras import ops

        nothing = ops.zeros_like(x[:, :, :1])
        table = (x.shape[1], self.width // self.heads)
        angles = kl.EinsumDense("btk,kd->btd", table, bias_axes="td", name="turns")(nothing)
        cos, sin = ops.split(ops.expand_dims(angles, 2), 2, axis=-1)
        return cos, sin

    def _turned_attention(self, y: Any, name: str, turn: tuple[Any, Any]) -> Any:
        """Rotary position embedding, arXiv 2104.09864: a number and its partner half a head on turn as a pair."""
        from keras import layers as kl
        from keras import ops

        tokens, head, (cos, sin) = y.shape[1], self.width // self.heads, turn

        def part(which: str) -> Any:
            shape = (tokens, self.heads, head)
            return kl.EinsumDense("btc,chd->bthd", shape, bias_axes="hd", name=f"{name}_{which}")(y)

        def turned(x: Any) -> Any:
            one, other = ops.split(x, 2, axis=-1)
            return ops.concatenate([one * cos - other * sin, other * cos + one * sin], axis=-1)

        seen = ops.dot_product_attention(turned(part("query")), turned(part("key")), part("value"))
        return kl.EinsumDense("bthd,hdc->btc", (tokens, self.width), bias_axes="c", name=f"{name}_output")(seen)

    def _pooled(self, x: Any) -> Any:
        """SigLIP's head, [batch, width]: each of its heads averages all tokens by weights of its own.

        The values of the mean are the mean of the values, so only the mean is passed on.
        """
        from keras import layers as kl

        head = self.width // self.heads
        weights = kl.Softmax(axis=1)(kl.Dense(self.heads, use_bias=False, name="head_key")(x))
        means = kl.Dot(axes=1)([weights, x])
        y = kl.EinsumDense("bhc,chd->bhd", (self.heads, head), bias_axes="hd", name="head_value")(means)
        x = kl.EinsumDense("bhd,hdc->bc", self.width, bias_axes="c", name="head_output")(y)
        y = kl.LayerNormalization(epsilon=self.epsilon, name="head_norm")(x)
        return kl.Add()([x, self._dense(y, "head")])

    # Its weights

    def fill(self, model: keras.Model, arrays: Arrays) -> None:
        """Give a model of `maps` its weights. `arrays`: those of `expected`."""
        embedding = model.get_layer("embedding")
        grid = math.isqrt(embedding.bias.shape[0] - self._tokens)
        embedding.set_weights(self._embedding(arrays, grid))
        if self.theta:
            size = self.width // self.heads
            model.get_layer("turns").set_weights([np.zeros((1, size)), turns(grid, self._tokens, size, self.theta)])
        model.get_layer("layernorm").set_weights(pair(arrays, self.names.end))
        for number in range(self.blocks):
            begin = self.names.block.format(number)
            block = {name[len(begin) :]: array for name, array in arrays.items() if name.startswith(begin)}
            self._fill_block(model, f"block_{number}", block)
        if self.names.head:
            begin = f"{self.names.head}."
            head = {name[len(begin) :]: array for name, array in arrays.items() if name.startswith(begin)}
            self._fill_head(model, head)

    def _embedding(self, arrays: Arrays, grid: int) -> list[Array]:
        """Kernel and biases of the layer that makes tokens."""
        c, p, names = self.width, self.patch, self.names
        kernel, bias = pair(arrays, names.patches)
        kernel = kernel.transpose(2, 3, 1, 0).reshape(3 * p * p, c) if kernel.ndim == 4 else kernel.T
        places = arrays[names.positions].reshape(-1, c) if names.positions else np.zeros((1 + grid**2, c), np.float32)
        of_token, of_patches = (places[:1], places[1:]) if names.whole else (places[:0], places)
        if names.positions:
            of_patches = resampled(of_patches.reshape(self.grid, self.grid, c), grid, how=names.how).reshape(-1, c)
        tokens = [arrays[names.whole][0] + of_token] if names.whole else []
        tokens += [arrays["embeddings.register_tokens"][0]] if self.registers else []  # they have no positions
        return [kernel, np.concatenate([*tokens, of_patches + bias])]

    def _fill_block(self, model: keras.Model, name: str, arrays: Arrays) -> None:
        c, size, names = self.width, (self.heads, self.width // self.heads), self.names
        one = np.ones(c, np.float32)
        scales = [arrays[scale] for scale in names.scales] or [one, one]
        for number, norm in enumerate(names.norms, 1):
            model.get_layer(f"{name}_norm{number}").set_weights(pair(arrays, norm))
        attention = []
        for part in names.attention[:3]:
            weight, bias = pair(arrays, part)
            attention.append([weight.T.reshape(c, *size), bias.reshape(size)])
        weight, bias = pair(arrays, names.attention[3])
        attention.append([(weight.T * scales[0]).reshape(*size, c), bias * scales[0]])
        if self.theta:
            for part, values in zip(PARTS, attention, strict=True):
                model.get_layer(f"{name}_attention_{part}").set_weights(values)
        else:
            model.get_layer(f"{name}_attention").set_weights([*chain.from_iterable(attention)])
        *first, last = names.gated if self.gated else names.dense
        pairs = [pair(arrays, dense) for dense in first]
        if self.gated and len(first) == 1:
            pairs = [[values[: self.inner] for values in pairs[0]], [values[self.inner :] for values in pairs[0]]]
        for layer, (weight, bias) in zip(("dense1", "gated"), pairs, strict=False):
            model.get_layer(f"{name}_{layer}").set_weights([weight.T, bias])
        weight, bias = pair(arrays, last)
        model.get_layer(f"{name}_dense2").set_weights([weight.T * scales[1], bias * scales[1]])

    def _fill_head(self, model: keras.Model, arrays: Arrays) -> None:
        c, size = self.width, (self.heads, self.width // self.heads)
        query, key, value = np.split(arrays["attention.in_proj_weight"], 3)
        of_query, _, of_value = np.split(arrays["attention.in_proj_bias"], 3)  # all keys have the same bias: no matter
        asked = (query @ arrays["probe"][0, 0] + of_query).reshape(size) / math.sqrt(size[1])
        model.get_layer("head_key").set_weights([np.einsum("hd,hdc->ch", asked, key.reshape(*size, c))])
        model.get_layer("head_value").set_weights([value.T.reshape(c, *size), of_value.reshape(size)])
        weight, bias = pair(arrays, "attention.out_proj")
        model.get_layer("head_output").set_weights([weight.T.reshape(*size, c), bias])
        model.get_layer("head_norm").set_weights(pair(arrays, "layernorm"))
        for number in (1, 2):
            weight, bias = pair(arrays, f"mlp.fc{number}")
            model.get_layer(f"head_dense{number}").set_weights([weight.T, bias])

    def plates(self, side: int) -> tuple[Layer, ...]:
        """One plate a map, with the layers that lead to it."""
        c, grid = self.width, self.side(side) // self.patch
        embedding = (3 * self.patch**2 + grid**2 + self._tokens) * c
        embedding += (grid**2 + self._tokens + 1) * (c // self.heads) if self.theta else 0
        dense = (2 + self.gated) * c * self.inner + (1 + self.gated) * self.inner + c
        block = 4 * c * (c + 1) + dense + 4 * c
        rows, before = [], 0
        for number, cut in enumerate((*self.cuts, self.blocks)):
            count = (cut - before) * block + (embedding if number == 0 else 0) + (2 * c if cut == self.blocks else 0)
            rows.append(Layer(f"stage_{number + 1}", "Transformer", (grid, grid, c), count, f"{cut - before} blocks"))
            before = cut
        if self.names.head:
            head = c * self.heads + 2 * c * (c + 1) + 2 * c + dense
            return (*rows, Layer("head", "MultiHeadAttention", (1, 1, c), head, "pools the last block"))
        return (*rows, Layer("class_token", "Cropping1D", (1, 1, c), 0, "of the last block"))


KEPT_A_BLOCK, KEPT_MORE = 8, 10  # the second with DINOv3, gated or not, and SigLIP, all as large as ViT-S/16


def norm(name: str, width: int) -> Shapes:
    """The tensors of a normalisation of `width` numbers."""
    return {f"{name}.{part}": (width,) for part in ("weight", "bias")}


def linear(name: str, units: int, width: int, *, biased: bool = True) -> Shapes:
    """The tensors of a layer from `width` numbers to `units`."""
    return {f"{name}.weight": (units, width)} | ({f"{name}.bias": (units,)} if biased else {})


def pair(arrays: Arrays, name: str) -> list[Array]:
    """Weight and bias; zeros for a bias that there is not."""
    weight = arrays[f"{name}.weight"]
    return [weight, arrays.get(f"{name}.bias", np.zeros(len(weight), np.float32))]


def turns(grid: int, tokens: int, size: int, theta: float) -> Array:
    """[tokens + grid * grid, size]: cosines, then sines, of the angles by which DINOv3 turns a head of `size` numbers.

    A patch is turned by its row in the first half of the pairs, by its column in the second, both from -1 to 1, each
    pair with a frequency of its own; `tokens` in front are not turned. As `transformers` does.
    """
    places = (np.arange(grid) + 0.5) / grid * 2 - 1
    frequencies = 2 * np.pi * theta ** (-np.arange(size // 4) * 4 / size)
    rows, columns = np.meshgrid(places, places, indexing="ij")
    angles = np.concatenate([np.multiply.outer(rows, frequencies), np.multiply.outer(columns, frequencies)], axis=-1)
    whole = np.concatenate([np.zeros((tokens, size // 2)), angles.reshape(grid**2, size // 2)])
    return np.concatenate([np.cos(whole), np.sin(whole)], axis=-1).astype(np.float32)


def resampled(positions: Array, grid: int, *, how: str) -> Array:
    """Positions [old, old, width] for another grid, [grid, grid, width], as `transformers` does: see `resampling`."""
    matrix = resampling(positions.shape[0], grid, how=how)
    other: NDArray[np.float64] = np.einsum("io,jp,opc->ijc", matrix, matrix, positions)
    return other.astype(np.float32)


def resampling(size: int, side: int, *, how: str) -> NDArray[np.float64]:
    """[side, size]: the weights that `size` numbers in a row have in each of `side`, as PyTorch's `interpolate`.

    `how`: '' is bicubic (Keys 1981) with the constant -0.75, where what is outside has the value of the edge; 'cubic'
    and 'linear' are antialiased, bicubic with the constant -0.5 and bilinear, where what is outside has no weight.
    """
    if size == side:
        return np.eye(size)
    scale = size / side
    centres = (np.arange(side) + 0.5) * scale - 0.5
    wide, a = (max(scale, 1.0), -0.5) if how else (1.0, -0.75)
    reach = math.ceil(2 * wide) + 1
    places = np.floor(centres)[:, None] + np.arange(-reach, reach + 1)
    d = np.abs(places - centres[:, None]) / wide
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    weights = np.maximum(0, 1 - d) if how == "linear" else np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    if how:
        weights = np.where((places >= 0) & (places < size), weights, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((side, size))
    rows = np.repeat(np.arange(side)[:, None], places.shape[1], axis=1)
    np.add.at(matrix, (rows, np.clip(places, 0, size - 1).astype(int)), weights)
    return matrix
