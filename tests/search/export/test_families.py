"""What a study of each family ships, in every format: the format's own runtime and `search predict` say the same.

`test_formats.py` has one small network, and files of strangers; here are the networks that searches make.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.data.images import read_images
from storage import Store
from tests.commands import search, search_here
from tests.pictures import make_pictures
from tests.search.export.code.test_script import run as run_script
from tests.search.export.models import needs
from tests.search.worker.test_frozen import needs_weights
from tests.spaces.hugging_face import CONFIGS, make_folder

pytestmark = [pytest.mark.slow, needs("LiteRT"), needs("ONNX")]

FLAGS = ("--folds", "2", "--workers", "1", "--no-lock-box", "--quiet")
SPACES: Mapping[str, tuple[str, ...]] = {
    "cnn": ("conv_depth = 2", 'normalization = "batch"'),
    "frozen": ("input_size = 64", 'head = "dense"'),
    "fine-tune": ("input_size = 64", "epochs = 2", 'unfreeze = "all"'),
    "ensemble": ("input_size = [64, 96]", 'head = "logistic"', "c = 100.0"),
}
NETWORKS = {"frozen": "dinov2", "fine-tune": "convnext"}
"""The pre-trained network of a family, small and with random weights; the ensemble's is Lite0 with its own."""
TRIED = ("input_size = 64", 'stages = "last"', 'input_size = 64\nstages = "last"')
"""Points of the ensemble beside the default: two pairs that share their passes through the network, all its weights."""
FAINT = 12
"""How bright the pictures of the ensemble are: each trial is far too sure of its guesses, and needs the others."""
OWN = """
import keras

def build(hp):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation=hp.Choice("activation", ["gelu"]))(x)
    x = keras.layers.GroupNormalization(1)(keras.layers.Conv2D(4, 3)(x))
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""


@dataclass(frozen=True)
class Searched:
    """A study with its model, and what that says."""

    family: str
    home: Path  # with `shapes`, `study` and perhaps `net.py`
    pixels: NDArray[np.float32]  # [images, 8, 8, 1], all of the study
    said: NDArray[np.float32]  # [images, classes], by Keras

    @property
    def named(self) -> tuple[str, ...]:
        """The options that name the user's model."""
        return ("--model", "net.py:build") if self.family == "own" else ()


FAMILIES = [pytest.param(name, marks=[needs_weights] if name == "ensemble" else []) for name in (*SPACES, "own")]


@pytest.fixture(scope="module", params=FAMILIES)
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    family = str(request.param)
    home = tmp_path_factory.mktemp(family)
    count, bright = (24, FAINT) if family == "ensemble" else (12, 150)
    training, testing = ({"left": number, "top": number} for number in (count, 4))
    make_pictures(home / "shapes", training, testing=testing, bright=bright)
    done = _run(home, family)
    assert done.returncode == 0, done.stderr
    if family == "ensemble":
        with Store.open(home / "study" / "study.db", read_only=True) as store:
            chosen = store.choices()[-1]
        assert len(chosen.members) >= 3, "so two share a pass, and two do not"
    import keras

    pixels = read_images(home / "shapes").pixels.astype(np.float32)
    model = keras.saving.load_model(home / "study" / "models" / "choice.keras", compile=False)
    return Searched(family, home, pixels, model.predict(pixels, verbose=0))


def _run(home: Path, family: str) -> Any:
    """Search once, as a user does."""
    if family == "own":
        (home / "net.py").write_text(OWN)
        more = ("--model", "net.py:build", "--trials", "1", "--epochs", "12", "--dir", "study")
        return search("run", "shapes", *more, *FLAGS, cwd=home)
    network: tuple[str, ...] = ("--backbone", "lite0") if family == "ensemble" else ()
    if family in NETWORKS:
        make_folder(home / "tiny", CONFIGS[NETWORKS[family]])
        network = ("--backbone", "tiny")
    preset = "frozen" if family == "ensemble" else family
    begun = search_here("init", "shapes", "--preset", preset, *network, "--dir", "study", cwd=home)
    assert begun.returncode == 0, begun.stderr
    toml = home / "study" / "study.toml"
    text = toml.read_text().replace("[space]\n", "[space]\n" + "\n".join(SPACES[family]) + "\n")
    tried = TRIED if family == "ensemble" else ()
    if family == "ensemble":  # by which no trial is too far behind to be a member
        text = text.replace('metric = "balanced_accuracy"', 'metric = "log_loss"')
    toml.write_text(text + "".join(f"\n[[try]]\n{line}\n" for line in tried))
    return search("run", "study", "--trials", str(1 + len(tried)), "--epochs", "12", *FLAGS, cwd=home)


