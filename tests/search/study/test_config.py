"""`study.toml`: read into one frozen value, written with comments, every problem named at once."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from search.errors import UsageError
from search.samplers.catalog import ENGINES, SAMPLERS
from search.stats.metrics import METRICS
from search.stats.ranking import SECOND_OBJECTIVES
from search.study import config as toml
from search.study import config_file
from search.study.config import DATA, FILE, Config, TrainingConfig, Try, merged, parse
from search.study.identity import differences
from spaces.presets import EXAMPLE, PRESETS, Auto

KEYS = [field.alias or name for name, field in Config.model_fields.items()]


def problems(values: dict[str, Any]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse({"images": "pictures", **values}, "here")
    first, *lines = str(caught.value).splitlines()
    assert first == "here:"
    assert all(line.startswith("  ") for line in lines)
    return [line.strip() for line in lines]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any configuration."""
    side = st.integers(8, 1024)
    training = TrainingConfig(
        max_epochs=draw(st.none() | st.integers(1, 1000)),
        patience=draw(st.integers(0, 99)),
        min_delta=draw(st.floats(0, 1)),
    )
    change = st.integers(0, 9) | st.lists(st.sampled_from(("a", "b")), min_size=1) | st.just({"low": 1, "high": 0.5})
    engine = draw(st.sampled_from(sorted(ENGINES)))
    two = engine == "optuna" and draw(st.booleans())
    samplers = [
        row.name for row in SAMPLERS if row.engine == engine and (row.two_objectives if two else row.one_objective)
    ]
    hours = draw(st.none() | st.floats(0.001, 1000))
    budget: dict[str, Any] = draw(st.sampled_from(({"hours": hours}, {"hours": 0.025, "time": "90s"})))
    config = Config(
        images=draw(st.text(min_size=1, max_size=20)),
        also=draw(st.none() | st.lists(st.text(min_size=1, max_size=9), max_size=2)),
        labels=draw(st.none() | st.text(min_size=1, max_size=9)),
        label_pattern=draw(st.none() | st.text(min_size=1, max_size=9)),
        merge=draw(st.none() | st.lists(st.text(min_size=1, max_size=9), max_size=2)),
        preset=draw(st.sampled_from(sorted(PRESETS))),
        engine=engine,
        second_objective=draw(st.sampled_from(SECOND_OBJECTIVES)) if two else None,
        sampler=draw(st.none() | st.sampled_from(samplers)),
        metric=draw(st.sampled_from(sorted(METRICS))),
        race=draw(st.sampled_from((None, "none"))),
        lock_box=draw(st.none() | st.booleans()),
        nested=draw(st.booleans()),
        folds=draw(st.none() | st.integers(2, 100)),
        seed=draw(st.integers(0, 2**31 - 1)),
        trials=draw(st.none() | st.integers(1, 1000)),
        **budget,
        image_size=draw(st.none() | st.tuples(side, side)),
        max_parameters=draw(st.integers(1, 10**9)),
        training=training,
        weights=draw(st.dictionaries(st.sampled_from(("vgg16", "densenet121")), st.text(min_size=1, max_size=9))),
        space=draw(st.dictionaries(st.sampled_from(("dropout", "filters", "l2")), change)),
    )
    points = st.lists(st.dictionaries(st.sampled_from(("dropout", "l2")), st.integers(0, 9)), max_size=3)
    return config.model_copy(update={"tries": draw(points)})


# Values


def test_only_the_images_have_to_be_said() -> None:
    config = parse({"images": "pictures"}, "here")
    assert config == Config(images="pictures")
    assert (config.preset, config.engine, config.metric, config.seed) == ("auto", "optuna", "balanced_accuracy", 0)
    assert (config.sampler, config.chosen_sampler) == (None, "tpe")
    assert (config.trials, config.hours, config.folds, config.image_size) == (200, 8.0, None, None)
    assert (config.training.max_epochs, config.training.patience) == (None, 8)


def test_a_size_may_be_one_number_and_hours_whole() -> None:
    assert parse({"images": "x", "image_size": 32}, "").image_size == (32, 32)
    assert parse({"images": "x", "image_size": [20, 33]}, "").image_size == (20, 33)
    assert parse({"images": "x", "hours": 8}, "").hours == 8.0


