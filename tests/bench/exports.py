"""Every format of every family on real pictures: `python -m tests.bench.exports PICTURES [--time 60s] [--keep FOLDER]`.

Searches the pictures once for each family, exports what it chose to each format, and prints what was measured. The last
lines are of the Keras files themselves: how they are called must not matter, by XLA neither.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.export.predict import load_model
from search.manifest import about
from search.native import ENVIRONMENT

CALLS = 100  # of a model, after which its weights are as they were
TARGETS: dict[str, tuple[str, ...]] = {
    "LiteRT": ("--to", "model.tflite"),
    "LiteRT, float16": ("--to", "half.tflite", "--quantize", "float16"),
    "LiteRT, int8": ("--to", "quarter.tflite", "--quantize", "int8"),
    "ONNX": ("--to", "model.onnx"),
    "SavedModel": ("--to", "saved"),
}
OWN = """
import keras

def build(hp):
    model = keras.Sequential([
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(hp.Int("filters", 8, 32, step=8), 3, activation="relu"),
        keras.layers.MaxPooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(CLASSES, activation="softmax"),
    ])
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2, sampling="log")), "categorical_crossentropy")
    return model
"""
FAMILIES: dict[str, tuple[str, ...]] = {
    "cnn": ("--preset", "cnn", "--folds", "3", "--epochs", "6"),
    "frozen": ("--preset", "frozen"),
    "fine-tune": ("--preset", "fine-tune", "--folds", "3"),
    "auto": ("--preset", "auto"),
    "own": ("--model", "net.py:build", "--folds", "3", "--epochs", "6"),
}


def run(*arguments: str | Path, cwd: Path) -> str:
    line = [sys.executable, "-m", "search", *map(str, arguments)]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}: {done.stderr or done.stdout}")
    sys.stderr.write(done.stderr)
    return done.stdout


def searched(home: Path, pictures: Path, budget: str, family: str) -> Path:
    """The study of one family, which is searched unless it is there."""
    study = home / family
    if not (study / "models" / "choice.keras").exists():
        classes = sum(path.is_dir() for path in next(iter([*pictures.glob("training"), pictures])).iterdir())
        (home / "net.py").write_text(OWN.replace("CLASSES", str(classes)))
        run("run", pictures, *FAMILIES[family], "--time", budget, "--dir", study, "--quiet", cwd=home)
    return study


def rows(study: Path, family: str) -> Iterator[str]:
    """Of each format."""
    model = study / "models" / "choice.keras"
    members = len(json.loads(run("report", study, "--json", cwd=study))["chosen"]["members"])
    what = f"{family}, {members} network{'s' if members > 1 else ''}"
    keras_ms = ""
    lines = []
    for name, options in TARGETS.items():
        found = json.loads(run("export", study, *options, "--json", cwd=study))["agreement"]
        keras_ms = f"{found['milliseconds_before']:.1f}"
        lines.append(
            f"| {what} | {name} | {found['largest']:.1e} | {found['differing']} of {found['images']} | "
            f"{100 * found['score']:.1f} % | {found['bytes'] / 1e6:.2f} | {found['milliseconds']:.1f} |"
        )
        before = f"{100 * found['score_before']:.1f} %"
    yield f"| {what} | Keras | | | {before} | {model.stat().st_size / 1e6:.2f} | {keras_ms} |"
    yield from lines


def calls(model: Path) -> str:
    """How the Keras file answers in each way that it can be called."""
    import tensorflow as tf

    network: Any = load_model(model)
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 255, (16, *about(model).image_shape)).astype(np.float32)
    before, predicted = network.get_weights(), network.predict(x, verbose=0)
    ways = {
        "model(x)": network(x),
        "model(x, training=False)": network(x, training=False),
        "XLA": tf.function(network, jit_compile=True)(x),
    }
    call = tf.function(network)
    for _ in range(CALLS):
        call(x[:2])
    moved = sum(not np.array_equal(old, new) for old, new in zip(before, network.get_weights(), strict=True))
    told = ", ".join(f"{name} {np.abs(np.asarray(said) - predicted).max():.1e}" for name, said in ways.items())
    return f"largest difference from predict: {told}; weights changed by {CALLS} calls: {moved} of {len(before)}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.exports", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--time", default="60s")
    parser.add_argument("--keep", type=Path, help="a folder for the studies, which are not searched again")
    parser.add_argument("--families", nargs="+", default=[*FAMILIES], choices=[*FAMILIES])
    asked = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    with tempfile.TemporaryDirectory() as temporary:
        home = (asked.keep or Path(temporary)).resolve()
        home.mkdir(exist_ok=True)
        print("| model | format | largest difference | other class | metric | MB | ms an image |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for family in asked.families:
            for row in rows(searched(home, asked.pictures.resolve(), asked.time, family), family):
                print(row, flush=True)
        for family in asked.families:
            print(f"{family}: {calls(home / family / 'models' / 'choice.keras')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
