"""How far probabilities and truth are apart on testing images: `python -m tests.bench.calibration STUDY...`.

A row for each study whose saved model has predicted testing images: the expected calibration error of the network's own
probabilities, with the temperature alone, and as `search predict` says them, in points, and what chance alone makes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search.export.formats import described
from search.stats.calibration import Correction, reliability
from search.study.folder import StudyFolder


def row(path: Path) -> str:
    """In Markdown."""
    folder = StudyFolder(path)
    about = described(folder.model)
    correction = Correction(about.temperature, about.doubt)
    with folder.read() as store:
        predicted = store.choices()[-1].probabilities
        labels = np.array([image.label for image in store.images() if image.testing])
    assert predicted is not None
    known = ~np.isnan(predicted).any(axis=1)
    steps = Correction(), Correction(correction.temperature), correction
    found = [reliability(labels[known], step.of(predicted[known])) for step in steps]
    errors = " | ".join(f"{100 * each.error:.1f}" for each in found if each)
    luck = 100 * found[-1].by_luck if found[-1] else float("nan")
    said = f"{correction.temperature:.2f}, {100 * correction.doubt:.3g} %"
    return f"| {path.name} | {known.sum():,} | {said} | {errors} | {luck:.1f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.calibration", description=__doc__)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY")
    print("| study | testing images | temperature, doubt | own | temperature | both | by chance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in parser.parse_args(arguments).studies:
        print(row(path))


if __name__ == "__main__":
    main()
