"""`search diagnose`: why one network does not learn, found out by experiment; and one that has nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import search, search_here
from tests.pictures import make_pictures
from tests.warm import ROOT

NET = """
import keras

def build(hp):
    rate = hp.Choice("learning_rate", [1e-9, 0.01], default={rate})
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
    return model
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    make_pictures(home / "pictures", {"a": 20, "b": 20})
    (home / "stuck.py").write_text(NET.format(rate="1e-9"))
    (home / "fine.py").write_text(NET.format(rate="0.01"))
    return home


def test_a_stuck_network_and_the_changes_with_which_it_learns_or_does_not(home: Path) -> None:
    done = search("diagnose", "pictures", "--model", "stuck.py:build", "--workers", "1", cwd=home)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("Your network stays at chance (accuracy 0.")
    assert "learning rate too small (learning_rate 1e-09)" in first
    assert "Change one thing, " in first
    assert "learning_rate: 1e-09 → 0.01" in done.stdout
    page = (home / "pictures-diagnose.html").read_text()
    assert "With these it learns" in page
    assert "With these it does not" in page
    assert "<script" not in page
    assert sorted(path.name for path in home.iterdir()) == ["fine.py", "pictures", "pictures-diagnose.html", "stuck.py"]


def test_a_network_that_learns_is_told_so_and_json_writes_nothing(home: Path, tmp_path: Path) -> None:
    model = f"{home / 'fine.py'}:build"
    done = search("diagnose", home / "pictures", "--model", model, "--workers", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    diagnosis = json.loads(done.stdout)
    assert diagnosis["verdict"] == "learns"
    assert diagnosis["answer"].startswith("Your network learns: accuracy ")
    assert diagnosis["accuracy"] > 0.8
    assert (diagnosis["experiments"], diagnosis["suspects"]) == ([], [])
    assert [layer["kind"] for layer in diagnosis["layers"]] == ["Flatten", "Dense"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_labels_are_not_blamed_where_a_plain_method_learns_from_the_pictures(home: Path, tmp_path: Path) -> None:
    """A network that is shown nothing but its own noise."""
    net = """
import keras

def build(hp):
    inputs = keras.Input((8, 8, 1))
    hp.Fixed("batch_size", 2)
    x = keras.layers.GaussianNoise(1.0)(keras.layers.Flatten()(inputs)[:, :1])
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    return model
"""
    (tmp_path / "blind.py").write_text(net)
    asked = ("--model", "blind.py:build", "--epochs", "15", "--seconds", "0", "--workers", "1", "--json")
    make_pictures(tmp_path / "noise", {"a": 20, "b": 20}, learnable=False)
    said = {}
    for folder in (home / "pictures", tmp_path / "noise"):
        done = search("diagnose", folder, *asked, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["verdict"] != "learns" and "memorizes" not in found["answer"]
        said[folder.name] = " ".join(f"{one['cause']}: {one['evidence']}" for one in found["suspects"])
    assert "label" not in said["pictures"]
    assert "on frozen features reaches 1.00 on the same folds" in said["pictures"] or (
        "on pixels reaches 1.00 on the same folds" in said["pictures"]
    )
    assert "labels, or too few images: plain methods find nothing that holds either: " in said["noise"]


def test_what_cannot_be_diagnosed_is_refused(home: Path) -> None:
    done = search_here("diagnose", "pictures", "--preset", "frozen", cwd=home)
    assert done.returncode == 2
    assert "--preset: must be cnn or question" in done.stderr


@pytest.mark.slow
def test_the_causes_of_the_question_s_network_and_the_changes_with_which_it_learns_or_does_not(
    tmp_path: Path,
) -> None:
    done = search("diagnose", ROOT / "examples" / "shirts", "--seconds", "0", "--workers", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    diagnosis = json.loads(done.stdout)
    assert (diagnosis["verdict"], round(diagnosis["loss"], 3)) == ("stuck at chance", 0.693)
    assert diagnosis["accuracy"] == pytest.approx(0.5, abs=0.02)
    assert diagnosis["answer"].startswith(
        "Your network stays at chance (accuracy 0.50, loss 0.693 = ln 2); suspected: initial weights too small "
        "(initializer uniform_0.05, dense_depth 4), regularisation too strong (l2 0.01) and dropout too strong "
        "(dropout 0.2). Change one thing, "
    )
    frees = {one["change"]: one["frees"] for one in diagnosis["experiments"]}
    assert frees == {
        "initializer: uniform_0.05 → glorot_uniform": True,
        "dense_depth: 4 → 0": True,
        "conv_depth: 2 → 1": False,
        "l2: 0.01 → 0": True,
    }
    assert "dropout: 0.2 → 0" in diagnosis["not_tried"]


def test_groups_are_kept_together_in_a_diagnosis_too(home: Path) -> None:
    done = search_here("diagnose", "pictures", "--groups", "(b)/", cwd=home)
    assert done.returncode == 2
    assert "class 'b' has 20 training images, of which 1 are independent" in done.stderr


def test_less_than_no_seconds_are_refused(home: Path) -> None:
    done = search_here("diagnose", "pictures", "--seconds", "-1", cwd=home)
    assert (done.returncode, "--seconds: must be at least 0, got -1" in done.stderr) == (2, True)
