"""`search sweep`: several studies with the same workers, one table, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import fold_rows, search, search_here, start, table, trials_of
from tests.pictures import make_pictures
from tests.storage import servers

SETTINGS = "[settings]\ntrials = 1\nfolds = 2\nlock_box = false\n[settings.training]\nmax_epochs = 1\n"


def written(folder: Path, pictures: Path, text: str = "seeds = [0, 1]\n", more: str = "") -> Path:
    path = folder / "tried.toml"
    path.write_text(f'presets = ["cnn"]\n{text}[images]\nshapes = "{pictures}"\n{more}{SETTINGS}')
    return path


def rows(folder: Path) -> dict[str, Any]:
    return {path.name: table(trials_of(path)) for path in sorted((folder / "tried").iterdir())}


def test_every_study_is_searched_once_and_a_broken_one_is_told_of(pictures: Path, tmp_path: Path) -> None:
    alone = make_pictures(tmp_path / "alone", {"only": 6})
    path = written(tmp_path, pictures, text="", more=f'alone = "{alone}"\n')
    done = search_here("sweep", path, "--workers", "0", "--json", cwd=tmp_path)
    assert done.returncode == 1, done
    broken, shapes = json.loads(done.stdout)["rows"]
    assert (broken["data"], broken["done"], broken["score"]) == ("alone", 0, None)
    assert (shapes["done"], shapes["studies"], shapes["spread"]) == (1, 1, None)
    assert 0 <= shapes["low"] <= shapes["score"] <= shapes["high"] <= 1
    study = tmp_path / "tried" / "shapes-cnn-0"
    assert (study / "report.html").is_file() and (study / "models" / "choice.keras").is_file()
    problem = next(one["problem"] for one in json.loads(done.stdout)["studies"] if one["data"] == "alone")
    assert "one class only" in problem and not (tmp_path / "tried" / "alone-cnn-0").exists()

    before = fold_rows(study)
    again = search_here("sweep", path, "--workers", "0", "--quiet", cwd=tmp_path)
    assert again.returncode == 1
    assert fold_rows(study) == before
    assert "1 of 1" in again.stdout and "one class only" in again.stdout

    (study / "report.html").unlink()  # and it cannot be written again
    (study / "report.md").unlink()
    (study / "report.md").mkdir()
    unwritten = search_here("sweep", path, "--workers", "0", "--json", cwd=tmp_path)
    assert unwritten.returncode == 1, unwritten
    problems = {one["data"]: one["problem"] for one in json.loads(unwritten.stdout)["studies"]}
    assert problems["shapes"].startswith("its report cannot be written: ") and "one class only" in problems["alone"]


def test_a_server_that_is_away_is_told_once_and_nothing_is_made(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    path = written(tmp_path, pictures)
    url = f"postgresql://ada@127.0.0.1:{servers.free_port()}/db"
    path.write_text(path.read_text().replace("[settings]\n", f'[settings]\nstorage = "{url}"\n'))
    done = search_here("sweep", path, "--workers", "0", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("its server cannot be used") == 1, done
    assert done.stdout == "" and [one.name for one in tmp_path.iterdir()] == ["tried.toml"]


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_and_is_the_same(pictures: Path, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = search("sweep", written(tmp_path / "whole", pictures), "--workers", "1", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "2 of 2" in whole.stdout
    path = written(tmp_path / "killed", pictures)
    process = start("sweep", path, "--workers", "1", cwd=tmp_path)
    second = tmp_path / "killed" / "tried" / "shapes-cnn-1" / "study.db"
    while not second.exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = search("sweep", path, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
