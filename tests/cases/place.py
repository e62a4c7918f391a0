"""A case and the folder in which it is tried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.commands import search
from tests.pictures import noise


class WrongError(Exception):
    """A case did something else than what is right: the message says what."""


@dataclass(frozen=True)
class Case:
    """A kind of input, and what is right for it."""

    number: str
    brings: str  # the input
    right: str
    try_it: Callable[[Place], str]  # returns what happened; raises WrongError


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    text: str  # both streams, each run of white space as one space

    def says(self, *patterns: str) -> str:
        """The text from the first match on. Raises WrongError unless all patterns are found, in any case."""
        for pattern in patterns:
            if not re.search(pattern, self.text, re.IGNORECASE):
                raise WrongError(f"exit {self.code}, nothing of /{pattern}/ in: {self.text[-300:]}")
        found = re.search(patterns[0], self.text, re.IGNORECASE)
        return shown(self.text[found.start() :] if found else self.text)

    def lacks(self, pattern: str) -> None:
        """Raises WrongError if the pattern is found."""
        if found := re.search(pattern, self.text, re.IGNORECASE):
            raise WrongError(f"exit {self.code}: {self.text[max(0, found.start() - 60) :][:200]}")

    def ends(self, *codes: int) -> None:
        """Raises WrongError for another exit code."""
        if self.code not in codes:
            raise WrongError(f"exit {self.code}, not {' or '.join(map(str, codes))}: {self.text[-300:]}")


@dataclass(frozen=True)
class Place:
    """A folder, and the commands in it."""

    root: Path

    def search(self, *arguments: str) -> Answer:
        """Run a command. Raises WrongError for a traceback."""
        done = search(*arguments, cwd=self.root)
        answer = Answer(done.returncode, " ".join(f"{done.stdout} {done.stderr}".split()))
        answer.lacks("Traceback")
        return answer

    def train(self, model: str, *options: str, images: str = "pictures") -> Answer:
        """A search of one trial of a builder, in two folds; its study is named as the file."""
        short = ("--trials", "1", "--folds", "2", "--workers", "1", "--dir", Path(model).stem)
        return self.search("run", images, "--model", f"{model}:build", *short, *options)

    def scores(self, study: str) -> list[float]:
        """The scores of the folds of trial 0; empty if it has none."""
        done = search("report", study, "--json", cwd=self.root)
        trials: list[dict[str, Any]] = json.loads(done.stdout)["trials"] if done.returncode == 0 else []
        return [float(score) for score in trials[0]["fold_scores"]] if trials else []

    def classes(self, images: str) -> tuple[set[str], Answer]:
        """The classes that `search check` reads, none if it refuses, and what it says."""
        done = search("check", images, "--json", cwd=self.root)
        answer = self.search("check", images)
        rows = json.loads(done.stdout)["classes"] if done.returncode == 0 else []
        return {row["name"] for row in rows}, answer

    def write(self, name: str, text: str) -> None:
        """Write a text file, making its folder."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def fill(self, folder: str, classes: dict[str, int], *, first: int = 0, end: str = "png", side: int = 16) -> None:
        """Colour pictures that are easy to learn, in a folder for each class; `first`: of a series without copies."""
        for label, (name, count) in enumerate(classes.items()):
            for number in range(first, first + count):
                path = self.root / folder / name / f"{number:03}.{end}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(label, number, side).save(path)


def picture(label: int, number: int, side: int = 16) -> Image.Image:
    """Noise that is red, green or blue by its label."""
    pixels = noise(np.random.default_rng([label, number]), side, 3)
    pixels[..., label % 3] += 120
    return Image.fromarray(pixels)


def shown(text: str, most: int = 160) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else f"{text[:most]}…"
