"""The lines of docs/using-the-model.md, run as they stand, say of pictures what `search predict` says."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.export.predict import predict
from search.manifest import ABOUT, PACKAGING
from tests.pictures import list_inputs, noise
from tests.test_documentation import blocks, text_of

CLASSES = ["bag", "coat", "dress"]
ORIENTATION = 0x0112  # the EXIF tag
KINDS = {"plain": "RGB", "grey": "L", "transparent": "RGBA", "clear grey": "LA", "sideways": "RGB", "palette": "P"}


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as `search export` writes it, of pictures of 9 x 7, whose answer every pixel changes."""
    import keras

    path, shape = tmp_path_factory.mktemp("model") / "model.keras", (9, 7, request.param)
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    keras.Sequential([keras.Input(shape), *layers]).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        about = {"classes": CLASSES, "image_shape": shape, "packaging": PACKAGING, "temperature": 1.7, "doubt": 0.03}
        archive.writestr(ABOUT, json.dumps(about))
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [5, 40], ids=["enlarged", "shrunk"])
def test_the_lines_of_the_page_say_what_predict_says(
    model: Path, kind: str, side: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(model.parent)
    write(Path("picture.png"), kind, side)
    (code,) = blocks("python", text_of("docs/using-the-model.md"))
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the page's own lines
    (prediction,) = predict(model, list_inputs([Path("picture.png")]))
    np.testing.assert_allclose(names["probabilities"], prediction.probabilities, atol=1e-5)
    assert capsys.readouterr().out.startswith(CLASSES[int(np.argmax(prediction.probabilities))])


def write(path: Path, kind: str, side: int) -> None:
    """A picture of noise, twice as wide as high; 'sideways' is turned by its EXIF."""
    pixels = 2 * noise(np.random.default_rng(side), 2 * side, 3)[:side]
    alpha = Image.fromarray(np.linspace(0, 255, 2 * side * side).astype(np.uint8).reshape(side, 2 * side))
    picture, exif = Image.fromarray(pixels).convert(KINDS[kind]), Image.Exif()
    if "A" in KINDS[kind]:
        picture.putalpha(alpha)
    if kind == "sideways":
        exif[ORIENTATION] = 6
    picture.save(path, exif=exif)
