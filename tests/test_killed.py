"""Never loses a night: killed, interrupted and asked to stop, with real processes, signals and training.

`KILLS=50 pytest tests/test_killed.py` kills more often than the four times of a usual run.
"""

from __future__ import annotations

import os
import pty
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from search.session.signals import RESUMABLE
from search.study.prepared import Prepared
from spaces import Value
from storage import TrialState
from storage.records import Origin
from tests import halted
from tests.commands import (
    FIXED,
    fold_rows,
    integrity,
    reference_rows,
    search,
    small_study,
    start,
    table,
    trials_of,
    wait_until,
    workers_of,
)
from tests.search.session.test_bundles import SMALLEST
from tests.warm import ROOT

KILLS = int(os.environ.get("KILLS", "4"))
SMALL = ("--epochs", "2", "--quiet")


def search_whole_and_broken(home: Path, *asked: str, at: tuple[int, int, int]) -> None:
    """Search two studies with the same settings: one in one go, one killed after a fold, and then resumed."""
    whole = search("run", "whole", *asked, cwd=home)
    assert whole.returncode == 0, whole.stderr

    process = start("run", "broken", *asked, cwd=home)
    wait_until(lambda: at in fold_rows(home / "broken"))
    process.kill()
    process.communicate()
    assert len(fold_rows(home / "broken")) < len(fold_rows(home / "whole"))
    wait_until(lambda: workers_of(home / "broken") == [])

    resumed = search("resume", "broken", "--workers", "1", "--quiet", cwd=home)
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.parametrize("space", [FIXED, pytest.param({}, marks=pytest.mark.slow)], ids=["one network", "many"])
def test_killed_in_a_fold_and_resumed_equals_one_go(pictures: Path, tmp_path: Path, space: dict[str, Value]) -> None:
    """7 trials in one go = 4 and a bit, kill -9, the rest; one worker. All reference rows there are."""
    for name in ("whole", "broken"):
        small_study(tmp_path / name, pictures, trials=7, space=space)
    search_whole_and_broken(tmp_path, *SMALL, "--workers", "1", at=(4, 0, 0))
    assert table(trials_of(tmp_path / "broken")) == table(trials_of(tmp_path / "whole"))
    assert reference_rows(tmp_path / "broken") == reference_rows(tmp_path / "whole")


@pytest.mark.slow
def test_killed_while_folds_are_trained_side_by_side_and_resumed_equals_one_go(
    prepared: Prepared, pictures: Path, tmp_path: Path
) -> None:
    """But for rounding: what is left of a trial may be another program. One architecture, which is compiled once."""
    fixed = {name: value for name, value in prepared.space.defaults(**SMALLEST).items() if name != "learning_rate"}
    for name in ("whole", "broken"):
        small_study(tmp_path / name, pictures, sampler="random", folds=3, trials=6, space=fixed)
    search_whole_and_broken(tmp_path, *SMALL, "--workers", "1", "--xla", at=(1, 0, 0))
    for found, expected in zip(trials_of(tmp_path / "broken"), trials_of(tmp_path / "whole"), strict=True):
        assert (found.params, found.state, found.cause) == (expected.params, expected.state, expected.cause)
        assert [(fold.fold, fold.seed) for fold in found.folds] == [(fold.fold, fold.seed) for fold in expected.folds]
        for one, other in zip(found.folds, expected.folds, strict=True):
            assert {**one.scores} == pytest.approx({**other.scores}, rel=1e-5)


@pytest.mark.slow
def test_a_search_of_keras_tuner_killed_and_resumed_equals_one_go(pictures: Path, tmp_path: Path) -> None:
    """One parameter is left free, so that the Gaussian process takes over at trial 3; it is killed in that."""
    asked = {"engine": "keras-tuner", "sampler": "bayesian", "trials": 5, "space": {**FIXED, "dropout": 0.2}}
    for name in ("whole", "broken"):
        small_study(tmp_path / name, pictures, **asked)
    search_whole_and_broken(tmp_path, *SMALL, "--workers", "1", at=(3, 0, 0))
    assert table(trials_of(tmp_path / "broken")) == table(trials_of(tmp_path / "whole"))
    assert len({t.params["learning_rate"] for t in trials_of(tmp_path / "whole")}) == 5


