"""Preparing: everything is settled or refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.session.prepare import prepare
from tests.pictures import make_pictures
from tests.search.shapes import FOLDER, refusal, settings


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_hyperband_chooses_the_epochs_in_the_place_of_those_that_a_family_has(place: Path) -> None:
    asked: dict[str, Any] = {"engine": "keras-tuner", "sampler": "hyperband", "training": {"max_epochs": 27}}
    space = prepare(settings(preset="auto", **asked), place / FOLDER).space
    assert (space.parameters[0].name, space.parameters[0].range, space.defaults()["epochs"]) == (
        "epochs",
        "1 to 27",
        27,
    )
    assert space.parameters[0].source.startswith("at most max_epochs of [training]")
    assert not [name for name in space.by_name if name.endswith("_epochs")]
    if "fine-tune" in space.by_name["family"].range:  # its weights are at hand
        assert "fine_tune_epochs: 'hyperband' chooses the epochs; remove this line" in refusal(
            lambda: prepare(settings(preset="auto", space={"fine_tune_epochs": 4}, **asked), place / FOLDER)
        )


def test_preparing_settles_everything_and_leaves_the_disk_alone(place: Path) -> None:
    before = files(place)
    prepared = prepare(settings(space={"dropout": 0.2}), place / FOLDER)
    assert files(place) == before
    assert (prepared.facts.shape, prepared.facts.classes, prepared.facts.images) == ((8, 8, 1), 2, 12)
    assert (prepared.preset.name, prepared.folds, prepared.max_epochs, prepared.remarks) == ("cnn", 5, 40, ())
    assert prepared.space.by_name["dropout"].range == "0.2"
    assert prepared.identity == {
        **settings().identity(),
        "folds": 5,
        "image_size": [8, 8],
        "training": {"max_epochs": 40, "patience": 8, "min_delta": 0.001, "precision": "float32", "xla": False},
    }


def test_images_are_looked_for_from_the_study_folder_whatever_the_current_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "shapes")
    assert prepare(settings(), place / FOLDER).facts.images == 12
    assert prepare(settings(images=str(place / "shapes")), place / FOLDER).facts.images == 12


def test_settings_win_over_what_is_settled_by_itself(place: Path) -> None:
    config = settings(folds=2, image_size=[9, 10], preset="question", training={"max_epochs": 3})
    prepared = prepare(config, place / FOLDER)
    assert (prepared.facts.shape, prepared.folds, prepared.max_epochs) == ((9, 10, 1), 2, 3)
    assert prepare(settings(preset="question"), place / FOLDER).max_epochs == 25


def test_fewer_folds_than_usual_are_remarked_on(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "few", {"left": 7, "top": 3})
    prepared = prepare(settings(images=str(pictures)), tmp_path)
    assert prepared.folds == 3
    assert prepared.remarks == ("3 folds instead of 5: class 'top' has only 3 training images.",)


def test_a_sampler_that_leaves_most_of_the_space_to_chance_is_remarked_on(place: Path) -> None:
    """All of `auto` depends on the family, which is no number."""
    said = prepare(settings(preset="auto", sampler="cmaes"), place / FOLDER).remarks[-1]
    assert said.startswith("sampler cmaes models 0 of the ")
    assert said.endswith("; use tpe, which models all of them, or a preset of one family")
    assert prepare(settings(sampler="cmaes"), place / FOLDER).remarks[-1].endswith("which models all of them")
    for engine, sampler in (("optuna", "tpe"), ("optuna", "random"), ("keras-tuner", "bayesian")):
        others = prepare(settings(preset="auto", engine=engine, sampler=sampler), place / FOLDER).remarks
        assert not any("sampler" in remark for remark in others)


def test_progress_is_told(place: Path) -> None:
    progress: list[tuple[int, int]] = []
    prepare(settings(), place / FOLDER, lambda done, total: progress.append((done, total)))
    assert progress[0] == (0, 16)
    assert progress[-1] == (16, 16)


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"images": "../nowhere"}, ["nowhere: no such folder. Give the folder that holds the class folders"]),
        ({"folds": 6}, ["rarest class (class 'top' has 5)", "but got 6. Ask for 5 or fewer"]),
        (
            {"space": {"dropuot": 0.2, "filters": {"low": 9, "high": 8}}},
            [
                "[space] of study.toml, preset cnn:\n",
                "  dropuot: no such parameter; did you mean 'dropout'?\n",
                "  filters: low must not be above high, got low 9, high 8",
            ],
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    place: Path, changes: dict[str, Any], messages: list[str]
) -> None:
    before = files(place)
    said = refusal(lambda: prepare(settings(**changes), place / FOLDER))
    assert all(message in said for message in messages)
    assert files(place) == before


@pytest.mark.parametrize(("side", "asked", "said"), [(640, None, True), (500, None, False), (640, [96, 96], False)])
def test_what_is_lost_of_large_pictures_is_said(side: int, asked: list[int] | None, said: bool, tmp_path: Path) -> None:
    make_pictures(tmp_path / "large", {"a": 3, "b": 3}, size=side)
    prepared = prepare(settings(images=str(tmp_path / "large"), folds=2, image_size=asked), tmp_path)
    lost = "640 x 640 pixels, the median of the files, become 128 x 128: what is smaller than about 5 of theirs is lost"
    assert [lost in remark for remark in prepared.remarks] == ([True] if said else [])
