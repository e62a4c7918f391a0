"""The script of a winner trains it again, in plain Keras, as well as the search did."""

from __future__ import annotations

import ast
import csv
import io
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.export.code.points import Part, Point, Winner
from search.export.code.script import write
from spaces.backbones.lite import LITE0
from spaces.custom.file import named
from spaces.facts import Facts
from spaces.parameters import Value
from spaces.presets import FAMILIES
from spaces.recipe import EMA_EPOCHS
from tests.pictures import make_pictures
from tests.search.worker.test_frozen import needs_weights

CLASSES = ("left", "top")
FOLDS = 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures") / "shapes", {"left": 12, "top": 12}, size=8)


def table(pictures: Path) -> str:
    """Every sixth picture of a class is for testing, the others are in two folds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "fold"])
    for name in CLASSES:
        for number, path in enumerate(sorted((pictures / name).iterdir())):
            fold = "test" if number % 6 == 5 else number % FOLDS
            writer.writerow([path.relative_to(pictures).as_posix(), name, fold])
    return text.getvalue()


def point(trial: int, family: str, epochs: int = 1, **changes: Value) -> Point:
    preset, facts = FAMILIES[family], facts_of()
    params = preset.space(facts).defaults(**changes)
    return Point(trial, preset, params, epochs, (1.0,) * epochs, f"{family}; it did well.")


def facts_of() -> Facts:
    return Facts(8, 8, 1, 2, 20, (LITE0,))


def winner(*points: Point, parts: tuple[Part, ...] = ()) -> Winner:
    whole = parts or tuple(Part(one.trial, 1 / len(points), None) for one in points)
    return Winner("shapes", CLASSES, facts_of(), 24, 0, points, whole)


def written(chosen: Winner, pictures: Path, home: Path) -> Path:
    files = write(chosen, home / "train.py", table(pictures))
    assert {file.name for file in home.iterdir()} == {file.name for file in files}
    return files[0]


def run(script: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> tuple[float, str]:
    """(Mean balanced accuracy over the folds, what training on all pictures printed); in this process."""
    names: dict[str, Any] = {"__name__": "train", "__file__": str(script)}
    exec(compile(script.read_text(), script, "exec"), names)  # noqa: S102 - our own code
    data = names["read_table"](script.with_suffix(".csv"), pictures)
    names["judge_in_folds"](*data)
    folds = capsys.readouterr().out
    names["train"](*data)
    return float(folds.split("mean of the folds: ")[1].split(",")[0]), capsys.readouterr().out


@pytest.mark.slow
def test_a_network_from_scratch(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With much that changes how it is trained: augmentation, a schedule, weights of classes, one output."""
    more: Mapping[str, Value] = {"learning_rate": 0.01, "batch_size": 4, "conv_depth": 1, "head": "flatten"}
    trained: Mapping[str, Value] = {"augmentation": "geometric", "schedule": "cosine", "dropout": 0.0}
    chosen = point(3, "cnn", 25, output="sigmoid", **more, **trained)
    script = written(winner(chosen), pictures, tmp_path)
    score, printed = run(script, pictures, capsys)
    assert score >= 0.9
    assert "pictures for testing: balanced accuracy" in printed and "train.trained.keras" in printed
    import keras

    model = keras.saving.load_model(tmp_path / "train.trained.keras")
    said = model.predict(np.zeros((1, 8, 8, 1), np.float32), verbose=0)
    assert said.shape == (1, 2) and said.sum() == pytest.approx(1, abs=1e-5)


def test_it_uses_nothing_of_this_project(pictures: Path, tmp_path: Path) -> None:
    chosen = point(3, "cnn", 2, augmentation="mixup", schedule="plateau", conv_depth=2, block="residual")
    text = written(winner(chosen), pictures, tmp_path).read_text()
    modules = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"keras", "numpy", "tensorflow", "PIL"}
    assert "search." not in text and "noqa" not in text and max(map(len, text.splitlines())) < 200


