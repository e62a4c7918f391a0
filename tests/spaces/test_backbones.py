"""The weights of the backbone: read without running anything, all in their place, and they see what is there."""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.backbones import BackboneError
from spaces.backbones.lite import LITE0, LITE2, PACKAGED, Lite, fill, pretrained, scaled, untrained
from spaces.backbones.torch_file import ALLOWED, MAGIC, PROTOCOL, read_tensors


def with_weights(of: Lite) -> Any:
    missing = importlib.util.find_spec(of.package) is None
    reason = f"the package {of.requirement} is not installed (extra backbone)"
    return pytest.param(of, id=of.name, marks=pytest.mark.skipif(missing, reason=reason))


each = pytest.mark.parametrize("of", [pytest.param(of, id=of.name) for of in PACKAGED])
each_with_weights = pytest.mark.parametrize("of", [*map(with_weights, PACKAGED)])


# A file as PyTorch wrote it before 1.6, made here without PyTorch


class Global:
    """Pickles as a name of a module, as PyTorch's classes do; `called` with arguments where it has some."""

    def __init__(self, name: str, *called: object) -> None:
        self.name, self.called = name, called


class Stored:
    """Pickles as a reference to a storage."""

    def __init__(self, *pid: object) -> None:
        self.pid = pid


PythonsOwn: Any = vars(pickle)["_Pickler"]  # the one written in Python, whose `save` can be replaced


class Writer(PythonsOwn):  # type: ignore[misc]  # it comes without types
    """Writes names that cannot be imported here."""

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        return obj.pid if isinstance(obj, Stored) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(obj, Global):
            super().save(obj, save_persistent_id)
            return
        module, _, name = obj.name.rpartition(".")
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        if obj.called:
            super().save(obj.called)
            self.write(pickle.REDUCE)


def pickled(value: object) -> bytes:
    stream = io.BytesIO()
    Writer(stream, 2).dump(value)
    return stream.getvalue()


def tensor(storage: object, offset: object, shape: object, strides: object) -> Global:
    return Global("torch._utils._rebuild_tensor_v2", storage, offset, shape, strides, False, OrderedDict())


def storage(key: str, elements: int, kind: str = "torch.FloatStorage") -> Stored:
    return Stored("storage", Global(kind), key, "cpu", elements, None)


def written(tensors: object, *storages: tuple[str, NDArray[Any]]) -> bytes:
    head = [MAGIC, PROTOCOL, {"little_endian": True}, tensors, [key for key, _ in storages]]
    blocks = [len(values).to_bytes(8, "little") + values.tobytes() for _, values in storages]
    return b"".join([*map(pickled, head), *blocks])


SIX = np.arange(6, dtype="<f4")