# How the runtime of each format is asked, without this project


def by_keras(path: Path, pixels: NDArray[np.float32]) -> Any:
    import keras

    return keras.saving.load_model(path, compile=False).predict(pixels, verbose=0)


def by_litert(path: Path, pixels: NDArray[np.float32]) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(answer["index"])


def by_onnxruntime(path: Path, pixels: NDArray[np.float32]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def by_tensorflow(path: Path, pixels: NDArray[np.float32]) -> Any:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    (answer,) = model.signatures["serving_default"](pixels=tf.constant(pixels)).values()
    return answer.numpy()


@dataclass(frozen=True)
class Target:
    """A format as it is asked for, and by how much a probability may differ."""

    to: str
    ask: Callable[[Path, NDArray[np.float32]], Any]
    most: float = 1e-4
    quantize: tuple[str, ...] = ()


TARGETS = {
    "Keras": Target("model.keras", by_keras, 1e-6),
    "LiteRT": Target("model.tflite", by_litert),
    "LiteRT, float16": Target("half.tflite", by_litert, 0.02, ("--quantize", "float16")),
    "LiteRT, int8": Target("quarter.tflite", by_litert, 1.0, ("--quantize", "int8")),
    "ONNX": Target("model.onnx", by_onnxruntime),
    "SavedModel": Target("saved", by_tensorflow),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_format_says_what_the_study_says(searched: Searched, target: Target, tmp_path: Path) -> None:
    """Of int8 the images with another class are counted; no number is a limit for every network."""
    path, home = tmp_path / target.to, searched.home
    done = search_here("export", "study", "--to", path, *target.quantize, *searched.named, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    said = np.asarray(target.ask(path, searched.pixels))
    far = float(np.abs(said - searched.said).max())
    other = int((said.argmax(axis=1) != searched.said.argmax(axis=1)).sum())
    assert far <= target.most
    if measured := json.loads(done.stdout)["agreement"]:
        assert (measured["images"], measured["differing"]) == (len(searched.pixels), other)
        assert measured["largest"] == pytest.approx(far, abs=0.01 if target.quantize else 1e-5)
    ours, theirs = (_predicted(model, home) for model in ("study", path))
    assert ours.keys() == theirs.keys() and len(ours) == len(searched.pixels)
    apart = [path for path in ours if ours[path].argmax() != theirs[path].argmax()]
    assert len(apart) == other
    if not target.quantize:
        assert max(np.abs(ours[path] - theirs[path]).max() for path in ours) <= target.most


def _predicted(model: str | Path, home: Path) -> dict[str, NDArray[np.float64]]:
    done = search_here("predict", model, "shapes", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)["images"]
    return {one["path"]: np.array([*one["probabilities"].values()]) for one in answers}


def test_plain_code_trains_it_again(searched: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "train.py"
    done = search("export", "study", "--to", script, *searched.named, cwd=searched.home)
    assert done.returncode == 0, done.stderr
    score, printed = run_script(script, searched.home / "shapes", capsys)
    assert 0 <= score <= 1 and "train.trained.keras" in printed
    said = by_keras(tmp_path / "train.trained.keras", searched.pixels)
    assert said.shape == searched.said.shape
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_of_ones_own_model_the_code_is_needed_to_write_it_as_code(searched: Searched) -> None:
    if searched.family != "own":
        pytest.skip("of a family of ours the code is known")
    done = search_here("export", "study", "--to", "train.py", cwd=searched.home)
    assert done.returncode == 2 and "--model" in done.stderr and not (searched.home / "train.py").exists()
