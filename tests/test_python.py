"""The Python interface: what docs/python.md shows runs as it stands, and errors and Ctrl-C are Python's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import search
from search.manifest import about
from search.stats.calibration import Correction
from search.study.lease import leased
from tests.commands import fold_rows, integrity, wait_until, workers_of
from tests.pictures import make_pictures
from tests.warm import ROOT

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
INTERRUPTED = """
import search
try:
    search.run("pictures", preset="cnn", trials=200, folds=2, epochs=2, workers=1)
except KeyboardInterrupt as stopped:
    print(stopped)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of pictures, as the current one, and one core: so there is one worker, and graphs are traced once."""
    folder, before, cores = tmp_path_factory.mktemp("python"), Path.cwd(), os.sched_getaffinity(0)
    make_pictures(folder / "pictures", {"left": 15, "top": 12})
    os.chdir(folder)
    os.sched_setaffinity(0, {sorted(cores)[os.getpid() % len(cores)]})
    yield folder
    os.sched_setaffinity(0, cores)
    os.chdir(before)


@pytest.fixture(scope="module")
def ran(home: Path) -> dict[str, Any]:
    """The names that all examples together leave, run one after another."""
    assert home == Path.cwd()
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, names)  # noqa: S102 - our own documentation
    return names


def test_the_examples_leave_what_they_say(ran: dict[str, Any], home: Path) -> None:
    study: Any = ran["study"]
    assert isinstance(study, search.Study)
    assert study.best and study.estimate
    assert repr(study) == "search.open_study('pictures-study')"
    assert (len(study.trials), study.best) == (3, study.summary.rows[0])
    assert study.estimate.low <= study.estimate.value <= study.estimate.high
    assert len(ran["curves"][0]) == study.trials[0].folds[0].epochs
    assert ran["page"] == Path("report.html") and "<h2" in (home / "report.html").read_text()
    assert len(ran["answers"].labels) == 16 and not ran["answers"].unread


def test_the_leaderboard_is_the_summary_s_best_first(ran: dict[str, Any]) -> None:
    rows = ran["table"]
    try:
        import pandas as pd
    except ImportError:
        assert [row.number for row in rows] == [row.number for row in ran["study"].summary.rows]
    else:
        assert isinstance(rows, pd.DataFrame)
        assert list(rows["number"]) == [row.number for row in ran["study"].summary.rows]
        assert "params_conv_depth" in rows


def test_the_model_is_the_one_that_predict_asks(ran: dict[str, Any]) -> None:
    from PIL import Image

    answers = ran["answers"]
    (answer,) = (one for one in answers.answers if one.path == "pictures/top/0000.png")
    pixels = np.asarray(Image.open("pictures/top/0000.png").convert("L"), np.float32)[None, :, :, None]
    own = ran["model"].predict(pixels, verbose=0)
    known = about(Path("pictures-study/models/choice.keras"))
    assert Correction(known.temperature, known.doubt).of(own)[0] == pytest.approx(answer.probabilities, abs=1e-6)


def test_calls_are_in_the_record_as_they_were_made(ran: dict[str, Any]) -> None:
    assert ran["study"].summary.commands == (
        "search.run('pictures', trials=2, folds=2, epochs=4, preset='cnn')",
        "search.resume('pictures-study', trials=3)",
    )


def test_the_command_goes_on_with_what_python_began(ran: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    again = search.run("pictures", workers=0)
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing left to do: 3 of 3 trials are done; ")
    assert again.path == ran["study"].path
    assert "<table>" in again._repr_html_() and "<script" not in again._repr_html_()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search.run("nowhere"), "nowhere does not exist; a study needs a folder of images"),
        (lambda: search.run("pictures", trials=0), "trials: must be at least 1, got 0"),
        (lambda: search.run("pictures", time="8"), "time: must be a time such as 90s, 30m, 8h or 1h30m, got '8'"),
        (lambda: search.resume("pictures-study", time="1h", hours=1.0), "--hours and --time are the same budget"),
        (lambda: search.run("pictures", workers=-1), "--workers: must be at least 0, got -1"),
        (lambda: search.run("pictures", folds=3), "folds: the study has 2, asked is 3"),
        (lambda: search.resume("pictures-study", workers=0), "nothing to resume: 3 of 3 trials are done"),
        (lambda: search.open_study("pictures"), "pictures is not a study: it has no study.toml"),
        (lambda: search.diagnose("pictures", seconds=-1.0), "--seconds: must be at least 0, got -1"),
        (lambda: search.check("nowhere"), "nowhere does not exist"),
        (lambda: search.check("pictures", classes="left"), "classes: must be a list of texts, got 'left'"),
        (lambda: search.run("pictures", log="mlflow"), "log: must be a list of texts, got 'mlflow'; write ['mlflow']"),
        (lambda: search.run("pictures", log=["x"]), "--log: must be tensorboard, mlflow, wandb, got 'x'"),
    ],
)
@pytest.mark.usefixtures("ran")
def test_what_cannot_be_done_is_a_usage_error(call: Any, message: str) -> None:
    with pytest.raises(search.UsageError, match=re.escape(message)):
        call()


def test_a_study_in_use_is_left_alone_unless_it_is_to_be_taken_over(ran: dict[str, Any]) -> None:
    with (
        leased(ran["study"].path / "study.lock"),
        pytest.raises(search.UsageError, match=r"in use by .* with --takeover does so"),
    ):
        search.resume("pictures-study", trials=4, workers=0, quiet=True)


@pytest.mark.usefixtures("ran")
def test_it_is_written_into_a_tracker_too(home: Path) -> None:
    pytest.importorskip("tensorboard")
    search.run("pictures", workers=0, log=["tensorboard"], quiet=True)
    assert {path.name for path in (home / "pictures-study/tensorboard").iterdir()} >= {"trial-0000", "study"}
    (home / "elsewhere").mkdir()
    shutil.rmtree(home / "pictures-study/tensorboard")
    (home / "pictures-study/tensorboard").symlink_to(home / "elsewhere")
    with pytest.warns(UserWarning, match="is a link"):
        search.run("pictures", workers=0, log=["tensorboard"], quiet=True)


def test_no_other_name_is_there(home: Path) -> None:
    assert home.is_dir()
    assert set(search.__all__) <= set(dir(search))
    with pytest.raises(AttributeError, match="module 'search' has no attribute 'predict'; it has RunError"):
        _ = search.predict  # type: ignore[attr-defined]


def test_importing_it_is_light(tmp_path: Path) -> None:
    code = "import search, sys\nassert not {'numpy', 'sqlalchemy', 'rich', 'keras', 'tensorflow'} & sys.modules.keys()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0


@pytest.mark.slow
def test_ctrl_c_is_a_keyboard_interrupt_after_a_clean_stop(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures", {"left": 15, "top": 12})
    study = tmp_path / "pictures-study"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(fold_rows(study)) >= 1)
    process.send_signal(signal.SIGINT)
    printed, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert printed.splitlines()[-1] == "stopped; what was stored stays. Go on with: search.resume('pictures-study')"
    assert integrity(study) == "ok"
    assert workers_of(study) == []
