"""The accuracy of the model that a search of so many seconds saves, on testing images, compared with simpler methods.

`python -m tests.bench.accuracy PICTURES...`, folders with `training/` and `testing/`. For each: logistic regression on
the pixels, and on features of the frozen network without any search; then `search run` of each preset with each seed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.session.prepare import prepare
from search.study.config import Config
from spaces.presets import FAMILIES
from storage import ChoiceRecord, Store, TrialRecord, TrialState
from tests.bench.__main__ import command
from tests.bench.recipes import features

METRIC = "balanced_accuracy"
PRESETS = ("auto", "cnn")
MARKS = (0.95, 0.97)  # out-of-fold scores: the time until the first trial with such a score is printed
PLAIN_C = np.logspace(-4, 2, 7)  # of logistic regressions, chosen by five folds of the training images
SIDES = (128, 192)  # of the frozen network, pixels


def plain(pictures: Path, folder: Path) -> dict[str, float]:
    """Accuracy on the testing images of methods without a search, by name."""
    prepared = prepare(Config(images=str(pictures), preset="frozen"), folder)
    images, facts = prepared.images, prepared.facts
    rows: dict[str, NDArray[Any]] = {"pixels": images.pixels.reshape(len(images.pixels), -1) / 255.0}
    for side in SIDES:
        params = FAMILIES["frozen"].space(facts).defaults(input_size=side)
        rows[f"frozen network, {side} pixels"] = features(params, facts, images.pixels)
    return {name: _logistic(found, images.labels, images.testing) for name, found in rows.items()}


def _logistic(rows: NDArray[Any], labels: NDArray[np.int16], testing: NDArray[np.bool_]) -> float:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=PLAIN_C, cv=5, max_iter=1000))
    return float(head.fit(rows[~testing], labels[~testing]).score(rows[testing], labels[testing]))


def searched(pictures: Path, preset: str, seed: int, seconds: float, study: Path) -> str:
    """A row of the table: one search, from its study."""
    line = ["--preset", preset, "--seed", str(seed), "--hours", f"{seconds / 3600:.6f}", "--dir", str(study), "--quiet"]
    begun = datetime.now(UTC).replace(microsecond=0)
    command(["run", str(pictures), *line])
    with Store.open(study / "study.db", read_only=True) as store:
        trials, choices, records = store.trials(curves=False), store.choices(), store.images()
    labels = np.array([record.label for record in records if record.testing])
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    first = [_after(begun, complete, mark) for mark in (0.0, *MARKS)]
    best = {family: _best(complete, preset, family) for family in FAMILIES}
    families = ", ".join(f"{family} {score:.1f}" for family, score in best.items() if score)
    if not choices:
        return f"| {preset} | {seed} | {len(trials)} | {' | '.join(first)} | {families} | none | |"
    probabilities = choices[-1].probabilities
    assert probabilities is not None, "there are no testing images"
    tested = choices[-1].tested  # not all where there was no time
    truth = labels[tested]
    right = int((probabilities[tested].argmax(axis=1) == truth).sum())
    shipped = _shipped(choices[-1], trials, preset)
    test = f"{100 * right / len(truth):.1f} ({right} of {len(truth)})"
    return f"| {preset} | {seed} | {len(trials)} | {' | '.join(first)} | {families} | {shipped} | {test} |"


def _after(begun: datetime, complete: Sequence[TrialRecord], mark: float) -> str:
    """Seconds until the first trial had all its folds and a score as good as `mark`."""
    ended = [
        (datetime.fromisoformat(trial.finished) - begun).total_seconds()
        for trial in complete
        if trial.finished and (trial.score(METRIC) or 0) >= mark
    ]
    return f"{min(ended):.0f}" if ended else ""


def _family(trial: TrialRecord, preset: str) -> str:
    return str(trial.params.get("family", preset))


def _best(complete: Sequence[TrialRecord], preset: str, family: str) -> float | None:
    return max((100 * (t.score(METRIC) or 0) for t in complete if _family(t, preset) == family), default=None)


def _shipped(choice: ChoiceRecord, trials: Sequence[TrialRecord], preset: str) -> str:
    """'0.5 of trial 3 (fine-tune), …'."""
    by_number = {trial.number: trial for trial in trials}
    weights: dict[int, float] = {}
    for number, weight in choice.members:
        weights[number] = weights.get(number, 0.0) + weight
    return ", ".join(f"{w:.2f} of {n} ({_family(by_number[n], preset)})" for n, w in weights.items())


def tables(asked: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Lines of Markdown, each as soon as it is known."""
    for pictures in asked.pictures:
        yield f"## {pictures.name}"
        yield ""
        for name, accuracy in plain(pictures, folder).items():
            yield f"- logistic regression on {name}: {100 * accuracy:.1f}"
        yield ""
        marks = " | ".join(f"s to {100 * mark:g}" for mark in MARKS)
        yield f"| preset | seed | trials | s to first | {marks} | best out of fold, by family | shipped | on test |"
        yield f"| --- | --- | --- | --- |{' --- |' * len(MARKS)} --- | --- | --- |"
        for seed in asked.seeds:
            for preset in asked.presets:
                study = folder / f"{pictures.name}-{preset}-{seed}"
                yield searched(pictures, preset, seed, asked.seconds, study)
        yield ""


def main() -> None:
    """Print the tables; with `--keep` the studies are kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.accuracy", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURES")
    parser.add_argument("--seconds", type=float, default=240.0, help="of every search; default 240")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where studies are kept")
    asked = parser.parse_args()
    asked.pictures = [pictures.resolve() for pictures in asked.pictures]
    with tempfile.TemporaryDirectory() as name:
        folder = asked.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            parser.error(f"--keep: {folder} is not empty; name a new folder, since a search goes on with what it finds")
        for line in tables(asked, folder):
            print(line, flush=True)


if __name__ == "__main__":
    main()
