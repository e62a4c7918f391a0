"""The study folder: finding it, preparing a search, making its database, and refusing another one's."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import config as toml
from search.config import Config, parse
from search.errors import UsageError
from search.images import read_images
from search.run import make_plan
from search.study import DATABASE, budget_done, check_same, create, find_study, is_study, pixels_on_disk, prepare
from spaces import Space
from storage import RunRecord, Store, TrialRecord, TrialState
from tests.pictures import make_pictures, noise, plain, write
from tests.search.instant import store_references

FOLDER = "study"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`shapes`, pictures of 'left' (7), 'top' (5) and two of each for testing, and an empty `study`, here."""
    make_pictures(tmp_path / "shapes", {"left": 7, "top": 5}, testing={"left": 2, "top": 2})
    (tmp_path / FOLDER).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(**changes: Any) -> Config:
    return parse({"images": "../shapes", "preset": "cnn", "seed": 3, **changes}, "here")


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


# Finding it


def make_study(folder: str) -> Path:
    Path(folder).mkdir(exist_ok=True)
    toml.write(Path(folder), settings())
    return Path(folder)


def test_the_study_named_is_the_one(place: Path) -> None:
    make_study(FOLDER)
    make_study("other")
    assert find_study(Path(FOLDER)) == Path(FOLDER)
    assert find_study(place / "other") == place / "other"


def test_without_a_name_it_is_the_current_folder_or_the_only_one_in_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(FOLDER)
    assert find_study(None) == Path(FOLDER)
    make_study(f"{FOLDER}/inner")
    monkeypatch.chdir(place / FOLDER)
    assert find_study(None) == Path()


def test_none_or_several_are_refused_by_name(place: Path) -> None:
    assert place == Path.cwd()
    assert refusal(lambda: find_study(None)) == (
        "there is no study here; name one, or make one with `search run IMAGES`"
    )
    make_study("one")
    make_study("two")
    assert refusal(lambda: find_study(None)) == "there are several studies here; name one: one, two"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere does not exist; `search run IMAGES` makes a study"),
        ("shapes", "shapes is not a study: it has no study.toml; `search run IMAGES` makes one"),
        (
            "shapes/training/top/0000.png",
            "shapes/training/top/0000.png is not a study: it has no study.toml; `search run IMAGES` makes one",
        ),
    ],
)
def test_what_is_no_study_is_refused(place: Path, name: str, message: str) -> None:
    assert refusal(lambda: find_study(Path(name))) == message
    assert not is_study(place / name)


def test_a_database_alone_makes_a_study_too(place: Path) -> None:
    (place / FOLDER / DATABASE).touch()
    assert is_study(place / FOLDER)


# Preparing


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
    told: list[tuple[int, int]] = []
    prepare(settings(), place / FOLDER, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 16)
    assert told[-1] == (16, 16)


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


# Making it


def test_the_database_holds_what_was_asked_and_the_folds_once_drawn(place: Path) -> None:
    prepared = prepare(settings(metric="auroc"), place / FOLDER)
    with create(place / FOLDER, prepared) as store:
        record, images, split = store.study(), store.images(), store.split()
    assert (record.name, record.seed, record.metric, record.classes) == ("shapes", 3, "auroc", ("left", "top"))
    assert (record.image_shape, record.fingerprint) == ((8, 8, 1), prepared.images.fingerprint)
    assert record.config == prepared.identity
    assert record.space == prepared.space.to_json()
    assert [(i.path, i.testing) for i in images] == list(
        zip(prepared.images.paths, prepared.images.testing.tolist(), strict=True)
    )
    assert np.array_equal(split.assignment == -1, prepared.images.testing)
    assert set(split.assignment[~prepared.images.testing].tolist()) == set(range(5))


def test_the_same_seed_draws_the_same_folds_and_another_seed_others(place: Path) -> None:
    drawn = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (place / name).mkdir()
        with create(place / name, prepare(settings(seed=seed), place / name)) as store:
            drawn.append(store.split().assignment.tolist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_the_pixels_lie_on_the_disk_for_as_long_as_they_are_needed(place: Path) -> None:
    images = read_images(place / "shapes")
    with pixels_on_disk(place / FOLDER, images) as path:
        assert path.is_absolute()
        assert np.array_equal(np.load(path, mmap_mode="r", allow_pickle=False), images.pixels)
    assert list((place / FOLDER).iterdir()) == []


# Refusing another one


@pytest.fixture
def begun(place: Path) -> Store:
    """The database of a study with folds, sizes and epochs left open."""
    return create(place / FOLDER, prepare(settings(), place / FOLDER))


def asked(place: Path, **changes: Any) -> list[str]:
    """The differences named, a line each."""
    with Store.open(place / FOLDER / DATABASE, read_only=True) as store:
        said = refusal(lambda: check_same(store, prepare(settings(**changes), place / FOLDER)))
    first, *lines, last = said.splitlines()
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
    with create(place / FOLDER, replace(prepared, space=space)) as store:
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
    create(place / FOLDER, prepared).close()
    with sqlite3.connect(place / FOLDER / "study.db") as connection:
        connection.execute("UPDATE study SET config = json_remove(config, '$.race')")
    with Store.open(place / FOLDER / "study.db") as store:
        check_same(store, prepared)
        assert make_plan(prepared, store, slots=1).race is None
        with pytest.raises(UsageError, match="race: the study has none, asked is paired"):
            check_same(store, prepare(settings(race="paired"), place / FOLDER))


def test_a_study_of_before_precision_could_be_chosen_was_computed_in_float32_without_xla(place: Path) -> None:
    prepared = prepare(settings(), place / FOLDER)
    create(place / FOLDER, prepared).close()
    with sqlite3.connect(place / FOLDER / "study.db") as connection:
        connection.execute("UPDATE study SET config = json_remove(config, '$.training.precision', '$.training.xla')")
    with Store.open(place / FOLDER / "study.db") as store:
        check_same(store, prepared)
        with pytest.raises(UsageError, match=r"training\.precision: the study has float32, asked is mixed_bfloat16"):
            check_same(store, prepare(settings(training={"precision": "mixed_bfloat16"}), place / FOLDER))


def test_a_difference_in_a_digit_that_the_table_does_not_show_is_one(place: Path) -> None:
    create(place / FOLDER, prepare(settings(space={"dropout": 0.1234567891}), place / FOLDER)).close()
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
    found = asked(place, folds=3, metric="accuracy", space={"kernel": 3})
    assert [line.split(":")[0] for line in found] == ["folds", "metric", "space.kernel", "images"]


# What is left to do


def test_a_study_is_done_when_its_trials_are_closed_and_its_reference_rows_there(begun: Store) -> None:
    run = begun.start_run(RunRecord("", "search run", {}, "here", 1))
    begun.add_trial(TrialRecord(0, {}, "baseline"), run=run, seconds=1)
    begun.close_trial(0, TrialState.FAILED, "error", "as one")
    assert budget_done(begun.path.parent, begun, settings(trials=1)) is None
    store_references(begun, run)
    assert (
        budget_done(begun.path.parent, begun, settings(trials=1)) == "1 of 1 trials are done; --trials raises the total"
    )
    assert budget_done(begun.path.parent, begun, settings(trials=2)) is None
