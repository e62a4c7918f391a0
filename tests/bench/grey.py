"""What 8 bits cost grey of 12 whose values lie close together: `python -m tests.bench.grey`.

Pictures as of a microscope: 12 bits, of which a few hundred values are used, with noise of the camera. One class has a
faint grating. They are read as a search reads them, by the set's window; as if by the whole 12 bits; and not rounded.
A ridge regression on the pixels, the same for all three, tells the classes apart in five folds, four times over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.depth import Scale
from search.data.images import read_images

IMAGES, SIDE, RIDGE, REPEATS, FOLDS = 400, 16, 1e3, 4, 5
BASE, NOISE = 300, 4.0  # of 4095: grey of the ground, spread of the camera
AMPLITUDES = (0.25, 0.5, 1.0)  # of the grating, in values of 12 bits


def pictures(amplitude: float) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """([images, height, width], [images] class)."""
    generator = np.random.default_rng(7)
    grating = amplitude * np.sin(2 * np.pi * np.arange(SIDE) / 8)
    labels = np.arange(IMAGES) % 2
    ground = BASE + 40 * generator.random((IMAGES, 1, 1))
    values = ground + NOISE * generator.standard_normal((IMAGES, SIDE, SIDE)) + labels[:, None, None] * grating
    return np.rint(values).astype(np.uint16), labels


def accuracy(values: NDArray[np.integer], labels: NDArray[np.int64]) -> float:
    """The mean accuracy out of fold. `values`: [images, height, width], of any scale."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    flat = (flat - flat.mean(axis=1, keepdims=True)) / flat.std()
    right = []
    for repeat in range(REPEATS):
        folds = np.random.default_rng(repeat).permutation(len(labels)) % FOLDS
        for fold in range(FOLDS):
            train, test = folds != fold, folds == fold
            middle = flat[train].mean(axis=0)
            known = flat[train] - middle
            kernel = known @ known.T + RIDGE * np.eye(len(known))
            weights = known.T @ np.linalg.solve(kernel, 2.0 * labels[train] - 1)
            right.append((((flat[test] - middle) @ weights > 0) == (labels[test] == 1)).mean())
    return float(np.mean(right))


def read(words: NDArray[np.uint16], labels: NDArray[np.int64], scale: Scale | None) -> NDArray[np.uint8]:
    """As a search reads files of them; `scale` None: that of the set."""
    with tempfile.TemporaryDirectory() as place:
        for number, (picture, label) in enumerate(zip(words, labels, strict=True)):
            path = Path(place) / "ab"[label] / f"{number:04}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path)
        images = read_images(Path(place), scale=scale)
        order = np.argsort([int(Path(path).stem) for path in images.paths])
        return images.pixels[order, :, :, 0]


def main(say: Callable[[str], None] = print) -> None:
    """Print the table."""
    say("| amplitude, of 4,095 | not rounded | 8 bits by the window | 8 bits of all 12 |")
    say("| --- | --- | --- | --- |")
    for amplitude in AMPLITUDES:
        words, labels = pictures(amplitude)
        ways = (words, read(words, labels, None), read(words, labels, Scale.of_bits(12)))
        say(f"| {amplitude:g} | " + " | ".join(f"{accuracy(values, labels):.3f}" for values in ways) + " |")


if __name__ == "__main__":
    main()
