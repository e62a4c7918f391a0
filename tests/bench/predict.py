"""The rate of `search predict` against that of its network alone, on batches in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.export.predict import classified, load_model, pictures_in
from search.jobs import ComposeJob, FitOptions, FoldJob, Pixels, RefitJob, SavedModel, WorkerContext
from search.manifest import PACKAGING, about
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.worker.worker import Worker
from spaces import Value
from tests.bench.timing import interleaved
from tests.pictures import list_inputs, make_pictures

TRAINING, ASKED, SIDE = 100, 256, 28  # images; pixels
TURNS = 3  # a round: short ones, so that a busy machine slows all sides alike
BATCH = 64  # images, as `search predict` has it
MODELS: dict[str, tuple[str, tuple[dict[str, Value], ...]]] = {
    "a frozen trial, averaged over the mirror image": ("frozen", ({},)),
    "three such trials, an ensemble": ("frozen", ({}, {"c": 1.0}, {"head": "svm"})),
    "the LeNet": ("question", ({"epochs": 1},)),
}
"""What is asked: the preset and the points of its members, as changes to the default."""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Lines of Markdown."""
    half = ASKED // 2
    pictures = make_pictures(folder / "pictures", classes={"a": half, "b": half}, size=SIDE)
    yield f"Images per second of `search predict`, once its model is loaded, on {ASKED:,} PNG files of {SIDE}x{SIDE}"
    yield f"pixels; of the network alone, on as many batches of {BATCH} in memory; and of reading the files alone. All"
    yield f"cores; medians of {TURNS * rounds} rounds in which they take turns. The slower of the two is the bound."
    yield ""
    yield "| model | network alone | reading alone | search predict | search predict / network alone |"
    yield "| --- | --- | --- | --- | --- |"
    for number, (name, (preset, points)) in enumerate(MODELS.items()):
        model = _made(folder / str(number), preset, points)
        # A process of its own: a worker gives TensorFlow one thread.
        ran = subprocess.run(
            [sys.executable, "-m", "tests.bench.predict", str(model), str(pictures), str(rounds)],
            check=True,
            capture_output=True,
            text=True,
        )
        alone, reading, both = json.loads(ran.stdout.splitlines()[-1])
        met = f"(>= 0.9: {'met' if both / alone >= 0.9 else 'missed'})"
        yield f"| {name} | {alone:.0f} | {reading:.0f} | {both:.0f} | {both / alone:.2f} {met} |"


def _made(folder: Path, preset: str, points: tuple[dict[str, Value], ...]) -> Path:
    """The file of a model, as a search saves it."""
    half = TRAINING // 2
    root = make_pictures(folder / "training", classes={"a": half, "b": half}, size=SIDE)
    prepared = prepare(Config(images=str(root), preset=preset), folder)
    rows = np.arange(TRAINING, dtype=np.int32)
    facts, labels = prepared.facts, prepared.images.labels
    with StudyFolder(folder).pixels_on_disk(prepared.images.pixels) as path:
        worker = Worker(WorkerContext(Pixels(path), labels, facts, preset, "accuracy", features=folder / "features"))
        parts = []
        for number, changes in enumerate(points):
            params = prepared.space.defaults(**changes)
            job = FoldJob(number, 0, 0, params, rows, rows[:8], number, FitOptions(1, 0, use_last_epoch=True))
            parts.append(folder / f"{number}.keras")
            assert isinstance(worker.do(RefitJob(job, parts[-1])), SavedModel)
        described = {"classes": list(prepared.images.classes), "image_shape": list(facts.shape), "packaging": PACKAGING}
        weighted = tuple((part, 1 / len(parts)) for part in parts)
        assert isinstance(worker.do(ComposeJob(weighted, folder / "model.keras", described, rows[:0])), SavedModel)
    return folder / "model.keras"


def rates(model: Path, folder: Path, rounds: int) -> tuple[float, float, float]:
    """Images per second of (the network alone, reading the files alone, `search predict`), all warm."""
    files, needs, network = list_inputs([folder]), about(model), load_model(model)
    pixels = np.random.default_rng(0).uniform(0, 255, (BATCH, *needs.image_shape)).astype(np.float32)
    network.predict_on_batch(pixels)
    sides = {
        "network": lambda: [network.predict_on_batch(pixels) for _ in range(0, len(files), BATCH)],
        "reading": lambda: list(pictures_in(files, needs)),
        "predict": lambda: list(classified(network, needs, files, lambda _done, _all: None)),
    }
    network_alone, reading_alone, both = interleaved(TURNS * rounds, sides).values()
    return len(files) / network_alone, len(files) / reading_alone, len(files) / both


if __name__ == "__main__":
    print(json.dumps(rates(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
