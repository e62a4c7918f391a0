"""Situations in which a message proposes a command: pasted into a shell as it is, the command does what was promised.

The pictures, the study and the file of the model have names that a shell would take apart.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import search, start, trials_of, wait_until
from tests.pictures import make_pictures
from tests.warm import ROOT

pytestmark = pytest.mark.slow  # whole searches

NET = """
import keras

def build(hp):
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2, sampling="log")), "categorical_crossentropy")
    return model
"""
PICTURES, MODEL, STUDY = "my pictures", "nets here/a net.py", "-it's a study"
SHORT = ("--folds", "2", "--epochs", "2", "--workers", "1")


@dataclass(frozen=True)
class Home:
    """A folder in which a search of a user's model was stopped by Ctrl-C."""

    path: Path
    printed: str  # by the search that was stopped
    code: int
    meanwhile: dict[str, str]  # what commands said while it ran

    def paste(self, line: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Have a shell run a printed line, followed by more options."""
        program = f'search() {{ "{sys.executable}" -m search "$@"; }}'
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        script = f"{program}; {' '.join((line, *more))}"
        return subprocess.run(
            ["bash", "-c", script], cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )

    @property
    def trials(self) -> int:
        """How many the study has."""
        return len(trials_of(self.path / STUDY))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("going on")
    make_pictures(path / PICTURES, {"left": 8, "top": 8})
    (path / MODEL).parent.mkdir()
    (path / MODEL).write_text(NET)
    asked = (PICTURES, "--model", f"{MODEL}:build", "--dir", f"./{STUDY}", "--trials", "500", *SHORT)
    process = start("run", *asked, cwd=path)
    wait_until(lambda: (path / STUDY / "study.db").exists() and len(trials_of(path / STUDY)) > 2)
    calls = {"predict": (f"./{STUDY}", PICTURES), "export": (f"./{STUDY}", "--to", "m.keras")}
    meanwhile = {verb: search(verb, *arguments, cwd=path).stderr for verb, arguments in calls.items()}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return Home(path, out + err, process.returncode, meanwhile)


def proposed(text: str, before: str, after: str = "$") -> str:
    """The command between two parts of a message."""
    found = re.search(rf"{before}(search .+?){after}", text, re.MULTILINE)
    assert found, text
    return found[1]


def test_while_a_search_runs_nothing_is_proposed_that_is_refused(home: Home) -> None:
    for message in home.meanwhile.values():
        assert "being searched by process " in message and "wait for it" in message
        assert "search resume" not in message


def test_after_ctrl_c_the_search_goes_on(home: Home) -> None:
    assert home.code == 75
    command, before = proposed(home.printed, "Go on with: "), home.trials
    assert "--model" in command
    done = home.paste(command, "--trials", str(before + 1), "-q")
    assert done.returncode == 0, done.stderr
    assert home.trials == before + 1


def test_without_the_model_the_command_is_given_again_with_it(home: Home) -> None:
    before = home.trials
    refused = search("resume", f"./{STUDY}", "--trials", str(before + 1), cwd=home.path)
    assert refused.returncode == 2
    done = home.paste(proposed(refused.stderr, "only when you name it: "), "-q")
    assert done.returncode == 0, done.stderr
    assert home.trials == before + 1


def test_a_finished_study_is_used_and_searched_on(home: Home) -> None:
    options = ("--model", f"{MODEL}:build", "--trials", str(home.trials), "-q")
    finished = search("run", f"./{STUDY}", *options, cwd=home.path)
    assert finished.returncode == 0 and "nothing left to do: " in finished.stdout, finished.stderr
    used = home.paste(proposed(finished.stdout, "to use its model: ").replace("PICTURES", "'my pictures'"))
    assert (used.returncode, used.stderr) == (0, "")
    larger = proposed(finished.stdout, "with a larger budget: ", ";")
    before = home.trials
    assert home.paste(f"search report {larger.split('resume ')[1].split(' --')[0]}").returncode == 0
    assert f"--trials {2 * before}" in larger


def test_a_study_that_was_only_made_is_started(home: Home) -> None:
    made = search("init", PICTURES, "--dir", "./-a new; one", "--preset", "cnn", cwd=home.path)
    assert made.returncode == 0, made.stderr
    reported = search("report", "./-a new; one", cwd=home.path)
    assert reported.returncode == 2
    for text in (made.stdout, reported.stderr):
        command = proposed(text, "`", "`")
        assert command == "search run './-a new; one'"
    done = home.paste(command, "--trials", "1", *SHORT, "-q")
    assert done.returncode == 0, done.stderr