def test_hours_may_be_said_in_words_and_once_only() -> None:
    config = parse({"images": "x", "time": "1h30m"}, "")
    assert (config.hours, config.time) == (1.5, "1h30m")
    assert parse({"images": "x", "time": "1h", "hours": 1.0}, "").hours == 1.0
    assert problems({"time": "1h", "hours": 2.0}) == ["time: is the same budget as hours; leave one of them out"]
    assert problems({"time": "soon"}) == ["time: must be a time such as 90s, 30m, 8h or 1h30m, got 'soon'"]
    assert problems({"time": 5}) == ["time: must be text in quotes, got 5"]


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config(images="x").seed = 3


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"images": ""}, "images: must not be empty, got ''"),
        ({"images": "a\udcff"}, r"images: must be valid Unicode, got 'a\udcff'"),
        ({"images": True}, "images: must be text in quotes, got true"),
        (
            {"preset": "qestion"},
            "preset: must be one of auto, frozen, fine-tune, cnn, question, got 'qestion'; did you mean 'question'?",
        ),
        ({"sampler": "x"}, "sampler: must be one of tpe, random, qmc, gp, cmaes, grid, nsga2, got 'x'"),
        (
            {"sampler": "hyperband"},
            "sampler: 'hyperband' is a sampler of keras-tuner; optuna has tpe, random, qmc, gp, cmaes, grid, nsga2",
        ),
        (
            {"engine": "keras-tuner", "sampler": "cmaes"},
            "sampler: 'cmaes' is a sampler of optuna; keras-tuner has bayesian, random, grid, hyperband",
        ),
        (
            {"engine": "keras-tuner", "sampler": "bayes"},
            "sampler: must be one of bayesian, random, grid, hyperband, got 'bayes'; did you mean 'bayesian'?",
        ),
        (
            {"second_objective": "latancy"},
            "second_objective: must be one of parameters, latency, got 'latancy'; did you mean 'latency'?",
        ),
        (
            {"engine": "keras-tuner", "second_objective": "latency"},
            "second_objective: keras-tuner searches for one objective; two need engine optuna",
        ),
        (
            {"second_objective": "latency", "sampler": "gp"},
            "sampler: 'gp' searches for one objective; two need one of nsga2, tpe, random",
        ),
        (
            {"sampler": "nsga2"},
            "sampler: 'nsga2' weighs two objectives; set second_objective (parameters or latency) too",
        ),
        ({"try": {"depth": 1}}, "try: must be a list, got {'depth': 1}"),
        ({"try": [{"depth": 1}, 3]}, "try: must be a table, got 3"),
        ({"tryy": []}, "tryy: no such key; did you mean 'try'?"),
        ({"race": "fair"}, "race: must be one of paired, forgiving, none, got 'fair'; did you mean 'paired'?"),
        (
            {"race": "paired", "second_objective": "parameters"},
            "race: a race gives up what is behind in the metric alone; with second_objective it must be 'none'",
        ),
        (
            {"race": "forgiving", "engine": "keras-tuner", "sampler": "hyperband"},
            "race: 'hyperband' is a race of its own; with it this one must be 'none'",
        ),
        (
            {"engine": "keras", "sampler": "x"},
            "engine: must be one of optuna, keras-tuner, got 'keras'; did you mean 'keras-tuner'?",
        ),
        ({"sampler": 3}, "sampler: must be text in quotes, got 3"),
        ({"metric": 1}, "metric: must be text in quotes, got 1"),
        ({"folds": 1}, "folds: must be at least 2, got 1"),
        ({"folds": 101}, "folds: must be at most 100, got 101"),
        ({"folds": "5"}, "folds: must be a whole number, got '5'"),
        ({"folds": 5.0}, "folds: must be a whole number, got 5.0"),
        ({"folds": True}, "folds: must be a whole number, got true"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"seed": 2**31}, "seed: must be below 2147483648, got 2147483648"),
        ({"trials": 0}, "trials: must be at least 1, got 0"),
        ({"hours": 0}, "hours: must be above 0, got 0"),
        ({"hours": float("nan")}, "hours: must be a finite number, got nan"),
        ({"hours": "8"}, "hours: must be a number, got '8'"),
        ({"image_size": 4}, "image_size: must be at least 8, got 4"),
        ({"image_size": [8, 2000]}, "image_size: must be at most 1024, got 2000"),
        ({"image_size": [8, 8, 3]}, "image_size: must be a whole number, or two: [height, width], got [8, 8, 3]"),
        ({"image_size": "8"}, "image_size: must be a whole number, or two: [height, width], got '8'"),
        ({"image_size": True}, "image_size: must be a whole number, or two: [height, width], got true"),
        ({"image_size": [8, True]}, "image_size: must be a whole number, got true"),
        ({"training": 3}, "training: must be a table, got 3"),
        ({"training": {"patience": -1}}, "training.patience: must be at least 0, got -1"),
        (
            {"training": {"precision": "float16"}},
            "training.precision: must be one of float32, mixed_float16, mixed_bfloat16, got 'float16'; did you mean "
            "'float32'?",
        ),
        ({"training": {"xla": 1}}, "training.xla: must be true or false, got 1"),
        ({"training": {"epochs": 3}}, "training.epochs: no such key; did you mean 'max_epochs'?"),
        ({"weights": "x.h5"}, "weights: must be a table, got 'x.h5'"),
        ({"weights": {"vgg16": 3}}, "weights.vgg16: must be text in quotes, got 3"),
        ({"weights": {"vgg16": ""}}, "weights.vgg16: must not be empty, got ''"),
        (
            {"weights": {"convnext-tiny": "x.h5"}},
            "weights.convnext-tiny: must be one of convnext_tiny, convnext_base, efficientnetv2_b0, "
            "efficientnetv2_s, mobilenetv3_large, densenet121, resnet50v2, vgg16, got 'convnext-tiny'; "
            "did you mean 'convnext_tiny'?",
        ),
        ({"space": [1]}, "space: must be a table, got [1]"),
        ({"trails": 3}, "trails: no such key; did you mean 'trials'?"),
    ],
)
def test_a_wrong_value_is_named_by_key_rule_and_value(values: dict[str, Any], problem: str) -> None:
    assert problems(values) == [problem]


