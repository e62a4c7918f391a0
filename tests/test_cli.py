"""The command as a user meets it: a first search, going on, the report, the space."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spaces.recipe import AUGMENTATIONS
from tests.commands import search, search_here, start, trials_of
from tests.pictures import make_pictures
from tests.warm import ROOT

COMMANDS = ("init", "run", "resume", "report", "space")


@pytest.fixture(scope="module")
def home(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one small search was run with nothing but a few flags."""
    folder = tmp_path_factory.mktemp("home")
    flags = ("--preset", "cnn", "--trials", "3", "--folds", "3", "--epochs", "2", "--workers", "1", "--seed", "4")
    done = search("run", pictures, *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def test_a_run_says_what_it_read_prints_a_line_a_trial_and_ends_with_the_answer(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    assert "images: 27 in 2 classes, read as 8 x 8 grey" in printed
    assert [int(n) for n in re.findall(r"^trial (\d+) (?:complete|stopped early)", printed, re.MULTILINE)] == [0, 1, 2]
    assert "Best: trial " in printed
    assert "report: shapes-study/report.html" in printed
    assert "\x1b" not in printed


def test_a_run_of_images_makes_a_study_folder_named_after_them(home: Path) -> None:
    study = home / "shapes-study"
    assert {"study.toml", "study.db", "report.html", "logs"} <= {path.name for path in study.iterdir()}
    text = (study / "study.toml").read_text()
    assert "trials = 3" in text
    assert "seed = 4" in text
    assert "max_epochs = 2" in text


def test_the_report_finds_the_only_study_here_and_writes_the_page(home: Path) -> None:
    page = home / "shapes-study" / "report.html"
    page.unlink()
    done = search("report", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "Best: trial " in done.stdout
    assert "<h2" in page.read_text()


def test_the_json_report_is_one_object_with_all_that_is_promised(home: Path) -> None:
    done = search_here("report", "shapes-study", "--json", cwd=home)
    data = json.loads(done.stdout)
    expected = {"name", "preset", "engine", "metric", "folds", "seed", "images", "classes", "fingerprint"}
    assert expected <= data["study"].keys()
    assert (data["study"]["images"], data["study"]["classes"], data["study"]["folds"]) == (27, ["left", "top"], 3)
    assert data["study"]["seed"] == 4
    assert data["counts"]["complete"] + data["counts"]["pruned"] == 3  # the race may stop one
    assert data["counts"]["running"] == data["counts"]["failed"] == 0
    assert data["best"].keys() >= {"number", "params", "score"}
    each = {"number", "state", "cause", "params", "score", "fold_scores", "epochs", "parameters", "seconds"}
    assert all(each <= trial.keys() for trial in data["trials"])
    assert [trial["number"] for trial in data["trials"]] == [0, 1, 2]
    assert data["best"]["score"] == max(trial["score"] for trial in data["trials"])


def test_running_again_with_the_budget_used_up_trains_nothing_and_says_so(home: Path) -> None:
    before = trials_of(home / "shapes-study")
    done = search_here("run", "shapes-study", cwd=home)
    assert done.returncode == 0
    assert (
        "nothing left to do: 3 of 3 trials are done; with a larger budget: search resume shapes-study --trials 6; "
        "to use its model: search predict shapes-study PICTURES\n"
    ) in done.stdout
    assert [t.finished for t in trials_of(home / "shapes-study")] == [t.finished for t in before]


def test_resume_refuses_where_there_is_nothing_to_go_on_with(home: Path) -> None:
    done = search_here("resume", "shapes-study", cwd=home)
    assert done.returncode == 2
    assert "nothing to resume: 3 of 3 trials are done" in done.stderr


def test_init_writes_a_study_that_run_starts(pictures: Path, tmp_path: Path) -> None:
    made = search_here("init", pictures, "--dir", "s", "--preset", "question", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "`search run s` starts it" in made.stdout
    text = (tmp_path / "s" / "study.toml").read_text()
    (tmp_path / "s" / "study.toml").write_text(text + 'batch_size = 8\nepoch = "one pass"\n')
    flags = ("--trials", "1", "--folds", "2", "--epochs", "1", "--workers", "0", "--quiet")
    done = search("run", "s", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (trial,) = trials_of(tmp_path / "s")
    assert trial.params["batch_size"] == 8
    assert trial.params["dense_depth"] == 4


def test_of_a_thousand_images_a_sixth_is_locked_away_unless_that_is_refused(tmp_path: Path) -> None:
    make_pictures(tmp_path / "many", {"left": 600, "top": 402})
    said = search_here("init", "many", "--preset", "cnn", cwd=tmp_path).stdout
    assert "images: 835 in 2 classes (+ 167 for testing)" in said
    assert "167 of 1,002 images were drawn and are locked away from the start" in said
    refused = search_here("init", "many", "--preset", "cnn", "--no-lock-box", "--dir", "all", cwd=tmp_path)
    assert "images: 1002 in 2 classes, read" in refused.stdout
    assert "\nlock_box = false\n" in (tmp_path / "all" / "study.toml").read_text()


def test_quiet_prints_the_end_result_only(home: Path) -> None:
    done = search_here("run", "shapes-study", "--quiet", cwd=home)
    assert "images:" not in done.stdout
    assert "Best: trial " in done.stdout


def test_who_has_read_enough_closes_the_pipe_and_nothing_failed(home: Path) -> None:
    page = home / "shapes-study" / "report.html"
    for arguments in (["report", "shapes-study"], ["report", "shapes-study", "--json"], ["space", "cnn"]):
        page.unlink(missing_ok=True)
        ours, theirs = os.pipe()
        process = start(*arguments, cwd=home, stdout=theirs)
        os.close(ours)
        os.close(theirs)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert page.exists() == (len(arguments) == 2 and arguments[0] == "report")
    search_here("report", "shapes-study", cwd=home)


def test_the_version_is_told(tmp_path: Path) -> None:
    done = search("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "smallsearch") or "checkout" in done.stdout


@pytest.mark.parametrize("width", ["40", "80", "100"])
def test_a_space_breaks_no_word_in_a_narrow_terminal(tmp_path: Path, width: str) -> None:
    process = start("space", "cnn", cwd=tmp_path, columns=width)
    out, _ = process.communicate(timeout=60)
    assert max(len(line.rstrip()) for line in out.splitlines()) <= int(width)
    for word in ("global_average,", "glorot_uniform,", "random_normal,", "weight_penalty", "normalisation,"):
        assert word in out.split()


@pytest.mark.parametrize("preset", ["cnn", "question"])
def test_the_space_is_shown_as_a_table_and_as_json(preset: str, tmp_path: Path) -> None:
    shown = search_here("space", preset, cwd=tmp_path).stdout
    data: dict[str, Any] = json.loads(search_here("space", preset, "--json", cwd=tmp_path).stdout)
    names = [parameter["name"] for parameter in data["parameters"]]
    assert {"conv_depth", "dense_depth", "initializer", "dropout", "batch_size"} <= set(names)
    assert all(name in shown for name in names)


def test_every_command_has_help_that_says_what_it_does(tmp_path: Path) -> None:
    overview = search("--help", cwd=tmp_path).stdout
    assert "search run PICTURES" in overview
    for command in COMMANDS:
        assert command in overview
        text = search_here(command, "--help", cwd=tmp_path).stdout
        assert len(text.splitlines()) > 5
    run = search_here("run", "--help", cwd=tmp_path).stdout
    flags = (
        "trials",
        "hours",
        "time",
        "folds",
        "epochs",
        "seed",
        "workers",
        "engine",
        "sampler",
        "preset",
        "dir",
        "quiet",
    )
    assert all(f"--{flag}" in run for flag in flags)


def test_on_a_terminal_a_live_table_is_drawn_and_the_cursor_comes_back(pictures: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    flags = ("--preset", "cnn", "--trials", "1", "--folds", "2", "--epochs", "1", "--workers", "0", "--dir", "s")
    process = start("run", pictures, *flags, cwd=tmp_path, stdout=theirs)
    os.close(theirs)
    written = b""
    while process.poll() is None or select.select([ours], [], [], 0.2)[0]:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert b"1 of 1 trials" in written
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")


def test_the_preview_draws_every_augmentation_of_these_pictures(pictures: Path, tmp_path: Path) -> None:
    done = search("space", "--preview", pictures, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "wrote augmentation.png")
    assert done.stderr == "", "TensorFlow's greetings"
    with Image.open(tmp_path / "augmentation.png") as sheet:
        rows = np.asarray(sheet.convert("L"))[:, 120:].min(axis=1)
        assert sheet.width > 8 * 100
    drawn = np.flatnonzero(np.diff((rows < 250).astype(int)) == 1)
    assert len(drawn) == len(AUGMENTATIONS) + 1


def test_a_command_begins_with_its_process_and_one_called_by_another_program_when_it_is_called() -> None:
    code = (
        "import time; first = time.monotonic(); from search.cli import common\n"
        "assert common.began() > first\n"
        "common.note_process()\n"
        "assert common.began() <= first"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
