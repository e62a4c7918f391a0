"""A model of the user's own: what is learned of its parameters, what is built, and what is said when it is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spaces import Space, SpaceError
from spaces.facts import Facts
from spaces.own import BuilderError, ModelFile, OwnModel, named
from tests.spaces import nets

FACTS = Facts(height=8, width=8, channels=1, classes=2, images=27)


def own(tmp_path: Path, text: str, function: str = "build", facts: Facts = FACTS) -> OwnModel:
    (tmp_path / "net.py").write_text(text)
    return OwnModel(named(f"{tmp_path / 'net.py'}:{function}"), facts)


def conditions(space: Space) -> dict[str, str]:
    return {row["name"]: row["when"] for row in space.rows()}


def test_layers_in_a_loop_become_parameters_under_the_number_of_layers(tmp_path: Path) -> None:
    space = own(tmp_path, nets.GUIDE).discover()
    assert conditions(space) == {
        "num_layers": "",
        "units_0": "",
        "activation": "",
        "units_1": "num_layers >= 2",
        "units_2": "num_layers >= 3",
        "dropout": "",
        "lr": "",
    }
    assert space.by_name["units_0"].range == "32 to 512, step 32"
    assert space.by_name["lr"].range == "0.0001 to 0.01, logarithmic"


def test_the_first_point_is_keras_tuners_defaults(tmp_path: Path) -> None:
    import keras_tuner

    model = own(tmp_path, nets.GUIDE)
    namespace: dict[str, object] = {}
    exec(nets.GUIDE, namespace)  # noqa: S102 - the text above
    hp = keras_tuner.HyperParameters()
    build = namespace["build"]
    assert callable(build)
    build(hp)
    assert model.discover().defaults() == hp.values


def test_scopes_names_defaults_and_steps_are_as_in_keras_tuner(tmp_path: Path) -> None:
    space = own(tmp_path, nets.FAMILIES).discover()
    assert conditions(space) == {
        "model_type": "",
        "units": "model_type = mlp",
        "cnn/filters": "model_type = cnn",
        "drop": "",
        "rate": "drop = true",
        "batch_size": "",
        "epochs": "",
    }
    assert space.by_name["cnn/filters"].range == "4, 8, 16"
    assert space.by_name["units"].default == 16
    assert space.by_name["rate"].default == 0.1
    assert space.by_name["epochs"].range == "2"


def test_a_parameter_that_needs_two_others_is_met_too(tmp_path: Path) -> None:
    assert conditions(own(tmp_path, nets.NEEDS_TWO).discover())["units"] == "deep = true and wide = true"


@pytest.mark.parametrize("text", [nets.GUIDE, nets.FAMILIES, nets.NEEDS_TWO])
def test_every_point_of_the_space_builds_and_the_walk_is_the_same_each_time(tmp_path: Path, text: str) -> None:
    model = own(tmp_path, text)
    space = model.discover()
    assert model.discover() == space
    rng = np.random.default_rng(0)
    for _ in range(15):
        model.build(space.sample(rng))


def test_a_hypermodel_class_works_and_its_own_fit_is_refused(tmp_path: Path) -> None:
    assert list(own(tmp_path, nets.HYPERMODEL, "Net").discover().by_name) == ["units"]
    with pytest.raises(
        BuilderError, match="has a `fit` of its own, which cannot be used: every trial is trained on fold"
    ):
        own(tmp_path, nets.OWN_FIT, "Net")


def test_a_model_that_is_not_compiled_gets_a_loss_that_fits_its_output(tmp_path: Path) -> None:
    model = own(tmp_path, nets.FAMILIES)
    compiled, _ = model.compiled(model.discover().defaults())
    assert compiled.loss.name == "binary_crossentropy"


def test_a_compiled_model_keeps_its_loss_and_optimizer(tmp_path: Path) -> None:
    model = own(tmp_path, nets.HYPERMODEL, "Net")
    compiled, _ = model.compiled({"units": 8})
    assert type(compiled.optimizer).__name__ == "SGD"
    assert compiled.loss.get_config()["from_logits"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("hp.Int('a', 1, 2)\nraise KeyError('oops')", r"net\.py, line 6: KeyError: 'oops'"),
        ("return 1 / 0", r"net\.py, line 5: ZeroDivisionError: division by zero"),
        ("return None", r"net\.py:build returned NoneType, not a keras\.Model"),
        (
            "return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])",
            r"net\.py:build has 10 output units, but there are 2 classes: the last layer needs 2 \(or 1, for two",
        ),
        (
            "return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])",
            r"takes 28 x 28 x 1, but the images are 8 x 8 x 1; set image_size = \[28, 28\] in study\.toml",
        ),
        (
            "return keras.Sequential([keras.Input((64,)), keras.layers.Dense(2)])",
            r"takes 64, but the images are 8 x 8 x 1; it must take height x width x channels",
        ),
        (
            "return keras.Sequential([keras.layers.Conv2D(4, 9), keras.layers.Flatten(), keras.layers.Dense(2)])",
            r"net\.py: ValueError: ",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_users_own_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(BuilderError, match=message):
        own(tmp_path, nets.simple(body)).discover()


def test_a_file_that_does_not_load_is_said_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BuilderError, match=r"net\.py, line 2: SyntaxError"):
        own(tmp_path, "import keras\ndef build(hp:\n")
    with pytest.raises(BuilderError, match=r"net\.py, line 1: ModuleNotFoundError: No module named 'no_such_thing'"):
        own(tmp_path, "import no_such_thing\n")
    with pytest.raises(BuilderError, match=r"net\.py:make: no function or HyperModel of this name; there: build"):
        own(tmp_path, "def build(hp): ...\n", "make")


def test_a_parameter_met_at_one_point_only_is_a_failure_and_no_silent_default(tmp_path: Path) -> None:
    body = "if hp.Float('x', 0, 1) == 0.125:\n    hp.Int('hidden', 1, 2)\n"
    body += "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])"
    model = own(tmp_path, nets.simple(body))
    assert list(model.discover().by_name) == ["x"]
    with pytest.raises(BuilderError, match=r"asked for 'hidden' at this point only"):
        model.build({"x": 0.125})


def test_a_file_that_changed_since_it_was_named_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(nets.GUIDE)
    file = named(f"{tmp_path / 'net.py'}:build")
    marker = tmp_path / "ran"
    (tmp_path / "net.py").write_text(f"open({str(marker)!r}, 'w')\n" + nets.GUIDE)
    with pytest.raises(BuilderError, match="changed since the search began"):
        OwnModel(file, FACTS)
    assert not marker.exists()


@pytest.mark.parametrize("text", ["net.py", "net.py:", ":build", "net.py:not a name", "nowhere.py:build"])
def test_a_builder_is_named_as_file_and_function(text: str) -> None:
    with pytest.raises(SpaceError, match=r"--model: "):
        named(text)


def test_the_name_shown_has_no_folder(tmp_path: Path) -> None:
    assert ModelFile(str(tmp_path / "net.py"), "build", "0" * 64).name == "net.py:build"
