"""A model of the user's own: what is learned of its parameters, what is built, and what is said when it is wrong."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from spaces import Space, SpaceError
from spaces.custom.errors import BuilderError
from spaces.custom.file import ModelFile, named
from spaces.custom.model import OwnModel
from spaces.facts import Facts
from tests.spaces import nets

FACTS = Facts(height=8, width=8, channels=1, classes=2, images=27)


def own(tmp_path: Path, text: str, function: str = "build", facts: Facts = FACTS) -> OwnModel:
    (tmp_path / "net.py").write_text(text)
    return OwnModel(named(f"{tmp_path / 'net.py'}:{function}"), facts)


def conditions(space: Space) -> dict[str, str]:
    return {row["name"]: row["when"] for row in space.rows()}


def test_layers_in_a_loop_become_parameters_under_the_number_of_layers(tmp_path: Path) -> None:
    space = own(tmp_path, nets.GUIDE).discover()[0]
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
    assert model.discover()[0].defaults() == hp.values


def test_scopes_names_defaults_and_steps_are_as_in_keras_tuner(tmp_path: Path) -> None:
    space = own(tmp_path, nets.FAMILIES).discover()[0]
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
    assert conditions(own(tmp_path, nets.NEEDS_TWO).discover()[0])["units"] == "deep = true and wide = true"


@pytest.mark.parametrize("text", [nets.GUIDE, nets.FAMILIES, nets.NEEDS_TWO])
def test_every_point_of_the_space_builds_and_discovery_is_the_same_each_time(tmp_path: Path, text: str) -> None:
    model = own(tmp_path, text)
    space, _ = model.discover()
    assert model.discover() == (space, True)
    rng = np.random.default_rng(0)
    for _ in range(15):
        model.build(space.sample(rng))


def test_a_hypermodel_class_works_and_its_own_fit_is_refused(tmp_path: Path) -> None:
    assert list(own(tmp_path, nets.HYPERMODEL, "Net").discover()[0].by_name) == ["units"]
    with pytest.raises(BuilderError, match="has its own `fit`, which cannot be used: every trial is trained on fold"):
        own(tmp_path, nets.OWN_FIT, "Net")


def test_a_model_that_is_not_compiled_gets_a_loss_that_fits_its_output(tmp_path: Path) -> None:
    model = own(tmp_path, nets.FAMILIES)
    compiled, _ = model.compiled(model.discover()[0].defaults())
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
        ("return None", r"^net\.py, line 5: net\.py:build returned NoneType, not a keras\.Model"),
        (
            "return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])",
            r"^net\.py, line 5: net\.py:build has 10 output units, but there are 2 classes: the last layer needs 2",
        ),
        (
            "return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])",
            r"^net\.py, line 5: net\.py:build takes 28 x 28 x 1, but the images are 8 x 8 x 1; `search init IMAGES`, "
            r"then set image_size = \[28, 28\] in its study.toml, or change its Input",
        ),
        (
            "return keras.Sequential([keras.Input((64,)), keras.layers.Dense(2)])",
            r"^net\.py, line 5: net\.py:build takes 64, but the images are 8 x 8 x 1; it must take height",
        ),
        (
            "return keras.Sequential([keras.layers.Conv2D(4, 9), keras.layers.Flatten(), keras.layers.Dense(2)])",
            r"^net\.py, line 5: ValueError: Computed output size",
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


def test_the_line_is_that_of_the_return_that_was_taken(tmp_path: Path) -> None:
    body = """
def made(*layers):
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(2)])
if hp.Boolean("wrong"):
    return made(keras.Input((9, 9, 1)))