@pytest.mark.slow
def test_searches_by_every_sampler_killed_in_a_trial_and_resumed_equal_one_go(pictures: Path, tmp_path: Path) -> None:
    """One process has all of them open when it is killed; they go on in another, in which none had begun."""
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    broken.mkdir()
    whole.mkdir()
    killed = subprocess.run(
        [sys.executable, "-m", "tests.halted", broken, pictures], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with halted.executor_of(whole, pictures) as executor:
        for sampler in halted.INSTALLED:
            studies = [halted.study_of(home, pictures, sampler) for home in (broken, whole)]
            left = trials_of(studies[0][0])[-1]
            assert (left.state, left.origin, len(left.folds)) == (TrialState.RUNNING, Origin.SAMPLER, 1), sampler
            for study in studies:
                halted.search(*study, executor)
            after, at_once = (table(trials_of(folder)) for folder, _ in studies)
            assert after == at_once, sampler
            assert {row[3] for row in after[: halted.TRIALS]} <= {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.slow
def test_killed_at_random_moments_no_fold_is_lost_or_trained_twice(pictures: Path, tmp_path: Path) -> None:
    """Two workers; between kills what was committed stays, byte for byte, and at the end nothing is left open."""
    chance, study = random.Random(1), small_study(tmp_path / "study", pictures, space={})  # noqa: S311 - moments, not secrets
    asked = ("run", study, *SMALL, "--workers", "2", "--trials", str(4 * KILLS))
    committed: dict[tuple[int, int, int], tuple[object, ...]] = {}
    for _ in range(KILLS):
        process = start(*asked, cwd=tmp_path)
        time.sleep(chance.uniform(0.2, 10))
        process.kill()
        process.communicate()
        after = fold_rows(study)
        assert committed.items() <= after.items()
        committed = after
    last = search(*asked, cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    final = fold_rows(study)
    assert committed.items() <= final.items()
    trials = trials_of(study)
    assert len(trials) == 4 * KILLS
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED}
    assert all(sum(f.repeat == 0 for f in t.folds) == 2 for t in trials if t.state == TrialState.COMPLETE)
    assert integrity(study) == "ok"
    wait_until(lambda: workers_of(study) == [])


OTHERS = (signal.SIGHUP, signal.SIGXCPU)  # all of them: tests/search/session/test_leaving.py


@pytest.mark.parametrize(
    "asked_by",
    [
        signal.SIGUSR1,
        *(pytest.param(other, marks=pytest.mark.slow) for other in (signal.SIGINT, signal.SIGTERM, *OTHERS)),
    ],
)
def test_asked_to_stop_it_saves_says_how_to_go_on_and_exits_75(
    pictures: Path, tmp_path: Path, asked_by: signal.Signals
) -> None:
    small_study(tmp_path / "study", pictures)
    process = start("run", "study", *SMALL, "--workers", "1", "--trials", "100", cwd=tmp_path)
    wait_until(lambda: (1, 0, 0) in fold_rows(tmp_path / "study"))
    process.send_signal(asked_by)
    out, err = process.communicate(timeout=60)
    assert process.returncode == RESUMABLE, err
    assert "Go on with: search resume study --workers 1" in out
    assert not workers_of(tmp_path / "study")
    number = len(trials_of(tmp_path / "study")) + 1  # the last may have ended in the time it was given

    resumed = search("resume", "study", "--trials", str(number), "--workers", "1", "--quiet", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert {t.state for t in trials_of(tmp_path / "study")} <= {TrialState.COMPLETE, TrialState.PRUNED}


def has_open(process: int, folder: Path) -> bool:
    """Whether a process reads a file below a folder now."""
    with suppress(OSError):
        return any(folder in entry.readlink().parents for entry in Path(f"/proc/{process}/fd").iterdir())
    return False


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_while_images_are_read_it_says_so_exits_75_and_leaves_nothing(
    tmp_path: Path, asked_by: signal.Signals
) -> None:
    for name in ("a", "b"):
        (tmp_path / "large" / name).mkdir(parents=True)
    Image.new("RGB", (5000, 5000), "red").save(tmp_path / "first.png")
    for number in range(60):
        (tmp_path / "large" / "ab"[number % 2] / f"{number}.png").hardlink_to(tmp_path / "first.png")
    process = start("run", "large", "--dir", "study", cwd=tmp_path)
    wait_until(lambda: has_open(process.pid, tmp_path / "large"))
    process.send_signal(asked_by)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (RESUMABLE, "")
    assert err == "search: stopped; nothing that was stored is lost, and the same command can be run again\n"
    assert not (tmp_path / "study").exists()


def test_a_second_ctrl_c_leaves_at_once_and_nothing_stored_is_lost(pictures: Path, tmp_path: Path) -> None:
    """The first one waits for a fold that hangs, so it has no state to store."""
    study = tmp_path / "study"
    (tmp_path / "net.py").write_text(HANGING)
    asked = ("--model", "net.py:build", "--dir", "study", "--folds", "2", "--quiet", "--workers", "1")
    process = start("run", pictures, *asked, cwd=tmp_path)
    wait_until(lambda: (study / "study.db").exists() and len(trials_of(study)) == 1)  # its first fold is next
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    process.wait(5)
    assert process.returncode == RESUMABLE
    _, err = process.communicate()
    goes_on = "search resume study --workers 1 --model net.py:build"
    assert err == f"search: left at once; what was committed stays. Go on with: {goes_on}\n"
    wait_until(lambda: workers_of(study) == [])
    assert integrity(study) == "ok"


LONG = ("--preset", "cnn", "--folds", "2", "--epochs", "300", "--trials", "1", "--workers", "1")
OFTEN = """
import sys
import cli
from search.session import weight_files
kept.STATE_SECONDS = 0.1
sys.argv[0] = "search"
cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT])
def test_cut_short_in_a_long_fold_it_goes_on_in_it_to_the_same_rows(
    pictures: Path, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """States are stored ten times a second. Nothing of the second fold run is different, and no file is left."""
    for name in ("whole", "broken"):
        assert search("init", pictures, "--preset", "cnn", "--dir", name, cwd=tmp_path).returncode == 0
        settings = tmp_path / name / "study.toml"
        settings.write_text(settings.read_text().replace("patience = 8", "patience = 0"))
    broken, environment = tmp_path / "broken", os.environ | {"PYTHONPATH": str(ROOT)}

    def going(name: str) -> subprocess.Popen[str]:
        line, pipe = [sys.executable, "-c", OFTEN, "run", name, *LONG], subprocess.PIPE
        return subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)

    _, err = (whole := going("whole")).communicate(timeout=280)
    assert whole.returncode == 0, err
    process = going("broken")
    wait_until(lambda: (0, 0, 0) in fold_rows(broken) and len(list((broken / "cache").glob("folds/0-0-1-*"))) == 2)
    process.send_signal(ended_by)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (RESUMABLE if ended_by == signal.SIGINT else -ended_by), err
    if ended_by == signal.SIGINT:
        assert "1 fold run in progress: the state is stored, and the next session goes on from it" in out
    wait_until(lambda: workers_of(broken) == [])

    _, err = (again := going("broken")).communicate(timeout=280)
    assert again.returncode == 0, err
    assert "trial 0, repeat 0, fold 1: goes on after epoch " in (broken / "logs" / "worker-0.log").read_text()
    assert table(trials_of(broken)) == table(trials_of(tmp_path / "whole"))
    rows = [{key: row[1:] for key, row in fold_rows(study).items()} for study in (broken, tmp_path / "whole")]
    assert rows[0] == rows[1]
    assert list((broken / "cache" / "folds").iterdir()) == []


def test_when_its_terminal_is_closed_it_ends_in_order_and_can_be_gone_on_with(pictures: Path, tmp_path: Path) -> None:
    """The terminal is the one that controls it, and shows the live table; the end is noted in the database."""
    study, ours = small_study(tmp_path / "study", pictures), -1
    line = ["run", "study", *SMALL[:-1], "--workers", "1", "--trials", "1000"]
    child, ours = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "search", *map(str, line)])  # noqa: S606 - no shell is wanted
    try:
        wait_until(
            lambda: bool(select.select([ours], [], [], 0)[0] and os.read(ours, 65536)) and bool(fold_rows(study))
        )
    finally:
        os.close(ours)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == RESUMABLE
    assert workers_of(study) == []
    with sqlite3.connect(study / "study.db") as connection:
        assert connection.execute("SELECT outcome FROM run").fetchall() == [("stopped",)]


HANGING = """
import os, subprocess, time
from pathlib import Path
import keras

class Waiting(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)

def callbacks(hp):
    return [Waiting()] if hp.Float("rate", 0.001, 0.1, default=0.01) == 0.01 else []

def build(hp):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.001, 0.1, default=0.01)), "categorical_crossentropy")
    return model
