"""Searching a model of one's own, from the command line: first run, going on, and everything that is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.study.prepared import CustomModel
from spaces import Space
from spaces.custom.file import ModelFile
from storage import TrialState
from tests.commands import fold_rows, search, start, table, trials_of, wait_until, workers_of
from tests.spaces import nets
from tests.warm import ROOT

pytestmark = pytest.mark.slow  # whole searches

SMALL = ("--folds", "2", "--workers", "1", "--quiet")


@pytest.fixture(scope="module")
def home(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials of a builder with two families, in one go."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(nets.FAMILIES)
    done = search("run", pictures, "--model", "net.py:build", "--trials", "4", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_its_points_and_what_they_declare_are_searched(home: Path) -> None:
    trials = trials_of(home / "shapes-study")
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    first = {"model_type": "mlp", "units": 16, "drop": True, "rate": 0.1, "batch_size": 4, "epochs": 2}
    assert trials[0].params == first
    assert all(f.epochs == 2 for t in trials for f in t.folds)
    assert all(("units" in t.params) == (t.params["model_type"] == "mlp") for t in trials)
    assert trials[0].layers[-1].detail == "1 units, sigmoid"


def test_the_report_names_the_builder(home: Path) -> None:
    data = json.loads(search("report", "shapes-study", "--json", cwd=home).stdout)
    assert data["study"]["preset"] == "net.py:build"


@pytest.mark.slow
def test_killed_and_resumed_equals_one_go(home: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(nets.FAMILIES)
    asked = ("--model", "net.py:build", "--trials", "4", *SMALL)
    process = start("run", pictures, *asked, cwd=tmp_path)
    study = tmp_path / "shapes-study"
    wait_until(lambda: (1, 0, 0) in fold_rows(study))
    process.kill()
    process.communicate()
    wait_until(lambda: workers_of(study) == [])
    resumed = search("resume", study, "--model", "net.py:build", "--workers", "1", "--quiet", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert table(trials_of(study)) == table(trials_of(home / "shapes-study"))


def test_the_example_of_the_documentation_runs(pictures: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own-models.md").read_text(), re.DOTALL)
    (tmp_path / "net.py").write_text(code)
    asked = ("--trials", "2", "--epochs", "1", "--dir", "study")
    done = search("run", pictures, "--model", "net.py:build", *asked, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [t.state for t in trials_of(tmp_path / "study")] == [TrialState.COMPLETE] * 2
    assert trials_of(tmp_path / "study")[0].params["blocks"] == 2


@pytest.fixture(scope="module", params=["optuna", "keras-tuner"])
def guided(request: pytest.FixtureRequest, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials, under each engine, of a builder of the shape of Keras Tuner's getting-started guide."""
    folder = tmp_path_factory.mktemp("guided")
    (folder / "net.py").write_text(nets.GUIDE)
    asked = ("--engine", request.param, "--sampler", "random", "--trials", "3", "--epochs", "1")
    done = search("run", pictures, "--model", "net.py:build", *asked, *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "shapes-study"


def test_under_both_engines_trial_0_is_keras_tuners_defaults(guided: Path) -> None:
    import keras_tuner

    namespace: dict[str, Any] = {}
    exec(nets.GUIDE, namespace)  # noqa: S102 - the text that was searched
    hp = keras_tuner.HyperParameters()
    namespace["build"](hp)
    assert trials_of(guided)[0].params == hp.values


def test_under_both_engines_a_layer_has_units_only_where_it_is(guided: Path) -> None:
    trials = trials_of(guided)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 3
    assert len({t.params["lr"] for t in trials}) == 3
    for trial in trials:
        layers = int(trial.params["num_layers"])
        assert [name for name in trial.params if name.startswith("units_")] == [f"units_{i}" for i in range(layers)]
        assert len([layer for layer in trial.layers if layer.kind == "Dense"]) == layers + 1


@pytest.mark.slow
def test_a_file_beside_it_belongs_to_what_is_resumed(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(nets.IMPORTS_BESIDE)
    (tmp_path / "helpers.py").write_text(nets.HELPERS)
    (tmp_path / "later.py").write_text("CLASSES = 2\n")
    flags = ("--model", "net.py:build", "--trials", "1", "--epochs", "1", *SMALL)
    done = search("run", pictures, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "later.py").write_text("CLASSES = 1\n")
    done = search("resume", "shapes-study", "--model", "net.py:build", "--trials", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "as it was when the study began" in done.stderr


def test_a_model_with_a_call_of_its_own_is_searched_like_any_other(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(nets.SUBCLASSED)
    flags = ("--model", "net.py:build", "--trials", "1", "--epochs", "1", *SMALL)
    done = search("run", pictures, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (trial,) = trials_of(tmp_path / "shapes-study")
    assert trial.state == TrialState.COMPLETE
    assert [layer.kind for layer in trial.layers] == ["InputLayer", "Net"]


def test_a_walk_that_was_cut_short_is_said() -> None:
    own = CustomModel(ModelFile("/net.py", "build", "0" * 64), Space(()), whole=False)
    assert own.found.startswith("net.py:build asks for 0 parameters; 60 s were too few to ask it everywhere")
    assert replace(own, whole=True).found == "net.py:build asks for 0 parameters"


@pytest.mark.parametrize("command", ["run", "diagnose"])
def test_a_preset_beside_it_is_refused(pictures: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "net.py").write_text(nets.GUIDE)
    done = search(command, pictures, "--model", "net.py:build", "--preset", "cnn", cwd=tmp_path)
    assert done.returncode == 2
    assert "--model net.py:build takes the place of a preset, so --preset cnn would do nothing" in done.stderr


def test_code_runs_only_when_it_is_named_again(home: Path) -> None:
    done = search("run", "shapes-study", "--trials", "5", cwd=home)
    assert done.returncode == 2
    assert done.stderr == (
        "search: this study searches net.py:build, your own code, which runs only when you name it: "
        "search resume shapes-study --trials 5 --model net.py:build\n"
    )


def test_a_changed_file_is_refused(home: Path) -> None:
    (home / "changed.py").write_text(nets.FAMILIES + "\n# another\n")
    done = search("resume", "shapes-study", "--trials", "5", "--model", "changed.py:build", cwd=home)
    assert done.returncode == 2
    assert "as it was when the study began" in done.stderr


def test_a_builder_that_fails_at_once_is_refused_with_its_line_and_leaves_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(nets.simple("raise ValueError('no layers')"))
    done = search("run", pictures, "--model", "net.py:build", *SMALL, cwd=tmp_path)
    assert done.returncode == 2
    assert "search: --model: net.py, line 5: ValueError: no layers" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_points_at_which_it_fails_fail_with_its_line_and_five_in_a_row_end_the_run(
    pictures: Path, tmp_path: Path
) -> None:
    body = "if hp.Int('n', 1, 1000) > 1:\n    raise RuntimeError('too many')\n"
    body += "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, 'softmax')])"
    (tmp_path / "net.py").write_text(nets.simple(body))
    flags = ("--trials", "50", "--epochs", "1", *SMALL)
    done = search("run", pictures, "--model", "net.py:build", *flags, cwd=tmp_path)
    assert done.returncode == 1
    first, *rest = trials_of(tmp_path / "shapes-study")
    assert first.state == TrialState.COMPLETE
    assert [t.cause for t in rest] == ["model"] * 5
    assert rest[0].detail == "net.py, line 6: RuntimeError: too many"


def test_grey_pictures_become_colour_for_a_model_that_takes_colour(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(nets.HYPERMODEL)
    flags = ("--trials", "1", "--epochs", "1", *SMALL)
    done = search("run", pictures, "--model", "net.py:Net", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (trial,) = trials_of(tmp_path / "shapes-study")
    assert trial.state == TrialState.COMPLETE
