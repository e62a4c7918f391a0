"""Cases of models and of commands: a short search, what it says, and the command that it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from spaces.backbones.lite import LITE0
from tests.cases.place import Case, Place, WrongError, picture, shown
from tests.commands import search, start, trials_of, wait_until
from tests.test_documentation import blocks, text_of
from tests.warm import ROOT

CLASSES = {"fern": 8, "moss": 8}
BUILDER = """
import keras

def build(hp):
    inputs = keras.Input((16, 16, 3))
    x = {scaling}
    x = keras.layers.Flatten()(x)
    outputs = keras.layers.Dense(2, activation={activation})(x)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(hp.Choice("rate", [0.003, 0.001])), {loss})
    return model
"""
TWIN = "keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)"
LOSS = '"categorical_crossentropy"'


def builder(scaling: str = TWIN, activation: str = '"softmax"', loss: str = LOSS) -> str:
    """A file with a builder."""
    return BUILDER.format(scaling=scaling, activation=activation, loss=loss)


def scaling_inside(place: Place) -> str:
    """A builder that scales as Keras's tutorials do learns as one with a Rescaling layer does, or is told."""
    place.fill("pictures", CLASSES)
    ways = {
        "preprocess": "keras.applications.mobilenet_v2.preprocess_input(inputs)",
        "lambdas": "keras.layers.Lambda(lambda p: p / 127.5 - 1)(inputs)",
        "caffe": "keras.applications.resnet50.preprocess_input(inputs)",
    }
    happened = []
    for name, scaling in ways.items():
        place.write(f"{name}.py", builder(scaling))
        answer = place.train(f"{name}.py", "--epochs", "30")
        scores = place.scores(name)
        if not re.search(r"0\s*(\.\.|to|-)\s*255", answer.text) and (not scores or min(scores) < 0.8):
            raise WrongError(f"{name}: {scores}, and nothing is said of 0..255: {shown(answer.text[-200:])}")
        happened.append(f"{name}: {', '.join(f'{score:.2f}' for score in scores) or 'told'}")
    return "; ".join(happened)


def shared_weights(place: Place) -> str:
    """A layer made outside the builder: each fold begins with the same weights, or the trial fails."""
    for label, name in enumerate(("heads", "tails")):
        (place.root / "coin" / name).mkdir(parents=True)
        for number in range(12):
            picture(2, 100 * label + number).save(place.root / "coin" / name / f"{number}.png")
    made = 'import keras\n\nbody = keras.layers.Conv2D(4, 3, activation="relu")\nbody.build((None, 16, 16, 3))\n'
    made += "first = body.get_weights()\n"
    outside = builder("body(keras.layers.Rescaling(1 / 255)(inputs))\n    note()").replace("import keras\n", made)
    note = "\ndef note():\n    moved = max(abs(w - f).max() for w, f in zip(body.get_weights(), first))\n"
    note += '    with open("begins.txt", "a") as file:\n        print(moved, file=file)\n'
    place.write("outside.py", outside + note)
    answer = place.train("outside.py", "--epochs", "6", images="coin")
    if answer.code != 0:
        return answer.says("outside|shared?|module|in build")
    begins = [float(line) for line in (place.root / "begins.txt").read_text().split()]
    if any(begins):
        raise WrongError(f"models begin with weights that training moved by {max(begins):.3f}")
    return f"all {len(begins)} models begin with the weights that the file gives"


