"""`search log` and `--log`: a study in a tracker, however its search ended."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from search.study.lease import leased
from storage import TrialState
from tests.commands import search, search_here, start, trials_of, wait_until
from tests.kept.studies import HERE


@pytest.fixture
def study(tmp_path: Path) -> Path:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    shutil.copytree(HERE / "question", tmp_path / "study")
    return tmp_path / "study"


def runs_in(study: Path) -> list[str]:
    return sorted(path.name for path in (study / "tensorboard").glob("*") if not path.name.startswith("."))


def test_a_stored_study_is_written_once(study: Path) -> None:
    done = search_here("log", "study", "--to", "tensorboard", cwd=study.parent)
    closed = [t for t in trials_of(study) if t.state != TrialState.RUNNING]
    names = [f"trial-{trial.number:04d}" for trial in closed]
    assert done.stdout == (f"tensorboard: {len(names) + 1} runs written, 0 there already: study/tensorboard\n"), (
        done.stderr
    )
    assert runs_in(study) == ["study", *names]
    told = json.loads(search_here("log", "study", "--to", "tensorboard", "--json", cwd=study.parent).stdout)
    assert told == {
        "study": "study",
        "tracker": "tensorboard",
        "where": "study/tensorboard",
        "runs": len(names) + 1,
        "new": 0,
    }


def test_what_cannot_be_written_is_one_message_and_the_study_is_unharmed(study: Path) -> None:
    (study / "tensorboard").write_text("in the way")
    done = search_here("log", "study", "--to", "tensorboard", cwd=study.parent)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("search: tensorboard: ") and done.stderr.count("\n") == 1
    assert "the study itself is unharmed, and `search log study --to tensorboard` tries again" in done.stderr


def test_following_ends_with_the_search_and_has_the_study_then(study: Path) -> None:
    with leased(study / "study.lock"):
        following = start("log", "study", "--to", "tensorboard", "--watch", cwd=study.parent)
        wait_until(lambda: "trial-0000" in runs_in(study))
        assert "study" not in runs_in(study)
    _, err = following.communicate(timeout=60)
    assert (following.returncode, err) == (0, "")
    assert "study" in runs_in(study)


@pytest.mark.parametrize("tracker", ["neptune", ""])
def test_a_name_that_is_no_tracker_is_refused_before_anything_is_read(tracker: str, tmp_path: Path) -> None:
    done = search_here("run", ".", "--log", tracker, "--dir", "../s", cwd=tmp_path)
    assert done.returncode == 2 and not (tmp_path.parent / "s").exists()


@pytest.mark.slow
def test_a_search_that_is_killed_and_goes_on_has_each_trial_once(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    flags = ("--preset", "cnn", "--folds", "3", "--epochs", "2", "--workers", "1", "--log", "tensorboard", "--dir", "s")
    first = start("run", pictures, *flags, "--trials", "40", cwd=tmp_path)
    wait_until(lambda: "trial-0001" in runs_in(tmp_path / "s"), 250)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    wait_until(lambda: "study" in runs_in(tmp_path / "s"))  # what logs along outlives it for a last look
    stored = len(trials_of(tmp_path / "s"))
    done = search("resume", "s", "--trials", str(stored + 1), "--workers", "1", "--log", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [f"trial-{trial.number:04d}" for trial in trials_of(tmp_path / "s")]
    assert runs_in(tmp_path / "s") == ["study", *names]
    assert all(len([*(tmp_path / "s" / "tensorboard" / name).iterdir()]) == 1 for name in names)


@pytest.mark.slow
def test_a_tracker_that_fails_does_not_harm_the_search(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "tensorboard").write_text("in the way")
    flags = ("--preset", "cnn", "--folds", "3", "--epochs", "1", "--workers", "1", "--trials", "1", "--dir", "s")
    done = search("run", pictures, *flags, "--log", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0 and "Best: trial 0" in done.stdout
    assert done.stderr.count("the study itself is unharmed") == 1
