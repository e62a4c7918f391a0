"""How long a search takes on data sets of some sizes: `python -m tests.bench.durations`.

Generated pictures of 128x128 in four classes, or with `--pictures FOLDER` the first ones of each class of your own.
`search run` with its default settings and a number of trials. The times at which trials were closed are read from the
study, in whole seconds. A class of the generated pictures is a shape on top of other shapes, which takes some training.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from search.data.images import read_images
from storage import Store, TrialState
from tests.bench import gate, machine
from tests.bench.__main__ import command

SIZES, TRIALS = (150, 500, 2000), 20
CLASSES = ("cross", "ellipse", "rectangle", "triangle")


def generated(root: Path, count: int, seed: int = 0) -> None:
    """Write `count` pictures below `root`, one folder per class."""
    generator = np.random.default_rng(seed)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
    for number in range(count):
        name, image = CLASSES[number % len(CLASSES)], gate.picture(generator)
        side = int(generator.integers(gate.SIDE // 4, gate.SIDE // 2))
        left, top = generator.integers(0, gate.SIDE - side, 2).tolist()
        draw_shape(image, name, (left, top, left + side, top + side), tuple(generator.integers(0, 256, 3).tolist()))
        image.save(root / name / f"{number:05}.jpg", quality=90)


def draw_shape(image: Image.Image, name: str, box: tuple[int, int, int, int], fill: tuple[int, ...]) -> None:
    """Draw one of `CLASSES` into a box of left, top, right, bottom."""
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = box
    middle, third = ((left + right) // 2, (top + bottom) // 2), (right - left) // 3
    match name:
        case "ellipse":
            draw.ellipse(box, fill)
        case "rectangle":
            draw.rectangle(box, fill)
        case "triangle":
            draw.polygon([(left, bottom), (middle[0], top), (right, bottom)], fill)
        case _:
            draw.line([(left, middle[1]), (right, middle[1])], fill, third)
            draw.line([(middle[0], top), (middle[0], bottom)], fill, third)


def part_of(root: Path, target: Path, count: int) -> None:
    """Copy `count` readable pictures below `target`, one folder per class, the same number of each class.

    Raises ValueError if there are fewer.
    """
    images = read_images(root)
    of_class = [np.flatnonzero((images.labels == label) & ~images.testing) for label in range(len(images.classes))]
    by_class = [[images.paths[row] for row in of] for of in of_class]
    each, more = divmod(count, len(by_class))
    for number, (name, paths) in enumerate(zip(images.classes, by_class, strict=True)):
        wanted = each + (number < more)
        if len(paths) < wanted:
            raise ValueError(f"{root} has {len(paths)} pictures of {name}; {count} pictures need {wanted}")
        (target / name).mkdir(parents=True)
        for place, path in enumerate(paths[:wanted]):
            shutil.copy(root / path, target / name / f"{place:05}{Path(path).suffix}")


def searched(pictures: Path, study: Path, trials: int) -> tuple[float, float, float]:
    """Seconds from the start of `search run` to the first complete trial, to the last one closed, and to its end."""
    began, clock = datetime.now(UTC).replace(microsecond=0), time.monotonic()
    command(["run", pictures, "--trials", trials, "--dir", study, "--quiet"])
    whole = time.monotonic() - clock
    with Store.open(study / "study.db", read_only=True) as store:
        known = store.trials(curves=False)
    complete = [trial.finished for trial in known if trial.state is TrialState.COMPLETE]
    closed = [trial.finished for trial in known]

    def after(ends: Sequence[str | None], pick: str) -> float:
        moments = [datetime.fromisoformat(end) for end in ends if end]
        return ((min if pick == "first" else max)(moments) - began).total_seconds()

    return after(complete, "first"), after(closed, "last"), whole


def measured(folder: Path, pictures: Path | None, sizes: Sequence[int], trials: int) -> Iterator[str]:
    """Lines of Markdown, each as soon as it is known."""
    yield f"| pictures | first trial with all folds | {trials} trials | {trials} trials and the final model |"
    yield "| --- | --- | --- | --- |"
    for count in sizes:
        root = folder / f"pictures-{count}"
        if pictures is None:
            generated(root, count)
        else:
            part_of(pictures, root, count)
        first, last, whole = searched(root, folder / f"study-{count}", trials)
        yield f"| {count:,} | {first:.0f} s | {last:.0f} s | {whole:.0f} s |"


def main() -> None:
    """Print the table of the README, and the machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.durations", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder with one folder a class; default: generated ones")
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="sizes of the data sets")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of each search; default {TRIALS}")
    asked = parser.parse_args()
    for line in machine.described():
        print(line)
    print()
    with tempfile.TemporaryDirectory() as name:
        for line in measured(Path(name), asked.pictures, asked.images, asked.trials):
            print(line, flush=True)


if __name__ == "__main__":
    main()
