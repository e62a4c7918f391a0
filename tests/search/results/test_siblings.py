"""Pictures that may show one thing: what the summary, the report and `--json` say of a study that has them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from reports.as_json import as_json
from reports.html.study import render
from reports.terminal.study import show
from reports.wording import study as words
from search.data.groups import groups_by
from search.results.summary import StudySummary
from storage.records import Split
from tests.studies import FOLDS, Records, example

EACH = 205  # images of a class, of which 5 are for testing


def a_study(*, known: bool, ends: tuple[str, str] = ("_makerA", "_makerB"), seed: int = 0) -> Records:
    """Pairs of pictures in random folds; `known`: whether those with a sibling in training are recognized better."""
    base, generator = example(per_class=EACH), np.random.default_rng(seed)
    images = tuple(
        replace(image, path=f"{image.path.rpartition('/')[0]}/{n % EACH // 2:03}{ends[n % EACH % 2]}.png")
        for n, image in enumerate(base.images)
    )
    searched = np.flatnonzero([not image.testing for image in images])
    folds = np.full(len(images), -1, np.int16)
    folds[searched] = generator.permutation(np.arange(len(searched)) % FOLDS)
    labels = np.array([image.label for image in images])
    thing = np.array([image.path.rpartition("_")[0] for image in images])
    split = np.array([len(set(folds[thing == own].tolist())) > 1 for own in thing])
    right = generator.random(len(images)) < np.where(split & known, 0.9, 0.6)
    guesses = np.where(right, labels, 1 - labels)
    rows: NDArray[np.float32] = np.where(np.arange(2) == guesses[:, None], 0.9, 0.1).astype(np.float32)
    by_fold = {fold: rows[folds == fold] for fold in range(FOLDS)}
    return replace(base, images=images, split=Split(0, folds), probabilities=by_fold, others={7: by_fold})


@pytest.fixture(scope="module")
def told() -> StudySummary:
    return a_study(known=True).data()


def test_where_errors_differ_clearly_the_numbers_are_said_to_be_too_good(told: StudySummary) -> None:
    assert told.siblings is not None and told.siblings.compared.clear
    text = words.too_good(told)
    assert text.startswith(
        "These numbers are too good. By their names, images such as training/cats/000_makerA.png and"
    )
    assert "with 95 % confidence" in text
    assert text.endswith(r"Search with --groups '^(\D*\d.*?)(?:_makerA|_makerB)*(?:\.[^./]*)?$'")


def test_every_view_says_so(told: StudySummary) -> None:
    printed = io.StringIO()
    show(told, Console(file=printed, width=200))
    assert "These numbers are too good." in printed.getvalue()
    assert "These numbers are too good." in render(told)
    found = as_json(told)["siblings"]
    assert found["too_good"] and 0 < found["low"] < found["difference"] < found["high"] < 1
    assert found["split"]["predictions"] + found["whole"]["predictions"] == 2 * (EACH - 5)
    assert found["split"]["accuracy"] > found["whole"]["accuracy"]
    groups = groups_by(found["groups"], [image.path for image in a_study(known=True).images])
    assert groups[0] == groups[1] != groups[2]


@pytest.mark.parametrize("seed", range(4))
def test_where_they_do_not_nothing_is_said_but_the_numbers_are_there(seed: int) -> None:
    data = a_study(known=False, seed=seed).data()
    assert data.siblings is not None and words.too_good(data) == ""
    found = as_json(data)["siblings"]
    assert not found["too_good"] and found["low"] <= 0 <= found["high"]
    assert "too good" not in render(data)


def test_other_names_and_named_groups_are_not_compared() -> None:
    serials = replace(
        base := a_study(known=True),
        images=tuple(
            replace(image, path=f"{image.path.rpartition('/')[0]}/IMG_{image.row:04}.png") for image in base.images
        ),
    )
    assert serials.data().siblings is None and "siblings" not in as_json(serials.data())
    study = replace(base.study, config={**base.study.config, "groups": "^(.*)_"})
    assert replace(base, study=study).data().siblings is None


def test_exact_copies_stay_together_and_are_not_compared() -> None:
    base = a_study(known=True)
    copied = replace(base, images=tuple(replace(image, digest="0" * 64) for image in base.images))
    assert copied.data().siblings is None