def exported(place: Place) -> str:
    """What is shipped by default becomes a SavedModel and a LiteRT file."""
    if LITE0.problem():
        return "skipped: the extra `backbone` is not installed"
    place.fill("pictures", CLASSES, side=32)
    short = ("--preset", "frozen", "--trials", "1", "--folds", "2", "--workers", "1", "--dir", "st", "-q")
    place.search("run", "pictures", *short).ends(0)
    place.search("export", "st", "--to", "model.keras").ends(0)
    code = """
import keras, numpy as np, tensorflow as tf
model = keras.saving.load_model("model.keras", compile=False)
x = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:])).astype("float32")
model.export("saved", verbose=False)
loaded = tf.saved_model.load("saved")
served = loaded.serve(tf.constant(x)).numpy()
lite = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_saved_model("saved").convert())
lite.allocate_tensors()
lite.set_tensor(lite.get_input_details()[0]["index"], x)
lite.invoke()
of_lite = lite.get_tensor(lite.get_output_details()[0]["index"])
expected = model.predict(x, verbose=0)
print("differences", abs(served - expected).max(), abs(of_lite - expected).max())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=place.root, capture_output=True, text=True, check=False)
    if not (found := re.search(r"differences (\S+) (\S+)", done.stdout)) or max(map(float, found.groups())) > 1e-4:
        raise WrongError(shown((done.stdout + done.stderr)[-300:]))
    return found.group()


def printed_command(place: Place) -> str:
    """After Ctrl-C the printed command works, for a model of one's own in folders with spaces and quotes."""
    place.fill("my pictures", CLASSES)
    place.write("nets here/net.py", builder())
    study = Path("it's a study")
    options = ("--model", "nets here/net.py:build", "--folds", "2", "--epochs", "3", "--workers", "1", "-q")
    process = start("run", "my pictures", *options, "--trials", "400", "--dir", study, cwd=place.root)
    database = place.root / study / "study.db"
    wait_until(lambda: database.exists() and len(trials_of(place.root / study)) > 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    command = re.search(r"Go on with: search (.+)$", out + err, re.MULTILINE)
    if process.returncode != 75 or not command:
        raise WrongError(f"exit {process.returncode}: {shown((out + err)[-200:])}")
    before = len(trials_of(place.root / study))
    place.search(*shlex.split(command[1]), "--trials", str(before + 1), "-q").ends(0)
    place.search("init", "my pictures", "--dir", "-new one").ends(0)
    begins = place.search("report", "./-new one").says("`search run './-new one'` starts it")
    return f"search {command[1]}: went on; {begins}"


def nothing_complete(place: Place) -> str:
    """Every trial fails: exit 1, with the cause; a list or dict of one loss is no reason to fail."""
    place.fill("pictures", CLASSES)
    place.write("fails.py", builder(loss="lambda truth, said: 1 / 0"))
    answer = place.train("fails.py", "--trials", "2")
    answer.ends(1)
    happened = answer.says("no trial is complete", "failed")
    of_logits = "keras.losses.CategoricalCrossentropy(from_logits=True)"
    for name, loss in (("listed", f"[{of_logits}]"), ("by_name", f'{{"dense": {of_logits}}}')):
        source = builder(activation="None", loss=loss)
        place.write(f"{name}.py", source.replace("Dense(2,", 'Dense(2, name="dense",'))
        place.train(f"{name}.py", "--epochs", "2").ends(0)
    return f"{happened}; losses in a list and in a dict are trained"


def logits(place: Place) -> str:
    """Outputs that are no probabilities are made some, or the trial fails with the line to change."""
    place.fill("pictures", CLASSES)
    ways = {
        "on_logits": 'lambda t, y: __import__("tensorflow").nn.softmax_cross_entropy_with_logits(t, y)',
        "hinge": '"categorical_hinge"',
    }
    happened = []
    for name, loss in ways.items():
        place.write(f"{name}.py", builder(activation="None", loss=loss))
        answer = place.train(f"{name}.py", "--epochs", "5")
        if answer.code == 1:
            happened.append(answer.says("probabilit|softmax"))
            continue
        done = search("predict", name, "pictures", "--json", cwd=place.root)
        rows = np.array([[*one["probabilities"].values()] for one in json.loads(done.stdout)["images"]])
        if not (np.isfinite(rows).all() and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-4)):
            raise WrongError(f"{name}: rows such as {rows[0].tolist()}")
        happened.append(f"{name}: every row adds up to 1")
    return "; ".join(happened)


def scripts(place: Place) -> str:
    """A notebook, and a script that trains when it is imported."""
    place.fill("pictures", CLASSES)
    cell = '{"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": ["import keras"]}'
    place.write("net.ipynb", f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}')
    notebook = place.train("net.ipynb")
    notebook.ends(2)
    fits = "\nimport numpy\nmodel = build(__import__('keras_tuner').HyperParameters())\n"
    fits += "model.fit(numpy.zeros((2, 16, 16, 3)), numpy.eye(2), verbose=0)\n"
    place.write("trains.py", builder() + fits)
    script = place.train("trains.py", "--epochs", "1")
    return f"{notebook.says('notebook')}; {script.says('__main__|import')}"


def old_keras(place: Place) -> str:
    """A legacy optimizer is answered with what works here."""
    place.fill("pictures", CLASSES)
    legacy = builder().replace("keras.optimizers.Adam", "__import__('tensorflow').keras.optimizers.legacy.Adam")
    place.write("legacy.py", legacy)
    answer = place.train("legacy.py")
    answer.lacks("TF_USE_LEGACY_KERAS")
    return answer.says(r"(?<!legacy\.)keras\.optimizers\.Adam")


def page_of_the_file(place: Place) -> str:
    """The lines of the documentation use an exported file, and say what `search predict` says."""
    place.fill("pictures", CLASSES)
    short = ("--preset", "cnn", "--trials", "1", "--folds", "2", "--epochs", "4", "--workers", "1", "--dir", "st", "-q")
    place.search("run", "pictures", *short).ends(0)
    wrote = place.search("export", "st", "--to", "model.keras")
    wrote.says("fern, moss", "16 x 16", "0 to 255")
    picture(0, 99, 40).save(place.root / "picture.png")
    (code,) = blocks("python", text_of("docs/using-the-model.md"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", f"{code}\nprint(*probabilities)"]
    done = subprocess.run(line, cwd=place.root, env=environment, capture_output=True, text=True, check=False)
    said = json.loads(search("predict", "model.keras", "picture.png", "--json", cwd=place.root).stdout)
    expected = [*said["images"][0]["probabilities"].values()]
    if done.returncode or not np.allclose([float(p) for p in done.stdout.split()[-2:]], expected, atol=1e-5):
        raise WrongError(shown((done.stdout + done.stderr)[-200:]))
    return f"{wrote.says('input')}; the page's lines agree"


CASES = (
    Case("03", "builders that scale pixels by themselves", "learn as with Rescaling, or a sentence", scaling_inside),
    Case("04", "a layer made outside the builder", "every fold begins anew, or a sentence", shared_weights),
    Case("06", "the default model, exported", "SavedModel and LiteRT give the same numbers", exported),
    Case("14", "Ctrl-C with --model, spaces, quotes, dashes", "the printed command works as it is", printed_command),
    Case("16", "every trial fails; losses in a list or dict", "exit 1 with the cause; trained", nothing_complete),
    Case("17", "logits under a loss of one's own, hinge", "probabilities, or a sentence", logits),
    Case("19", "a notebook; a script that trains when imported", "named as that, with the step", scripts),
    Case("23", "tf.keras.optimizers.legacy", "the optimizer that works here", old_keras),
    Case("25", "using the exported file in a program", "the page's lines agree with predict", page_of_the_file),
)