def test_every_problem_is_named_at_once() -> None:
    assert problems({"folds": 1, "hours": -2.0, "zzz": 0, "training": {"min_delta": -1.0, "patience": "8"}}) == [
        "folds: must be at least 2, got 1",
        "hours: must be above 0, got -2.0",
        "training.patience: must be a whole number, got '8'",
        "training.min_delta: must be at least 0, got -1.0",
        "zzz: no such key; known: " + ", ".join(KEYS),
    ]


# The file


@given(configs())
def test_what_is_written_is_read_again(config: Config) -> None:
    text = written(config)
    left_open = {"second_objective", "sampler", "race", "folds", "trials", "hours", "image_size"}
    back = parse(tomllib.loads(text), FILE)
    unset = {key: Config.model_fields[key].default for key in left_open if getattr(config, key) is None}
    assert back == config.model_copy(update=unset)


def written(config: Config) -> str:
    """The text of the file, without a folder of its own for each of a hundred examples."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        config_file.write(Path(folder), config)
        assert [path.name for path in Path(folder).iterdir()] == [FILE]
        return (Path(folder) / FILE).read_text(encoding="utf-8")


def test_the_file_explains_every_key_and_how_to_change_the_space(tmp_path: Path) -> None:
    config_file.write(tmp_path, Config(images="../pictures"))
    text = (tmp_path / FILE).read_text()
    for key in KEYS:
        assert re.search(rf"^(# )?({key} = |\[{key}]|\[\[{key}]])", text, re.MULTILINE), key
    for key in TrainingConfig.model_fields:
        assert f"\n{key} = " in text or f"\n# {key} = " in text
    assert re.search(r"^# cnn_dropout = 0.2 +# fixed$", text, re.MULTILINE)
    assert toml.read(tmp_path) == Config(images="../pictures")


def test_what_is_written_names_every_preset_that_weights_are_for() -> None:
    _, _, after = written(Config(images="pictures")).partition("[weights]\n")
    words = set(re.findall(r"[a-z-]+", after.splitlines()[0]))
    assert words >= {name for name, found in PRESETS.items() if isinstance(found, Auto) or found.frozen}


@pytest.mark.parametrize("line", ['# sampler = "tpe"', "# folds = 5", "# image_size = [64, 64]", "# max_epochs = 40"])
def test_the_examples_in_the_comments_are_right(tmp_path: Path, line: str) -> None:
    config_file.write(tmp_path, Config(images="x"))
    path = tmp_path / FILE
    assert path.read_text().count(line) == 1
    path.write_text(path.read_text().replace(line, line.removeprefix("# ")))
    assert toml.read(tmp_path) != Config(images="x")


def test_an_update_changes_the_value_and_leaves_all_else_as_it_was(tmp_path: Path) -> None:
    config_file.write(tmp_path, Config(images="x"))
    path = tmp_path / FILE
    before = path.read_text() + "# mine\n"
    path.write_text(before)
    config_file.update(tmp_path, {"trials": 300, "training.max_epochs": 5})
    after = path.read_text()
    assert after != before
    assert set(before.splitlines()) - set(after.splitlines()) == {"trials = 200"}
    assert set(after.splitlines()) - set(before.splitlines()) == {"trials = 300", "max_epochs = 5"}
    assert toml.read(tmp_path) == Config(images="x", trials=300, training=TrainingConfig(max_epochs=5))


def test_of_hours_and_time_the_one_that_is_given_takes_the_others_line(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for text in ("hours = 2 # mine\n", "  'hours'  = 2\n", 'time = "2h"\n', "seed = 1\n"):
        for changes in ({"time": "1h30m"}, {"hours": 1.5}):
            path.write_text(f'images = "x"\n{text}[space]\nhours = 3\n')
            config_file.update(tmp_path, changes)
            assert (toml.read(tmp_path).hours, toml.read(tmp_path, {"time": "2h"}).hours) == (1.5, 2.0)
            assert toml.read(tmp_path).space == {"hours": 3} and path.read_text().startswith('images = "x"\n')
            assert ("# mine" in path.read_text()) == ("# mine" in text), "its line is kept, with what else it says"


def test_an_update_that_changes_nothing_does_not_touch_the_file(tmp_path: Path) -> None:
    config_file.write(tmp_path, Config(images="x"))
    before = (tmp_path / FILE).stat()
    config_file.update(tmp_path, {"trials": 200})
    after = (tmp_path / FILE).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("before", ["", "\n[[try]]\ndropout = 0.1\n", "inline"])
def test_points_are_added_after_those_that_are_there_with_where_they_are_from(tmp_path: Path, before: str) -> None:
    config_file.write(tmp_path, Config(images="x"))
    path = tmp_path / FILE
    first = f"try = [{{dropout = 0.1}}]\n{path.read_text()}" if before == "inline" else path.read_text() + before
    path.write_text(first)
    config_file.update(tmp_path, {"trials": 9}, [Try({"depth": 3}, "trial 7 of pets"), Try({"rate": 0.5})])
    config = toml.read(tmp_path)
    assert config.trials == 9
    assert config.tries == [*([{"dropout": 0.1}] if before else []), {"depth": 3}, {"rate": 0.5}]
    if before != "inline":
        assert "[[try]]\n# trial 7 of pets\ndepth = 3\n" in path.read_text()


def test_points_to_try_may_stand_before_other_tables(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('images = "x"\n[[try]]\na = 1\n\n[training]\npatience = 3\n')
    config_file.update(tmp_path, {}, [Try({"b": 2})])
    assert toml.read(tmp_path).tries == [{"a": 1}, {"b": 2}]
    assert toml.read(tmp_path).training.patience == 3


def test_a_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    config_file.write(tmp_path / "elsewhere", Config(images="x"))
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere" / FILE)
    config_file.update(tmp_path, {"trials": 9})
    assert (tmp_path / FILE).is_symlink()
    assert toml.read(tmp_path / "elsewhere").trials == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"trials = ", r"is not TOML: Invalid value \(at line 1, column 10\); correct that line"),
        (b"trials = 1\ntrials = 2\nx = 1\n", r"is not TOML: Cannot overwrite a value \(at line 2"),
        (b"a = '\xff'", r"is not TOML, which is UTF-8: byte 0xff in line 1 is not; save it as UTF-8$"),
        (b"a = " + b"9" * 5000, r"is not TOML: Exceeds the limit"),
        (b"a = " + b"[" * 5000, r"is not TOML: "),
    ],
)
def test_what_is_not_toml_is_refused_by_place(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        toml.read(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / FILE))


def test_a_folder_without_the_file_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a study: it has no study\.toml; `search run IMAGES` makes one$"):
        toml.read(tmp_path)


def test_changes_win_over_the_file(tmp_path: Path) -> None:
    config_file.write(tmp_path, Config(images="x", trials=5))
    changed = toml.read(tmp_path, {"trials": 7, "training.max_epochs": 3})
    assert (changed.trials, changed.training.max_epochs, changed.training.patience) == (7, 3, 8)


# Parts


def test_where_the_images_are_is_relative_to_the_study(tmp_path: Path) -> None:
    config = Config(images="../a", also=["/b.zip"], labels="t.csv", classes=["cat"], merge=["cat=cat+kitten"])
    origin = config.origin(tmp_path)
    assert (origin.roots, origin.labels) == ((tmp_path / "../a", Path("/b.zip")), tmp_path / "t.csv")
    assert (origin.classes, origin.merge, origin.pattern) == (("cat",), ("cat=cat+kitten",), None)


def test_dotted_keys_reach_into_tables() -> None:
    assert merged({"a": 1, "t": {"x": 1, "y": 2}}, {"t.x": 5, "b": 2}) == {"a": 1, "b": 2, "t": {"x": 5, "y": 2}}
    assert merged({}, {"t.u.x": 1}) == {"t": {"u": {"x": 1}}}
    assert merged({"t": 5}, {"t.x": 1}) == {"t": 5}, "what is no table is left for the check to refuse"


def test_the_identity_is_plain_data_without_budgets_and_paths() -> None:
    identity = Config(images="x", trials=3, hours=1.0, image_size=(8, 9)).identity()
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    assert identity["image_size"] == [8, 9]
    free = {"trials", "hours", "time", "images", "weights", "space", "tries", "groups", "lock_box", "nested"}
    free |= {"until_flat", "prefer", "max_latency", "storage", *DATA}
    assert not free & identity.keys()
    assert identity.keys() | free == Config.model_fields.keys()


@pytest.mark.parametrize(
    ("asked", "race"),
    [
        ({}, "paired"),
        ({"race": "forgiving"}, "forgiving"),
        ({"second_objective": "parameters"}, "none"),
        ({"engine": "keras-tuner", "sampler": "hyperband"}, "none"),
    ],
)
def test_trials_race_unless_it_would_decide_what_is_not_its_business(asked: dict[str, Any], race: str) -> None:
    assert parse({"images": "x", **asked}, "here").identity()["race"] == race


@pytest.mark.parametrize(
    ("asked", "sampler"),
    [
        ({}, "tpe"),
        ({"engine": "keras-tuner"}, "bayesian"),
        ({"engine": "keras-tuner", "sampler": "random"}, "random"),
        ({"second_objective": "latency"}, "nsga2"),
    ],
)
def test_the_identity_has_the_sampler_of_the_engine_where_none_was_asked_for(
    asked: dict[str, Any], sampler: str
) -> None:
    assert parse({"images": "x", **asked}, "here").identity()["sampler"] == sampler


def test_differences_name_each_setting_and_both_values() -> None:
    stored = {"folds": 5, "metric": "accuracy", "training": {"patience": 8, "max_epochs": 40}, "gone": 1}
    asked = {"folds": 10, "metric": "accuracy", "training": {"patience": 0, "max_epochs": 40}, "new": 2}
    assert differences(stored, asked) == [
        "folds: the study has 5, asked is 10",
        "gone: the study has 1, asked is nothing",
        "new: the study has nothing, asked is 2",
        "training.patience: the study has 8, asked is 0",
    ]
    assert differences(stored, stored) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_the_examples_in_a_new_file_are_of_its_own_preset(tmp_path: Path, preset: str) -> None:
    config_file.write(tmp_path, Config(images="pictures", preset=preset))
    _, _, below = (tmp_path / FILE).read_text().partition("\n[space]\n")
    examples, _, point = below.partition("# [[try]]\n")
    space = PRESETS[preset].space(EXAMPLE)
    narrowed = tomllib.loads("\n".join(re.findall(r"^# (\w+ = .*)$", examples, re.MULTILINE)))
    assert len(narrowed) == 3
    space.narrow(narrowed)
    space.changed(tomllib.loads(re.findall(r"^# (.*)$", point, re.MULTILINE)[0]))
