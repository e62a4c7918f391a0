"""Time and memory of `search check` for thousands of pictures, and copies that it finds: `python -m tests.bench.gate`.

The pictures are all different: shapes of any colour on a gradient, under noise, as JPEG. Among them are copies: the
same file again, and a picture that was compressed, resized, brightened or mirrored.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from tests.bench import machine

IMAGES, SIDE, CLASSES = 5000, 128, 4
EXACT, NEAR = 0.01, 0.02  # shares of the images that are copies
CHECK = (sys.executable, "-m", "search", "check")
MIB = 1024  # KiB, the unit in which Linux reports the memory of a process


def pictures(root: Path, count: int = IMAGES, seed: int = 0) -> set[frozenset[str]]:
    """Write `count` pictures below `root`, one folder per class; returns the pairs of paths that are copies."""
    generator = np.random.default_rng(seed)
    exact, near = round(EXACT * count), round(NEAR * count)
    paths = [Path(f"class_{number % CLASSES}") / f"{number:05}.jpg" for number in range(count)]
    for label in range(CLASSES):
        (root / f"class_{label}").mkdir(parents=True)
    originals, copies = paths[: count - exact - near], paths[count - exact - near :]
    for path in originals:
        picture(generator).save(root / path, quality=90)
    chosen = [originals[place] for place in generator.choice(len(originals), len(copies), replace=False)]
    for number, (path, original) in enumerate(zip(copies, chosen, strict=True)):
        if number < exact:
            shutil.copy(root / original, root / path)
        else:
            changed(Image.open(root / original), number).save(root / path, quality=75)
    return {frozenset((str(original), str(path))) for original, path in zip(chosen, copies, strict=True)}


def picture(generator: np.random.Generator) -> Image.Image:
    """Three to nine shapes on a gradient, under noise."""
    corners = Image.fromarray(generator.integers(0, 256, (2, 2, 3), np.uint8))
    image = corners.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(generator.integers(3, 10)):
        left, top = generator.integers(-SIDE // 4, SIDE, 2).tolist()
        width, height = generator.integers(SIDE // 8, SIDE, 2).tolist()
        fill = tuple(generator.integers(0, 256, 3).tolist())
        shape = draw.ellipse if generator.random() < 0.5 else draw.rectangle
        shape((left, top, left + width, top + height), fill=fill)
    noise = generator.normal(0, 8, (SIDE, SIDE, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def changed(image: Image.Image, number: int) -> Image.Image:
    """The picture brighter, smaller, mirrored or unchanged; it is then compressed again."""
    match number % 4:
        case 0:
            return image.copy()
        case 1:
            return ImageEnhance.Brightness(image).enhance(1.12)
        case 2:
            return image.resize((SIDE * 3 // 4, SIDE * 3 // 4), Image.Resampling.BILINEAR)
        case _:
            return ImageOps.mirror(image)


def scene(root: Path, count: int = IMAGES, seed: int = 0) -> None:
    """Write `count` pictures of a fixed camera below `root`: one picture, each time with other noise."""
    generator = np.random.default_rng(seed)
    view = np.asarray(picture(generator)).astype(np.int16)
    for label in range(CLASSES):
        (root / f"class_{label}").mkdir(parents=True)
    for number in range(count):
        pixels = (view + generator.integers(-6, 7, view.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"class_{number % CLASSES}" / f"{number:05}.jpg", quality=90)


def measured(folder: Path, count: int) -> Iterator[str]:
    """Lines of Markdown."""
    planted = pictures(folder / "pictures", count)
    scene(folder / "scene", count)
    yield "| pictures | seconds | most memory, MiB | load before |"
    yield "| --- | --- | --- | --- |"
    for name, root in (("all different but for copies", "pictures"), ("all of a fixed camera", "scene")):
        load = os.getloadavg()[0]
        seconds, most = taken([*CHECK, root], folder)
        yield f"| {count:,}, {name} | {seconds:.1f} | {most:.0f} | {load:.1f} |"
    checked = subprocess.run([*CHECK, "pictures", "--json"], check=True, cwd=folder, capture_output=True, text=True)
    pairs = {frozenset(pair["paths"]): pair["exact"] for pair in json.loads(checked.stdout)["pairs"]}
    right = Counter(pairs[pair] for pair in planted & pairs.keys())
    exact = round(EXACT * count)
    yield ""
    yield (
        f"Of those that are different, found: {right[True]} of {exact} exact copies and {right[False]} of "
        f"{len(planted) - exact} near ones; {len(pairs.keys() - planted)} other pairs."
    )


def taken(line: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and maximum MiB of a command in a folder. Raises an error if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line)
    return seconds, usage.ru_maxrss / MIB


def main(arguments: list[str]) -> None:
    """Print the measurements as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"default {IMAGES}")
    asked = parser.parse_args(arguments)
    for line in machine.described():
        print(line)
    print()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(Path(folder), asked.images):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