def test_weights_are_averaged_as_in_the_search(pictures: Path, tmp_path: Path) -> None:
    """Over about five epochs; a trial without averages has none."""
    averaged = point(3, "cnn", 2, ema=True, batch_size=8, conv_depth=1)
    text = written(winner(averaged, point(4, "cnn", 2)), pictures, tmp_path).read_text()
    steps = -(-24 // int(averaged.params["batch_size"]))
    made = text[text.index("def train_3") : text.index("def train_4")]
    momentum = float(made.split("use_ema=True, ema_momentum=")[1].split(")")[0])
    assert momentum == pytest.approx(1 - 1 / (EMA_EPOCHS * steps), abs=1e-6)
    assert text.count("use_ema=True") == 1


def test_names_from_files_are_data_and_never_code(pictures: Path, tmp_path: Path) -> None:
    evil = '"""); import os; os.system("x"); ("""'
    chosen = replace(winner(point(0, "cnn")), name=evil, classes=(evil, "top"))
    tree = ast.parse(written(chosen, pictures, tmp_path).read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "os"]


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("head", ["logistic", "svm", "dense"])
def test_a_head_on_a_pre_trained_network(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    chosen = point(1, "frozen", 20, head=head, input_size=64, flip_average=head == "logistic")
    score, printed = run(written(winner(chosen), pictures, tmp_path), pictures, capsys)
    assert score >= 0.75
    assert ("no file is written" in printed) == (head == "svm")


@pytest.mark.slow
@needs_weights
def test_an_ensemble_with_a_pre_trained_network_that_is_trained_on(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = point(1, "fine-tune", 2, input_size=64, batch_size=8, unfreeze="last")
    parts = (Part(1, 0.5, None), Part(2, 0.25, 0), Part(2, 0.25, 1))
    script = written(winner(tuned, point(2, "cnn", 8), parts=parts), pictures, tmp_path)
    score, printed = run(script, pictures, capsys)
    assert score >= 0.75 and "train.trained.keras" in printed


OWN = """
import keras

def build(hp):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    rate = hp.Float("rate", 1e-3, 1e-1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    return model

def callbacks(hp):
    return [keras.callbacks.TerminateOnNaN()]
"""


@pytest.mark.slow
def test_a_model_of_ones_own_is_copied_and_called_with_the_winners_values(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.py").write_text(OWN)
    chosen = Point(4, None, {"rate": 0.02, "batch_size": 4}, 15, (), "net.py:build; it did well.")
    own = replace(winner(chosen), own=named(str(tmp_path / "mine" / "net.py") + ":build"))
    (tmp_path / "home").mkdir()
    script = written(own, pictures, tmp_path / "home")
    assert (tmp_path / "home" / "train_net.py").read_text() == OWN
    score, printed = run(script, pictures, capsys)
    assert score >= 0.9 and "train.trained.keras" in printed


@pytest.mark.slow
def test_it_runs_as_a_program_where_this_project_is_not_installed(pictures: Path, tmp_path: Path) -> None:
    script = written(winner(point(3, "cnn", 4)), pictures, tmp_path)
    for arguments, said in ((["--folds"], "mean of the folds"), ([], "wrote")):
        done = subprocess.run(
            [sys.executable, script.name, str(pictures), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and said in done.stdout, done.stderr


def test_a_picture_that_is_gone_is_one_sentence(pictures: Path, tmp_path: Path) -> None:
    script = written(winner(point(0, "cnn")), pictures, tmp_path)
    names: dict[str, Any] = {"__name__": "train", "__file__": str(script)}
    exec(compile(script.read_text(), script, "exec"), names)  # noqa: S102 - our own code
    with pytest.raises(SystemExit, match=r"24 of 24 pictures of .* are not there, such as left/"):
        names["read_table"](script.with_suffix(".csv"), tmp_path)


def test_folds_are_judged_several_times_with_other_random_numbers_each(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What chance alone changes is told: of a guess that differs each time, too."""
    script = written(winner(point(0, "cnn")), pictures, tmp_path)
    names: dict[str, Any] = {"__name__": "train", "__file__": str(script)}
    exec(compile(script.read_text(), script, "exec"), names)  # noqa: S102 - our own code
    seeds: list[int] = []

    class Guess:
        def __init__(self) -> None:
            seeds.append(names["SEED"])
            self.random = np.random.default_rng(names["SEED"])

        def predict(self, x: Any, **_: Any) -> Any:
            return self.random.dirichlet((1, 1), len(x))

    names["train_0"] = lambda _x, _y: Guess()
    names["judge_in_folds"](*names["read_table"](script.with_suffix(".csv"), pictures), 3)
    told = capsys.readouterr().out
    means = [float(line.split(": ")[1].split(",")[0]) for line in told.splitlines() if "mean of the folds" in line]
    assert seeds == [0, 0, 1, 1, 2, 2] and len(set(means)) > 1
    mean, _, spread = told.splitlines()[-1].removeprefix("mean of 3 times: ").partition(", ")
    assert float(mean) == pytest.approx(np.mean(means), abs=1e-4)  # of rounded numbers
    assert spread == f"from {min(means):.4f} to {max(means):.4f}"


def test_how_it_is_called_is_told_to_who_calls_it_otherwise(pictures: Path, tmp_path: Path) -> None:
    script = written(winner(point(0, "cnn")), pictures, tmp_path)
    for arguments in ([], [str(pictures), "--folds", "few"]):
        code = compile(script.read_text(), script, "exec")
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(SystemExit, match=r"PICTURES --folds 5  the same five"),
        ):
            patch.setattr(sys, "argv", [script.name, *arguments])
            exec(code, {"__name__": "__main__", "__file__": str(script)})  # noqa: S102 - our own code