def test_tensors_are_read_by_their_strides_and_offsets() -> None:
    shared = storage("7", 6)
    tensors = OrderedDict(
        rows=tensor(shared, 0, (2, 3), (3, 1)),
        columns=tensor(shared, 0, (3, 2), (1, 3)),
        end=tensor(shared, 4, (2,), (1,)),
        count=tensor(storage("9", 1, "torch.LongStorage"), 0, (), ()),
    )
    found = read_tensors(written(tensors, ("7", SIX), ("9", np.array([41], "<i8"))))
    np.testing.assert_array_equal(found["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["columns"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["end"], [4, 5])
    assert (found["count"].shape, int(found["count"])) == ((), 41)
    assert found["count"].dtype == np.int64
    assert found["rows"].dtype == np.float32
    found["rows"][:] = 0  # a copy of its own
    assert found["columns"].max() == 5


class Bomb:
    """Runs a command in whoever unpickles it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def places(bomb: object) -> dict[str, bytes]:
    """A file with a bomb in each place where a pickle is read."""
    head: list[object] = [MAGIC, PROTOCOL, {"little_endian": True}, OrderedDict(), []]
    files = {}
    for place, name in enumerate(("magic number", "protocol", "sizes", "tensors", "keys")):
        files[name] = b"".join(pickled(bomb if n == place else value) for n, value in enumerate(head))
    files["a tensor"] = b"".join(map(pickled, [*head[:3], OrderedDict(w=bomb), []]))
    hidden = tensor(storage("7", 6), 0, (6,), (1,))
    hidden.called = (*hidden.called[:5], bomb)
    files["hooks of a tensor"] = written(OrderedDict(w=hidden), ("7", SIX))
    files["a storage"] = written(OrderedDict(w=tensor(Stored("storage", bomb), 0, (6,), (1,))), ("7", SIX))
    return files


@pytest.mark.parametrize("place", places(None))
def test_a_file_that_would_run_a_command_is_refused_and_nothing_runs(place: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bomb = Bomb(f"touch {marker}")
    pickle.loads(pickle.dumps(bomb))  # noqa: S301 - the bomb works
    assert marker.exists()
    marker.unlink()
    with pytest.raises(
        BackboneError, match=rf"^the file names {os.name}\.system, which no tensor needs; it is not read$"
    ):
        read_tensors(places(bomb)[place])
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("builtins.eval", "builtins.getattr", "os.system", "subprocess.Popen", "collections.Counter"),
        *("torch.load", "torch._utils._rebuild_tensor", "torch.nn.modules.linear.Linear", "numpy.load"),
        *("spaces.backbones.lite.pretrained", "collections.OrderedDict.fromkeys"),
    ],
)
def test_names_that_no_tensor_needs_are_refused(name: str) -> None:
    with pytest.raises(BackboneError, match="which no tensor needs"):
        read_tensors(written(Global(name, "x")))


def test_what_is_allowed_is_ours_or_harmless() -> None:
    for value in ALLOWED.values():
        kind = value if isinstance(value, type | FunctionType) else type(value)
        assert value is OrderedDict or kind.__module__ == "spaces.backbones.torch_file"
    with pytest.raises(TypeError):
        ALLOWED["os", "system"] = os.system  # type: ignore[index]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (OrderedDict(w=tensor(storage("7", 6), 0, (7,), (1,))), "reaches beyond its storage"),
        (OrderedDict(w=tensor(storage("7", 6), 4, (3,), (1,))), "reaches beyond its storage"),
        (OrderedDict(w=tensor(storage("7", 6), 0, (2, 2), (4, 2))), "reaches beyond its storage"),
        (OrderedDict(w=tensor(storage("7", 6), 0, (0,), (1,))), "reaches beyond its storage"),
        (OrderedDict(w=tensor(storage("7", 6), -1, (2,), (1,))), "begins before it"),
        (OrderedDict(w=tensor(storage("7", 6), 0, (2,), (-1,))), "no counts"),
        (OrderedDict(w=tensor(storage("7", 6), 0, [6], (1,))), "no counts"),
        (OrderedDict(w=tensor(storage("7", 5), 0, (5,), (1,))), "6 elements where 5 were announced"),
        (OrderedDict(w=tensor("7", 0, (2,), (1,))), "has no storage"),
        (OrderedDict(w=tensor(Stored("module", "x"), 0, (2,), (1,))), "other than a whole storage"),
        (OrderedDict(w=tensor(storage("8", 6), 0, (6,), (1,))), "cannot be read: KeyError"),
        (OrderedDict(w=3), "something other than tensors"),
        ([1, 2], "cannot be read"),
        (OrderedDict(w=Global("torch.FloatStorage", 3)), "cannot be read: TypeError"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tensors: object, words: str) -> None:
    with pytest.raises(BackboneError, match=words):
        read_tensors(written(tensors, ("7", SIX)))


def test_a_file_that_ends_anywhere_too_soon_or_too_late_is_refused() -> None:
    whole = written(OrderedDict(w=tensor(storage("7", 6), 0, (6,), (1,))), ("7", SIX))
    assert read_tensors(whole).keys() == {"w"}
    for size in range(len(whole)):
        with pytest.raises(BackboneError):
            read_tensors(whole[:size])
    with pytest.raises(BackboneError, match="goes on after its last storage"):
        read_tensors(whole + b"x")
    for other in (b"PK\x03\x04 a zip file", pickled(1), pickled(MAGIC) + pickled(1002)):
        with pytest.raises(BackboneError):
            read_tensors(other)


@each
def test_a_file_of_another_checksum_is_refused_before_it_is_read(of: Lite, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Bomb(f"touch {marker}")))
    with pytest.raises(
        BackboneError, match=rf"is not the file of {of.title}: its SHA-256 begins with .*{of.sha256[:8]}"
    ):
        of.checked(path)
    assert not marker.exists()
    with pytest.raises(BackboneError, match="cannot be read: No such file"):
        of.checked(tmp_path / "missing")


# The network and its weights


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, imported once and when it is needed: it takes seconds."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


@pytest.fixture(scope="module")
def built(keras: Any) -> Callable[[Lite], Any]:
    """A network with its weights, for every size, built once."""
    assert keras.backend.backend() == "tensorflow"
    return cache(pretrained)


def photograph(name: str, side: int) -> NDArray[np.float32]:
    """The middle of a photograph that comes with scikit-learn, [1, side, side, 3], 0..255."""
    import tensorflow as tf
    from sklearn.datasets import load_sample_image

    whole = load_sample_image(name)
    height, width = whole.shape[:2]
    small = min(height, width)
    top, left = (height - small) // 2, (width - small) // 2
    middle = whole[None, top : top + small, left : left + small].astype(np.float32)
    resized: NDArray[np.float32] = tf.image.resize(middle, (side, side), antialias=True).numpy()
    return resized


PUBLISHED = {LITE0: 4_652_008, LITE2: 6_092_072}
"""Weights that are trained: 4.7 and 6.1 million in the original's table."""


@each
@pytest.mark.parametrize("side", [75, 128])
def test_the_drawing_from_the_table_is_the_network_that_is_built(of: Lite, keras: Any, side: int) -> None:
    with keras.StatelessScope(initialize_variables=False):
        model = untrained(of, side)
    *maps, said = model.outputs
    assert said.shape == (None, 1000)
    drawn = of.layers(side)
    assert [layer.shape for layer in drawn[2:]] == [tuple(found.shape[1:]) for found in maps]
    assert tuple(found.shape[-1] for found in maps) == of.widths
    assert sum(layer.parameters for layer in drawn) == model.count_params() - 1281 * 1000
    assert model.count_params() == {LITE0: 4_694_024, LITE2: 6_150_168}[of]
    assert sum(int(np.prod(w.shape)) for w in model.weights if "moving" not in w.path) == PUBLISHED[of]


def test_the_stages_of_a_wider_and_deeper_one_are_those_of_the_original() -> None:
    assert scaled(1.0, 1.0) == LITE0.stages
    found = [(stage.blocks, stage.filters) for stage in LITE2.stages]
    assert found == [(1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)]


@each_with_weights
def test_the_file_is_read_whole(of: Lite) -> None:
    tensors = of.weights()
    assert len(tensors) == {LITE0: 296, LITE2: 386}[of]
    assert {value.dtype for value in tensors.values()} == {np.dtype(np.float32), np.dtype(np.int64)}
    assert all(np.isfinite(value).all() for value in tensors.values())
    assert all((value >= 0).all() for name, value in tensors.items() if name.endswith("running_var"))
    assert of.problem() is None


@each_with_weights
def test_every_tensor_has_a_place_and_none_is_left(of: Lite, built: Callable[[Lite], Any]) -> None:
    numbers = sum(value.size for name, value in of.weights().items() if not name.endswith("num_batches_tracked"))
    assert numbers == built(of).count_params()
    kernel = np.asarray(built(of).get_layer("conv_stem").kernel)
    np.testing.assert_array_equal(kernel[1, 2, 0, 31], of.weights()["_conv_stem.weight"][31, 0, 1, 2])


@pytest.mark.parametrize("of", [with_weights(LITE0)])
@pytest.mark.parametrize("change", ["gone", "surplus", "shape"])
def test_weights_that_do_not_fit_are_refused(of: Lite, change: str, keras: Any) -> None:
    tensors = of.weights()
    match change:
        case "gone":
            del tensors["_blocks.3._bn1.bias"]
        case "surplus":
            tensors["_blocks.16._bn0.bias"] = np.zeros(3, np.float32)
        case "shape":
            tensors["_fc.weight"] = tensors["_fc.weight"][:, 1:]
    with pytest.raises(
        BackboneError, match={"gone": "no _blocks.3._bn1.bias", "surplus": "16", "shape": "^fc: shape"}[change]
    ):
        fill(untrained(of, 32), tensors)
    assert keras.backend.backend() == "tensorflow"


PALACE, BELL_COTE, MONASTERY, DAISY, HONEYCOMB = 698, 442, 663, 985, 599
"""Rows of ImageNet's list of 1,000 classes in its usual order."""


@each_with_weights
@pytest.mark.parametrize(
    ("name", "classes"), [("china.jpg", {PALACE, BELL_COTE, MONASTERY}), ("flower.jpg", {DAISY, HONEYCOMB})]
)
def test_photographs_are_seen_for_what_they_show(
    of: Lite, built: Callable[[Lite], Any], name: str, classes: set[int]
) -> None:
    """A pagoda and the middle of a dahlia, which ImageNet has no words for: what is nearest is first."""
    said = np.asarray(built(of)(photograph(name, 224), training=False)[-1])[0]
    assert said.sum() == pytest.approx(1, abs=1e-4)
    assert int(said.argmax()) in classes
    assert sum(said[label] for label in classes) > 0.2


@each_with_weights
def test_maps_of_photographs_have_the_means_that_batch_normalisation_remembers(
    of: Lite, keras: Any, built: Callable[[Lite], Any]
) -> None:
    """A layer in the wrong place, transposed, or padded otherwise would not give what the next one was trained on."""
    network = built(of)
    norms = [layer for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    assert len(norms) == {LITE0: 49, LITE2: 64}[of]
    before = keras.Model(network.inputs, [layer.input for layer in norms])
    photographs = np.concatenate([photograph(name, 224) for name in ("china.jpg", "flower.jpg")])
    for layer, x in zip(norms, before([photographs], training=False), strict=True):
        found, deviation = np.asarray(x), np.sqrt(np.asarray(layer.moving_variance))
        alive = deviation > 1e-3  # some channels of the original never say anything
        away = np.abs(found.mean(axis=(0, 1, 2)) - np.asarray(layer.moving_mean))[alive] / deviation[alive]
        spread = found.std(axis=(0, 1, 2))[alive] / deviation[alive]
        assert np.median(away) < 0.6, layer.name
        assert 0.2 < np.median(spread) < 1.5, layer.name


# Features


@each_with_weights
@pytest.mark.parametrize("shape", [(5, 9, 1), (8, 8, 3), (200, 90, 3)])
def test_images_of_every_size_and_colour_have_features(of: Lite, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    found = of.features(pixels, 64)
    assert found.shape == (3, {LITE0: 2064 + 80, LITE2: 2136 + 88}[of])
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 3
    np.testing.assert_array_equal(found, of.features(pixels, 64))


@each_with_weights
def test_grey_is_the_same_in_three_colours_and_a_mirror_image_is_the_image_mirrored(of: Lite) -> None:
    grey = np.random.default_rng(2).integers(0, 256, (2, 20, 20, 1), dtype=np.uint8)
    plain = of.features(grey, 64)
    np.testing.assert_allclose(plain, of.features(np.repeat(grey, 3, axis=-1), 64), atol=1e-4)
    mirrored = of.features(grey, 64, mirrored=True)
    np.testing.assert_allclose(mirrored, of.features(grey[:, :, ::-1], 64), atol=1e-3)
    assert not np.allclose(plain, mirrored, atol=1e-2)


@each_with_weights
def test_features_are_the_means_of_the_maps_and_the_deviations_of_one(of: Lite, built: Callable[[Lite], Any]) -> None:
    image = photograph("flower.jpg", 64).round()
    maps = [np.asarray(found) for found in built(of)(image, training=False)[:-1]]
    expected = [*(found.mean(axis=(1, 2)) for found in maps), maps[of.style_map].std(axis=(1, 2))]
    found = of.features(image.astype(np.uint8), 64)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-3)
    style = [expected[of.style_map], expected[-1]]
    np.testing.assert_allclose(found[:, of.style_columns], np.concatenate(style, axis=1), atol=1e-3)
