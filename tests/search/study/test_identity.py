"""Whether a stored study is the one that is asked for: every difference is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import UsageError
from search.session.plan import make_plan
from search.session.prepare import prepare
from search.study.database import create
from search.study.folder import StudyFolder
from search.study.identity import check_same
from spaces import Space
from storage import Store
from tests.pictures import noise, plain, write
from tests.search.shapes import FOLDER, refusal, settings


def asked(place: Path, **changes: Any) -> list[str]:
    """The differences named, a line each."""
    with StudyFolder(place / FOLDER).read() as store:
        message = refusal(lambda: check_same(store, prepare(settings(**changes), place / FOLDER)))
    first, *lines, last = message.splitlines()
    assert first == "this study began with other settings, and its results would not compare:"
    assert last == "put them back to go on, or begin another study with --dir"
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trials": 500, "hours": 99.0},
        {"folds": 5},
        {"image_size": 8},
        {"training": {"max_epochs": 40}},
        {"space": {"filters": {"low": 6, "high": 64}}},
        {"space": {"learning_rate": {"low": 1e-4}}},
    ],
)
def test_the_same_study_with_other_budgets_or_said_in_other_words_goes_on(
    place: Path, begun: Store, changes: Mapping[str, Any]
) -> None:
    check_same(begun, prepare(settings(**changes), place / FOLDER))
    begun.close()


def test_a_study_goes_on_whose_parameters_were_explained_in_other_words(place: Path) -> None:
    prepared = prepare(settings(), place / FOLDER)
    space = Space(tuple(replace(p, help="", source="") for p in prepared.space.parameters))
    with create(StudyFolder(place / FOLDER), replace(prepared, space=space)) as store:
        check_same(store, prepared)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"folds": 4}, "folds: the study has 5, asked is 4"),
        ({"seed": 4}, "seed: the study has 3, asked is 4"),
        ({"metric": "auroc"}, "metric: the study has balanced_accuracy, asked is auroc"),
        ({"sampler": "random"}, "sampler: the study has tpe, asked is random"),
        ({"race": "none"}, "race: the study has paired, asked is none"),
        ({"max_parameters": 9}, "max_parameters: the study has 5000000, asked is 9"),
        ({"training": {"patience": 0}}, "training.patience: the study has 8, asked is 0"),
        (
            {"training": {"precision": "mixed_float16"}},
            "training.precision: the study has float32, asked is mixed_float16",
        ),
        ({"training": {"xla": True}}, "training.xla: the study has False, asked is True"),
        ({"training": {"max_epochs": 41}}, "training.max_epochs: the study has 40, asked is 41"),
        ({"space": {"head": "flatten"}}, "space.head: the study has range global_average, flatten, asked is flatten"),
        ({"space": {"filters": {"default": 24}}}, "space.filters: the study has default 16, asked is 24"),
        (
            {"space": {"head": ["flatten", "global_average"]}},
            "space.head: the study has range global_average, flatten, ",
        ),
    ],
)
def test_another_setting_is_named_with_both_values(
    place: Path, begun: Store, changes: Mapping[str, Any], difference: str
) -> None:
    begun.close()
    assert asked(place, **changes)[0].startswith(difference)


def test_a_study_of_before_there_was_a_race_goes_on_without_one(place: Path) -> None:
    prepared = prepare(settings(), place / FOLDER)
    create(StudyFolder(place / FOLDER), prepared).close()
    with sqlite3.connect(place / FOLDER / "study.db") as connection:
        connection.execute("UPDATE study SET config = json_remove(config, '$.race')")
    with Store.open(place / FOLDER / "study.db") as store:
        check_same(store, prepared)
        assert make_plan(prepared, store, slots=1).race is None
        with pytest.raises(UsageError, match="race: the study has none, asked is paired"):
            check_same(store, prepare(settings(race="paired"), place / FOLDER))


def test_a_study_of_before_precision_could_be_chosen_was_computed_in_float32_without_xla(place: Path) -> None:
    prepared = prepare(settings(), place / FOLDER)
    create(StudyFolder(place / FOLDER), prepared).close()
    with sqlite3.connect(place / FOLDER / "study.db") as connection:
        connection.execute("UPDATE study SET config = json_remove(config, '$.training.precision', '$.training.xla')")
    with Store.open(place / FOLDER / "study.db") as store:
        check_same(store, prepared)
        with pytest.raises(UsageError, match=r"training\.precision: the study has float32, asked is mixed_bfloat16"):
            check_same(store, prepare(settings(training={"precision": "mixed_bfloat16"}), place / FOLDER))


def test_a_difference_in_a_digit_that_the_table_does_not_show_is_one(place: Path) -> None:
    create(StudyFolder(place / FOLDER), prepare(settings(space={"dropout": 0.1234567891}), place / FOLDER)).close()
    assert asked(place, space={"dropout": 0.1234567892}) == [
        "space.dropout: the study has low 0.1234567891, high 0.1234567891, default 0.1234567891, step None, "
        "asked is low 0.1234567892, high 0.1234567892, default 0.1234567892, step None"
    ]


def test_another_preset_is_named_without_all_that_follows_from_it(place: Path, begun: Store) -> None:
    begun.close()
    assert asked(place, preset="question") == ["preset: the study has cnn, asked is question"]
    assert asked(place, preset="question", training={"max_epochs": 9}, folds=4) == [
        "folds: the study has 5, asked is 4",
        "preset: the study has cnn, asked is question",
        "training.max_epochs: the study has 40, asked is 9",
    ]


def test_changed_images_are_named(place: Path, begun: Store) -> None:
    begun.close()
    top = place / "shapes" / "training" / "top"
    write(top / "new.png", noise(np.random.default_rng(5), 8))
    write(top / "0001.png", plain(7))
    (top / "0002.png").rename(top.parent / "left" / "moved.png")
    (place / "shapes" / "testing" / "top" / "0000.png").unlink()
    assert asked(place) == [
        "images: 2 new: training/left/moved.png, training/top/new.png",
        "images: 2 gone: testing/top/0000.png, training/top/0002.png",
        "images: 1 changed: training/top/0001.png",
    ]


def test_many_changed_images_are_counted_and_a_name_cannot_steer_the_terminal(place: Path, begun: Store) -> None:
    begun.close()
    for number in range(7):
        name = "\x1b[31mred.png" if number == 0 else f"z{number}.png"
        write(place / "shapes" / "training" / "top" / name, plain(number))
    assert asked(place) == [
        r"images: 7 new: training/top/\x1b[31mred.png, training/top/z1.png, training/top/z2.png, "
        "training/top/z3.png, training/top/z4.png, …"
    ]


def test_images_that_were_moved_as_a_whole_are_the_same(place: Path, begun: Store) -> None:
    shutil.move(place / "shapes", place / "elsewhere")
    check_same(begun, prepare(settings(images="../elsewhere"), place / FOLDER))
    begun.close()


def test_another_reading_of_the_same_images_is_a_difference_too(place: Path, begun: Store) -> None:
    prepared = prepare(settings(), place / FOLDER)
    other = replace(prepared, images=replace(prepared.images, fingerprint="0" * 64))
    assert "images: they are not the ones that the study began with" in refusal(lambda: check_same(begun, other))
    begun.close()


def test_everything_that_differs_is_named_at_once(place: Path, begun: Store) -> None:
    begun.close()
    (place / "shapes" / "training" / "left" / "0000.png").unlink()
    differences = asked(place, folds=3, metric="accuracy", space={"kernel": 3})
    assert [line.split(":")[0] for line in differences] == ["folds", "metric", "space.kernel", "images"]