return made()
"""
    model = own(tmp_path, nets.simple(body))
    model.build({"wrong": False})
    with pytest.raises(BuilderError, match=r"^net\.py, line 8: net\.py:build takes 9 x 9 x 1"):
        model.build({"wrong": True})


def test_a_model_with_a_call_of_its_own_is_wrapped_and_keeps_its_loss_and_optimizer(tmp_path: Path) -> None:
    model = own(tmp_path, nets.SUBCLASSED)
    assert [row["range"] for row in model.discover()[0].rows()] == ["4 to 8"]
    compiled, _ = model.compiled({"units": 5})
    assert compiled.output_shape == (None, 2)
    assert compiled.count_params() == 64 * 5 + 5 + 5 * 2 + 2
    assert type(compiled.optimizer).__name__ == "SGD"
    assert compiled.loss == "sparse_categorical_crossentropy"


def test_what_a_call_raises_has_its_line_and_a_train_step_beside_it_is_refused(tmp_path: Path) -> None:
    broken = nets.SUBCLASSED.replace("return self.outer(", "return self.nothing(")
    with pytest.raises(
        BuilderError, match=r"^net\.py, line 13: AttributeError: 'Net' object has no attribute 'nothing'$"
    ):
        own(tmp_path, broken).discover()
    both = nets.SUBCLASSED.replace("def call", "def train_step(self, data): ...\n\n    def call")
    with pytest.raises(
        BuilderError, match=r"line 21: TypeError: Net has its own `train_step` and its own `call`: keep"
    ):
        own(tmp_path, both).discover()


def test_annotations_that_are_looked_up_later_find_their_module(tmp_path: Path) -> None:
    assert list(own(tmp_path, nets.ANNOTATED).discover()[0].by_name) == ["units"]
    assert own(tmp_path, nets.ANNOTATED.replace("from __future__ import annotations\n", "")).discover()


def test_modules_beside_it_are_imported_as_they_were_when_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text(nets.HELPERS)
    (tmp_path / "later.py").write_text("CLASSES = 2\n")
    (tmp_path / "other.py").write_text("nobody imports this\n")
    path = list(sys.path)
    model = own(tmp_path, nets.IMPORTS_BESIDE)
    file = named(f"{tmp_path / 'net.py'}:build")
    (tmp_path / "other.py").write_text("CLASSES = 3\n")
    assert named(f"{tmp_path / 'net.py'}:build") == file
    (tmp_path / "later.py").write_text("CLASSES = 3\n")
    assert model.build({}).output_shape == (None, 2)
    assert sys.path == path
    assert named(f"{tmp_path / 'net.py'}:build") != file
    with pytest.raises(BuilderError, match=r"net\.py or a file beside it that it imports changed since"):
        OwnModel(file, FACTS)


def test_a_line_in_a_file_beside_it_is_the_users_own_too(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("def net(hp):\n    raise ValueError('no')\n")
    with pytest.raises(BuilderError, match=r"^helpers\.py, line 2: ValueError: no"):
        own(tmp_path, nets.IMPORTS_BESIDE).discover()
    (tmp_path / "helpers.py").write_text("\nnet = 1 / 0\n")
    with pytest.raises(BuilderError, match=r"^helpers\.py, line 2: ZeroDivisionError"):
        own(tmp_path, nets.IMPORTS_BESIDE)
    (tmp_path / "helpers.py").write_text("\n\ndef net(hp:\n")
    with pytest.raises(BuilderError, match=r"^helpers\.py, line 3: SyntaxError"):
        own(tmp_path, nets.IMPORTS_BESIDE)


def test_a_package_beside_it_is_not_looked_into_and_the_message_says_so(tmp_path: Path) -> None:
    (tmp_path / "helpers").mkdir()
    with pytest.raises(BuilderError, match=r"line 2: ModuleNotFoundError: .*'helpers' \(a folder beside net\.py"):
        own(tmp_path, nets.IMPORTS_BESIDE)


def test_a_hypermodel_that_needs_arguments_is_refused_by_class_and_taken_as_made(tmp_path: Path) -> None:
    with pytest.raises(
        BuilderError, match=r"net\.py:Net needs the arguments classes, .* net = Net\(\.\.\.\) .* --model net\.py:net"
    ):
        own(tmp_path, nets.WITH_ARGUMENTS, "Net")
    assert list(own(tmp_path, nets.WITH_ARGUMENTS, "net").discover()[0].by_name) == ["units"]


def test_a_range_that_cannot_be_one_is_a_failure_that_names_it(tmp_path: Path) -> None:
    body = "with hp.name_scope('a'):\n    hp.Int('n', 1, 9, step=-1)\n"
    body += "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])"
    with pytest.raises(BuilderError, match=r"^net\.py:build: a/n: step must be above 0, got -1"):
        own(tmp_path, nets.simple(body)).discover()


def test_a_parameter_met_at_one_point_only_is_a_failure_and_no_silent_default(tmp_path: Path) -> None:
    body = "if hp.Float('x', 0, 1) == 0.3:\n    hp.Int('hidden', 1, 2)\n"
    body += "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])"
    model = own(tmp_path, nets.simple(body))
    assert list(model.discover()[0].by_name) == ["x"]
    with pytest.raises(BuilderError, match=r"asked for 'hidden' at this point only"):
        model.build({"x": 0.3})


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


TRAINS = """
import keras
import numpy as np


def build(hp):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model


def main():
    model = build(None)
    model.fit(np.zeros((4, 8, 8, 1)), np.eye(2)[[0, 1, 0, 1]], verbose=0)
    open("MARKER", "w")


