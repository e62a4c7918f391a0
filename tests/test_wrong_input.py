"""Wrong input of each kind gives one clear message and exit code 2, and leaves every file as it was."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import cli
from search.session.run import versions
from search.study import config_file
from storage import RunRecord, Store, TrialRecord, TrialState
from storage.records import Origin
from tests.commands import search
from tests.pictures import make_pictures, plain, write
from tests.refusals import Refuse, one_message, sealed, snapshot

# Images


@pytest.mark.parametrize("command", ["run", "init"])
def test_a_path_that_is_missing_or_no_folder(refuse: Refuse, command: str) -> None:
    assert refuse(command, "nowhere") == (
        "search: nowhere does not exist; a study needs a folder of images with one folder a class"
    )
    Path("notes.txt").write_text("remember the milk")
    assert "notes.txt is not a folder; a study needs a folder of images" in refuse(command, "notes.txt")
    assert "File name too long; check the path" in refuse(command, "x" * 300)
    assert refuse(command, "\x1b[31mred").startswith(r"search: \x1b[31mred does not exist; ")
    stray = os.fsdecode(b"caf\xe9")
    assert refuse(command, stray).startswith(r"search: caf\udce9 does not exist; ")
    Path(stray).mkdir()
    assert refuse(command, stray).endswith(
        r"caf\udce9: its path is not valid UTF-8, which study.toml cannot hold; rename the folder"
    )


@pytest.mark.parametrize("command", ["run", "init"])
def test_a_folder_without_images_to_learn_from(refuse: Refuse, place: Path, command: str) -> None:
    (place / "empty").mkdir()
    assert re.search(r"empty: .*class folders", refuse(command, "empty"))
    (place / "words" / "a").mkdir(parents=True)
    (place / "words" / "a" / "notes.txt").write_text("remember the milk")
    assert re.search(r"words: no images in its class folders .*Put PNG or JPEG files there", refuse(command, "words"))
    make_pictures(place / "single", {"cat": 4})
    message = refuse(command, "single")
    assert "single: one class only, 'cat' 4 training images" in message
    assert "A classifier needs two or more: give each class its own folder." in message
    make_pictures(place / "rare", {"cat": 4, "dog": 1})
    message = refuse(command, "rare")
    assert "every class needs at least 2 training images, but 'dog' has 1" in message
    assert "Add images to it" in message


def test_more_folds_than_the_rarest_class_has_images(refuse: Refuse, place: Path) -> None:
    make_pictures(place / "uneven", {"cat": 9, "dog": 4})
    message = refuse("run", "uneven", "--folds", "5")
    assert "folds: must be at most the number of training images of the rarest class (class 'dog' has 4)" in message
    assert "but got 5. Ask for 4 or fewer" in message


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--preset qestion",
            "preset: must be one of auto, frozen, fine-tune, cnn, question, got 'qestion'; did you mean 'question'?",
        ),
        ("--preset ?", "preset: must be one of auto, frozen, fine-tune, cnn, question, got '?'"),
        (
            "--sampler tp",
            "sampler: must be one of tpe, random, qmc, gp, cmaes, grid, nsga2, got 'tp'; did you mean 'tpe'?",
        ),
        ("--sampler nsga2", "sampler: 'nsga2' weighs two objectives; set second_objective (parameters or latency) too"),
        ("--warm-start pictures", "--warm-start: pictures is not a study: it has no study.toml"),
        ("--warm-start new", "--warm-start: new has not begun, so it has no trial to begin from"),
        ("--warm-start study", "--warm-start: study has no complete trial to begin from; name another study"),
        ("--engine nevergrad", "engine: must be one of "),
        (
            "--engine keras-tuner --sampler gp",
            "sampler: 'gp' is a sampler of optuna; keras-tuner has bayesian, random, grid, hyperband",
        ),
        ("--trials 0", "trials: must be at least 1, got 0"),
        ("--workers -1", "--workers: must be at least 0, got -1; 0 trains in this process"),
        ("--workers 2 --workers-per-gpu 2", "--workers and --workers-per-gpu both say how many workers there are"),
        ("--precision half", "training.precision: must be one of float32, mixed_float16, mixed_bfloat16, got 'half'"),
        ("--hours 0", "hours: must be above 0, got 0.0"),
        ("--hours -1", "hours: must be above 0, got -1.0"),
        ("--hours nan", "hours: must be a finite number, got nan"),
        ("--hours inf", "hours: must be a finite number, got inf"),
        ("--hours 1e9", "hours: must be at most 100000, got 1000000000.0"),
        ("--time 8", "'--time': must be a time such as 90s, 30m, 8h or 1h30m, got '8'"),
        ("--time -1h", "'--time': must be a time such as 90s, 30m, 8h or 1h30m, got '-1h'"),
        ("--time 0s", "'--time': must be a time such as 90s, 30m, 8h or 1h30m, got '0s'"),
        ("--time 1h --hours 1", "--hours and --time are the same budget; give one of them"),
        ("--folds 1", "folds: must be at least 2, got 1"),
        ("--epochs 0", "training.max_epochs: must be at least 1, got 0"),
        ("--seed -1", "seed: must be at least 0, got -1"),
        ("--dir new/study.toml", "new/study.toml cannot be made: File exists; name another study folder with --dir"),
        ("--dir new/study.toml/x", "cannot be made: Not a directory; name another study folder with --dir"),
        ("--dir some/where/deep", "--dir some/where/deep: there is no folder some/where; make it first, or name"),
        ("--dir pictures", "--dir pictures is within the images, pictures; name a folder outside of them"),
        ("--dir pictures/a/study", "--dir pictures/a/study is within the images, pictures; name a folder outside"),
    ],
)
def test_an_option_with_a_wrong_value(refuse: Refuse, options: str, message: str) -> None:
    assert message in refuse("run", "pictures", *options.split())


def test_all_wrong_options_at_once(refuse: Refuse) -> None:
    message = refuse("run", "pictures", "--folds", "1", "--hours", "0", "--sampler", "x")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == ["sampler", "folds", "hours"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run pictures --trials many", "Invalid value for '--trials': "),
        ("run pictures --hours", "Option '--hours' requires an argument."),
        ("run pictures --trails 3", "No such option: --trails"),
        ("run pictures pictures", "pictures is named twice; name each folder of images once"),
        ("run study pictures", "study is a study, which has its images already: name it without pictures"),
        ("run pictures --labels gone.csv", "gone.csv cannot be read: No such file or directory; name a CSV file with"),
        ("run pictures --labels pictures/a/0000.png", "0000.png is not UTF-8; save it as CSV in UTF-8"),
        ("run pictures --label-pattern [", "label_pattern: '[' is no regular expression"),
        ("run pictures --label-pattern ([0-9]) --labels t.csv", "labels and label_pattern both say which class a"),
        ("run pictures --classes a,c", "classes: there is no class 'c'; the classes are 'a', 'b'"),
        ("run pictures --merge a+b", "merge: must be such as pet=cat+dog, but got 'a+b'"),
        ("run pictures more", "more does not exist; a study needs a folder of images"),
        ("rnu pictures", "No such command 'rnu'."),
        ("init", "Missing argument 'IMAGES...'."),
    ],
)
def test_a_command_line_that_is_none(refuse: Refuse, arguments: str, message: str) -> None:
    assert message in refuse(*arguments.split())


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_sampler_that_needs_what_is_not_installed(refuse: Refuse) -> None:
    message = refuse("run", "pictures", "--sampler", "gp")
    assert "sampler: 'gp' needs the package torch, which is not installed; pip install torch, or use" in message


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("qestion", "preset: there is no 'qestion'; did you mean 'question'?"),
        ("zzz", "known: auto, frozen, fine-tune, cnn, question"),
        ("pictures", "pictures is not a study: it has no study.toml"),
    ],
)
def test_a_space_of_nothing(refuse: Refuse, which: str, message: str) -> None:
    assert message in refuse("space", which)


# study.toml


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("trials = \n", ["study.toml is not TOML: Invalid value (at line 1, column 10); correct that line"]),
        ("x = " + "[" * 5000, ["study.toml is not TOML"]),
        ("x = " + "1" * 5000, ["study.toml is not TOML"]),
        ("trails = 3", ["images: must be given", "trails: no such key; did you mean 'trials'?"]),
        ("images = 3", ["images: must be text in quotes, got 3"]),
        ("images = '../gone'", ["gone: no such folder. Give the folder that holds the class folders"]),
        ("images = '../pictures'\ntrials = '3'", ["trials: must be a whole number, got '3'"]),
        ("images = '../pictures'\nfolds = 2.5\nseed = true", ["folds: must be a whole number, got 2.5", "seed: "]),
        ("images = '../pictures'\nimage_size = [8]", ["image_size: must be a whole number, or two", "got [8]"]),
        ("images = '../pictures'\nimage_size = 4", ["image_size: must be at least 8, got 4"]),
        ("images = '../pictures'\nmetric = 'f1'", ["metric: must be one of balanced_accuracy, accuracy, auroc, "]),
        ("images = '../pictures'\ntraining = 5", ["training: must be a table, got 5"]),
        (
            "images = '../pictures'\n[training]\nepochs = 5",
            ["training.epochs: no such key; did you mean 'max_epochs'?"],
        ),
        ("images = '../pictures'\nspace = 'cnn'", ["space: must be a table, got 'cnn'"]),
        ("images = '../pictures'\n[[space]]\nx = 1", ["space: must be a table, got [{'x': 1}]"]),
    ],
)
def test_a_study_toml_that_breaks_a_rule(refuse: Refuse, place: Path, text: str, messages: list[str]) -> None:
    (place / "new" / "study.toml").write_text(text)
    for options in ([], ["--epochs", "3"]):
        said = refuse("run", "new", *options)
        assert "study.toml" in said or "gone" in said
        assert all(message in said for message in messages), said


def test_a_study_toml_that_is_not_text(refuse: Refuse, place: Path) -> None:
    (place / "new" / "study.toml").write_bytes(b"images = '\xff\xfe'")
    assert "study.toml is not TOML, which is UTF-8: byte 0xff in line 1 is not; save it as" in refuse("run", "new")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dropuot = 0.2", "dropuot: no such parameter; did you mean 'dropout'?"),
        ("dropout = { low = 0.4, high = 0.1 }", "dropout: low must not be above high, got low 0.4, high 0.1"),
        ("dropout = 2", "dropout: must stay within 0 to 0.95, got 2 to 2"),
        ("dropout = 'much'", "dropout: must be a number, a list of them or a range, got 'much'"),
        ("dropout = { lo = 0.1 }", "dropout: unknown key 'lo'; did you mean 'low'?"),
        ("dropout = { step = nan }", "dropout.step: must be a number, got nan"),
        ("filters = []", "filters: needs at least one value, got none"),
        ("filters = 2.5", "filters: must be a whole number, got 2.5"),
        ("optimizer = 'adm'", "optimizer: must be one of adam, adamw, sgd, got 'adm'; did you mean 'adam'?"),
        ("learning_rate = { low = 0.0 }", "learning_rate: must stay within 1e-07 to 10, got 0 to 0.01"),
    ],
)
def test_a_space_that_breaks_a_rule(refuse: Refuse, place: Path, change: str, message: str) -> None:
    with (place / "new" / "study.toml").open("a") as file:
        file.write(f"\n{change}\nkernal = 3\n")
    lines = refuse("run", "new").splitlines()
    assert lines[0] == "search: [space] of study.toml, preset cnn:"
    assert [line.strip() for line in lines[1:]] == [message, "kernal: no such parameter; did you mean 'kernel'?"]


# A study that is there


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("folds = 2", "folds = 3", "folds: the study has 2, asked is 3"),
        ("seed = 7", "seed = 8", "seed: the study has 7, asked is 8"),
        ('# sampler = "tpe"', 'sampler = "random"', "sampler: the study has tpe, asked is random"),
        ('"balanced_accuracy"', '"auroc"', "metric: the study has balanced_accuracy, asked is auroc"),
        ("[space]", "[space]\nfilters = 8", "space.filters: the study has range 6 to 64, step 2, asked is 8"),
        ("[training]", "[training]\nmax_epochs = 3", "training.max_epochs: the study has 40, asked is 3"),
        ("seed = 7", "seed = 7\nimage_size = 9", "image_size: the study has [8, 8], asked is [9, 9]"),
    ],
)
@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_study_with_another_setting(
    refuse: Refuse, place: Path, command: str, before: str, after: str, difference: str
) -> None:
    path = place / "study" / "study.toml"
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    message = refuse(command, "study", "--trials", "2")
    assert message.startswith("search: this study began with other settings, and its results would not compare:\n")
    assert f"  {difference}\n" in message
    assert message.endswith("put them back to go on, or begin another study with --dir")


def test_images_that_were_searched_with_other_settings(refuse: Refuse) -> None:
    message = refuse("run", "pictures", "--dir", "study", "--trials", "2", "--folds", "3")
    assert "  folds: the study has 2, asked is 3\n" in message
    command = "search run pictures --trials 2 --folds 3 --dir study-2"
    assert message.endswith(f"put them back to go on, or begin another study with --dir: {command}")
    message = refuse("run", "pictures", "--dir", "study", "--folds", "3", "--dry-run")
    assert message.endswith("search run pictures --folds 3 --dry-run --dir study-2")


def test_a_study_of_other_images(refuse: Refuse, place: Path) -> None:
    shutil.copy(place / "pictures" / "a" / "0001.png", place / "pictures" / "b" / "new.png")
    (place / "pictures" / "a" / "0000.png").unlink()
    write(place / "pictures" / "b" / "0002.png", plain(9))
    message = refuse("run", "study", "--trials", "2", "--folds", "3")
    assert message.splitlines()[1:-1] == [
        "  folds: the study has 2, asked is 3",
        "  images: 1 new: b/new.png",
        "  images: 1 gone: a/0000.png",
        "  images: 1 changed: b/0002.png",
    ]


def test_nothing_to_resume(refuse: Refuse) -> None:
    assert refuse("resume", "study") == (
        "search: nothing to resume: 1 of 1 trials are done; with a larger budget: search resume study --trials 2"
    )
    assert "new has not begun, so there is nothing to resume; `search run new` starts it" in refuse("resume", "new")


def test_nothing_to_report(refuse: Refuse) -> None:
    assert refuse("report", "new") == (
        "search: new has not begun, so there is nothing to report; `search run new` starts it"
    )


def test_no_study_or_several(refuse: Refuse, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("report", "resume", "run"):
        assert refuse(command) == "search: there are several studies here; name one: new, study"
    assert refuse("space") == (
        "search: there are several studies here; name one: new, study; "
        "or name a preset: auto, frozen, fine-tune, cnn, question"
    )
    for command in ("report", "resume"):
        assert "pictures is not a study: it has no study.toml; `search run IMAGES` makes one" in refuse(
            command, "pictures"
        )
        assert "nowhere does not exist; `search run IMAGES` makes a study" in refuse(command, "nowhere")
    monkeypatch.chdir(place / "pictures")
    assert refuse("report").startswith("search: there is no study here; name one, or make one with")


def test_a_study_without_its_study_toml(refuse: Refuse, place: Path) -> None:
    (place / "study" / "study.toml").unlink()
    for command in ("run", "resume"):
        assert refuse(command, "study") == (
            "search: study has its results, study.db, but no study.toml; put a copy back, or have it written anew "
            "with: search run IMAGES --dir study"
        )
    assert "folds: the study has 2, asked is 5" in refuse("run", "pictures", "--dir", "study")


def test_a_smaller_total_than_what_is_done_changes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(place / "study" / "study.db") as store:
        run = store.start_run(RunRecord("2025-01-01T00:00:00+00:00", "search run", versions(), "box", 1))
        point = store.trial(0).params
        store.add_trial(
            TrialRecord(1, point, Origin.SAMPLER, started="2025-01-01T00:00:00+00:00"), run=run, seconds=1.0
        )
        store.close_trial(1, TrialState.FAILED, "error", "made for a test")
    config_file.update(place / "study", {"trials": 2})
    before = (place / "study" / "study.toml").read_text()
    monkeypatch.setattr(sys, "argv", ["search", "run", "study", "--trials", "1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said, complaint = capsys.readouterr()
    assert ended.value.code == 1  # none of them is complete
    assert complaint.endswith(
        "study: no trial is complete, so there is no model, and 2 of 2 trials are done; 2 of 2 trials failed, such as "
        "trial 1 (error: made for a test); go on with: search resume study --trials 4\n"
    )
    assert "nothing left to do: 2 trials are done, 1 were asked for in total; study.toml stays as it is\n" in said
    assert (place / "study" / "study.toml").read_text() == before


def test_a_study_of_the_current_folder_of_images_is_put_beside_it(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "pictures")
    monkeypatch.setattr(sys, "argv", ["search", "init", "."])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert "wrote ../pictures-study/study.toml; " in capsys.readouterr().out
    assert (place / "pictures-study" / "study.toml").exists()
    assert {path.name for path in (place / "pictures").iterdir()} == {"a", "b"}


def test_a_study_is_not_begun_twice(refuse: Refuse) -> None:
    message = refuse("init", "pictures", "--dir", "study")
    assert message == "search: study is a study already; `search run study` goes on with it"


def test_a_study_that_is_in_use(refuse: Refuse, place: Path) -> None:
    lock = place / "study" / "study.lock"
    lock.write_text(json.dumps({"pid": 4711, "host": "box", "started": "2025-01-01T00:00:00+00:00"}))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        message = refuse("run", "study", "--trials", "2")
    assert "study is in use by process 4711 on box since 2025-01-01T00:00:00+00:00; wait for it" in message


# Folders that cannot be written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run study --trials 2", "study cannot be written: Permission denied; a study needs a folder it may write"),
        ("resume study --trials 2", "study cannot be written: Permission denied; a study needs a folder it may write"),
        ("run new", "new cannot be written: Permission denied; a study needs a folder it may write"),
        ("run pictures", "pictures-study cannot be made: Permission denied; name another study folder with --dir"),
        ("init pictures", "pictures-study cannot be made: Permission denied; name another study folder with --dir"),
        ("init pictures --dir drawer", "drawer cannot be written: Permission denied; name another study folder with"),
        ("run pictures --dir drawer", "drawer cannot be written: Permission denied; a study needs a folder it may"),
    ],
)
def test_a_folder_that_cannot_be_written(refuse: Refuse, place: Path, arguments: str, message: str) -> None:
    with sealed(place) as root:
        assert message in refuse(*arguments.split(), root=root)


def test_a_report_where_none_can_be_written(
    refuse: Refuse, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, written in (["--json"], False), ([], True):
        monkeypatch.setattr(sys, "argv", ["search", "report", "study", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code, (place / "study" / "report.html").exists()) == (0, written)
    capsys.readouterr()
    with sealed(place) as root:
        message = refuse("report", "study", root=root)
        assert message == "search: study/report.html cannot be written: Permission denied; --json needs no file"


# The real program


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run nowhere", "search: nowhere does not exist; "),
        ("run new", "study.toml is not TOML"),
        ("report", "search: there are several studies here; name one: new, study"),
    ],
)
def test_as_a_process(place: Path, arguments: str, message: str) -> None:
    (place / "new" / "study.toml").write_text("trials = ")
    before = snapshot(place)
    ran = search(*arguments.split(), cwd=place)
    assert (ran.returncode, snapshot(place)) == (2, before)
    assert message in one_message(ran.stderr)