"""


@pytest.mark.slow
def test_a_fold_that_hangs_is_told_and_the_search_goes_on_without_what_it_started(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(HANGING)
    asked = ("--model", "net.py:build", "--trials", "3", "--folds", "2", "--epochs", "2", "--fold-limit", "5s")
    done = search("run", pictures, *asked, "--dir", "study", "--workers", "1", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hung, *others = trials_of(tmp_path / "study")
    assert (hung.state, hung.cause) == (TrialState.FAILED, "too long")
    assert "took longer than the fold limit of 5s in net.py, line 9, twice in this job" in str(hung.detail)
    assert {trial.state for trial in others} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert workers_of(tmp_path / "study") == []


def test_a_second_run_of_a_study_is_refused_with_who_has_it_or_takes_its_place(pictures: Path, tmp_path: Path) -> None:
    small_study(tmp_path / "study", pictures)
    first = start("run", "study", *SMALL, "--workers", "1", "--trials", "100", cwd=tmp_path)
    wait_until((tmp_path / "study" / "study.db").exists)
    second = search("run", "study", "--quiet", cwd=tmp_path)
    assert second.returncode == 2
    assert f"in use by process {first.pid} on " in second.stderr

    number = len(trials_of(tmp_path / "study")) + 1
    third = search("resume", "study", "--takeover", "--trials", str(number), "--workers", "1", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert f"asking process {first.pid} on " in third.stdout
    _, err = first.communicate(timeout=10)
    assert first.returncode == RESUMABLE, err
