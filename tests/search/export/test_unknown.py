"""`search predict --unknown`: pictures unlike all training images, by a file that may have been tampered with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.errors import UsageError
from search.export.predict import predict
from search.manifest import ABOUT, Known, Remembered, remembered
from spaces.backbones.lite import LITE0
from tests.pictures import list_inputs, write
from tests.search.worker.test_frozen import needs_weights

TOLD = {"classes": ["dark", "bright"], "image_shape": [8, 8, 1], "packaging": 2}
UPPER, LOWER = slice(0, 4), slice(4, 8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of what is brighter, the left or the right; it remembers pictures that are bright above."""
    import keras

    from search.worker.packaging import save

    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(inputs))
    layer = keras.layers.BatchNormalization(epsilon=0.0, center=False, scale=False, name="standardized")
    x = layer(x)
    dense = keras.layers.Dense(2, "softmax")
    network = keras.Model(inputs, dense(x))
    dense.set_weights([np.array([[0.1, 0], [0, 0.1]] * 2), np.zeros(2)])
    known = np.array([[200, 10, 0, 0], [10, 200, 0, 0]] * 5, np.float16)
    path = tmp_path / "model.keras"
    save(network, path, TOLD, Remembered("standardized", Known(0.1, known)))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, rows, columns in (("above", UPPER, slice(0, 4)), ("below", LOWER, slice(4, 8))):
        pixels = np.zeros((8, 8), np.uint8)
        pixels[rows, columns] = 200
        write(tmp_path / "new" / f"{name}.png", Image.fromarray(pixels))
    return tmp_path / "new"


def test_what_is_unlike_is_told_and_only_where_asked(model: Path, pictures: Path) -> None:
    told = [*predict(model, list_inputs([pictures]), unknown=True)]
    assert [answer.unknown for answer in told] == [False, True]
    assert [answer.label(TOLD["classes"]) for answer in told] == ["dark", "unknown"]  # type: ignore[arg-type]
    plain = [*predict(model, list_inputs([pictures]))]
    assert [answer.unknown for answer in plain] == [False, False]
    for one, other in zip(told, plain, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities)


def rewritten(model: Path, change: Callable[[dict[str, Any], bytes], tuple[Mapping[str, Any], bytes]]) -> Path:
    """The file with another description and other bytes of features."""
    path = model.with_name("altered.keras")
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
        about, features = change(json.loads(source.read(ABOUT)), source.read("remembered.float16"))
        for name in source.namelist():
            new = {ABOUT: json.dumps(about).encode(), "remembered.float16": features}
            target.writestr(name, new.get(name, source.read(name)))
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"width": 10**9},
        {"vectors": 10**9},
        {"vectors": 0},
        {"width": -4},
        {"width": "4"},
        {"vectors": 9},
        {"vectors": 11},
        {"limit": "far"},
        {"limit": float("nan")},
        {"limit": -1},
        {"layer": 3},
        {"layer": None},
    ],
    ids=str,
)
def test_sizes_that_are_not_those_of_the_file_are_refused(model: Path, change: dict[str, Any]) -> None:
    altered = rewritten(model, lambda about, rows: ({**about, "remembered": {**about["remembered"], **change}}, rows))
    with pytest.raises(UsageError, match="is damaged: what it remembers"):
        remembered(altered)


@pytest.mark.parametrize("said", [[], "x", 3, {}])
def test_a_description_of_another_kind_is_refused(model: Path, said: Any) -> None:
    with pytest.raises(UsageError, match="is damaged"):
        remembered(rewritten(model, lambda about, rows: ({**about, "remembered": said}, rows)))


@pytest.mark.parametrize(
    "outside",
    [{}, {"sha256": "0" * 64, "side": 10**9, "mirrored": True}, {"sha256": 1, "side": 64, "mirrored": True}, 7],
)
def test_a_network_outside_that_cannot_be_is_damage(model: Path, outside: Any) -> None:
    altered = rewritten(
        model, lambda about, rows: ({**about, "remembered": {**about["remembered"], "outside": outside}}, rows)
    )
    with pytest.raises(UsageError, match="is damaged"):
        remembered(altered)


@needs_weights
def test_what_the_network_outside_cannot_have_seen_is_damage(model: Path, pictures: Path) -> None:
    """Ten vectors of four numbers, and no style."""
    outside = {"sha256": LITE0.sha256, "side": 64, "mirrored": True}
    altered = rewritten(
        model, lambda about, rows: ({**about, "remembered": {**about["remembered"], "outside": outside}}, rows)
    )
    with pytest.raises(UsageError, match="is damaged: what it remembers of its training images is not of the network"):
        [*predict(altered, list_inputs([pictures]), unknown=True)]


def test_a_network_outside_that_nobody_knows_is_said(model: Path, pictures: Path) -> None:
    outside = {"sha256": "0" * 64, "side": 64, "mirrored": True}
    altered = rewritten(
        model, lambda about, rows: ({**about, "remembered": {**about["remembered"], "outside": outside}}, rows)
    )
    with pytest.raises(UsageError, match="a network that this release does not know"):
        [*predict(altered, list_inputs([pictures]), unknown=True)]


def test_features_that_are_no_numbers_are_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="is damaged"):
        remembered(rewritten(model, lambda about, rows: (about, b"\xff" * len(rows))))


@pytest.mark.parametrize("layer", ["dense_of_nobody", "../x", "flatten", ""])
def test_a_layer_that_it_does_not_have_or_of_another_width_is_refused(model: Path, pictures: Path, layer: str) -> None:
    def renamed(about: dict[str, Any], rows: bytes) -> tuple[dict[str, Any], bytes]:
        return {**about, "remembered": {**about["remembered"], "layer": layer, "width": 2, "vectors": 20}}, rows

    with pytest.raises(UsageError, match="is damaged"):
        [*predict(rewritten(model, renamed), list_inputs([pictures]), unknown=True)]


def test_a_file_that_remembers_nothing_says_what_to_do(model: Path, pictures: Path) -> None:
    plain = rewritten(model, lambda about, rows: ({k: v for k, v in about.items() if k != "remembered"}, rows))
    assert remembered(plain) is None
    assert len([*predict(plain, list_inputs([pictures]))]) == 2
    with pytest.raises(UsageError, match=r"--unknown: .* does not remember its training images"):
        [*predict(plain, list_inputs([pictures]), unknown=True)]