"""


def test_a_file_that_trains_when_it_is_loaded_is_refused_before_it_does(tmp_path: Path) -> None:
    marker = tmp_path / "trained"
    text = TRAINS.replace("MARKER", str(marker))
    sentence = (
        r"^net\.py trains when it is loaded \(line 14: model\.fit\), and every fold loads it: put that under "
        r"`if __name__ == \"__main__\":`$"
    )
    with pytest.raises(BuilderError, match=sentence):
        own(tmp_path, text + "main()\n")
    own(tmp_path, text + 'if __name__ == "__main__":\n    main()\n')
    assert not marker.exists()
    import keras

    assert "fit" not in vars(keras.Model)  # it is as it was


def test_a_file_beside_it_that_trains_is_named(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text(TRAINS + "net = build\nmain()\n")
    with pytest.raises(BuilderError, match=r"^helpers\.py trains when it is loaded \(line 14: model\.fit\)"):
        own(tmp_path, "import helpers\n\n\ndef build(hp):\n    return helpers.net(hp)\n")


def test_a_builder_may_fit_a_model_of_its_own(tmp_path: Path) -> None:
    assert own(tmp_path, TRAINS.replace("MARKER", str(tmp_path / "x"))).build({}).output_shape == (None, 2)
    fitting = nets.simple(
        "small = keras.Sequential([keras.layers.Dense(1)])\nsmall.compile('sgd', 'mse')\n"
        "small.fit(keras.ops.zeros((2, 1)), keras.ops.zeros((2, 1)), verbose=0)\n"
        "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, 'softmax')])"
    )
    assert own(tmp_path, fitting).build({}).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "keras.optimizers.legacy.SGD(0.1)",
            r"^net\.py, line 5: ImportError: keras\.optimizers\.legacy is of Keras 2, and this is Keras 3: write "
            r"keras\.optimizers\.SGD\(\.\.\.\)$",
        ),
        ("import tf_keras_missing as tf_keras", r"ModuleNotFoundError: No module named 'tf_keras_missing'"),
        (
            "raise ImportError('Keras 2 needs `tf_keras`. Install it with pip, set TF_USE_LEGACY_KERAS')",
            r"line 5: ImportError: Keras 2 needs `tf_keras`; models here are of Keras 3: write `import keras`",
        ),
        (
            "raise ValueError('decay is deprecated in the new Keras optimizer, or use the legacy optimizer')",
            r"line 5: ValueError: an argument of Keras 2's optimizers \(decay\) .* keras\.optimizers\.schedules",
        ),
        (
            "keras.layers.experimental.preprocessing.Rescaling(1 / 255)",
            r"line 5: AttributeError: .*experimental.*; in Keras 3 its layers are in keras\.layers, such as keras",
        ),
    ],
)
def test_what_is_of_keras_2_has_a_step_that_works_here(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BuilderError, match=message):
        own(tmp_path, nets.simple(f"{line}\nreturn None")).discover()


def test_a_model_of_tf_keras_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "tf_keras.py").write_text("class Model:\n    pass\n\n\nclass Sequential(Model):\n    pass\n")
    text = "import tf_keras\n\n\nclass Net(tf_keras.Sequential):\n    pass\n\n\ndef build(hp):\n    return Net()\n"
    with pytest.raises(
        BuilderError, match=r"^net\.py, line 9: net\.py:build returned a model of tf_keras: models here are of Keras 3"
    ):
        own(tmp_path, text).discover()


@pytest.mark.parametrize("name", ["net.ipynb", "my nets/net 1.ipynb"])
def test_a_notebook_is_refused_with_the_command_that_makes_a_script_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"cells": []}')
    with pytest.raises(SpaceError) as refused:
        named(f"{tmp_path / name}:build")
    message = str(refused.value)
    assert "is a notebook; save its code as a Python file with `jupyter nbconvert --to script " in message
    script = shlex.quote(f"{(tmp_path / name).with_suffix('.py')}:build")
    assert message.endswith(f"then name that: --model {script}") and "--output" not in message


def test_that_command_writes_over_no_script(tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    with pytest.raises(SpaceError, match=r"--output net_notebook`, then name that: --model .*/net_notebook\.py:build$"):
        named(str(tmp_path / "net.ipynb"))


@pytest.mark.parametrize(
    ("outputs", "inputs"), [("[out]", "[i]"), ("[out]", "i"), ("{'a': out}", "i"), ("out", "{'pixels': i}")]
)
def test_a_list_or_dict_of_one_input_or_output_is_that_one(tmp_path: Path, outputs: str, inputs: str) -> None:
    body = f"""
i = keras.Input((8, 8, 1), name="pixels")
out = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(i))
model = keras.Model({inputs}, {outputs})
model.compile("sgd", ["categorical_crossentropy"], metrics=[["accuracy"]])
return model
"""
    model = own(tmp_path, nets.simple(body)).compiled({})[0]
    assert np.asarray(model(np.zeros((3, 8, 8, 1)))).shape == (3, 2)
    assert model.loss == "categorical_crossentropy"
    assert type(model.optimizer).__name__ == "SGD"


def test_what_a_layer_raises_is_said_without_keras_words_around_it(tmp_path: Path) -> None:
    text = nets.simple(
        "class Broken(keras.layers.Layer):\n    def call(self, x):\n        raise RuntimeError('the cause')\n"
        "return keras.Sequential([keras.Input((8, 8, 1)), Broken()])"
    )
    with pytest.raises(BuilderError, match=r"^net\.py, line 7: RuntimeError: the cause$"):
        own(tmp_path, text).discover()


def test_backup_and_restore_is_refused(tmp_path: Path) -> None:
    text = nets.GUIDE + "\n\ndef callbacks(hp):\n    return [keras.callbacks.BackupAndRestore('/tmp/x')]\n"
    with pytest.raises(BuilderError, match=r"BackupAndRestore would begin a fold with the weights of another one"):
        own(tmp_path, text).discover()
