"""The command with its results on a PostgreSQL server: the same study as in a folder, and no password anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.study.folder import StudyFolder
from tests.commands import search, search_here, start, trials_of
from tests.storage import servers

FLAGS = ("--preset", "cnn", "--trials", "4", "--folds", "3", "--epochs", "2", "--workers", "1", "--seed", "4")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


def rows(study: Path) -> list[Any]:
    return [
        (t.number, dict(t.params), t.state, [(f.fold, f.repeat, f.seed, dict(f.scores), f.epochs) for f in t.folds])
        for t in trials_of(study)
    ]


def test_a_search_equals_one_in_a_folder_though_its_server_is_killed_five_times(
    pictures: Path, tmp_path: Path, server: servers.Server
) -> None:
    done = search("run", pictures, *FLAGS, "--dir", "local", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    url = server.url()
    process = start("run", pictures, *FLAGS, "--dir", "served", "--storage", str(url), cwd=tmp_path)
    study = StudyFolder(tmp_path / "served")
    while not study.begun and process.poll() is None:
        time.sleep(0.05)
    for _ in range(5):
        time.sleep(0.4)
        server.restart()
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert study.server == url
    assert rows(study.path) == rows(tmp_path / "local")

    for command in (
        ("report", "served"),
        ("verify", "served"),
        ("resume", "served", "--trials", "5", "--workers", "0"),
    ):
        more = search_here(*command, cwd=tmp_path)
        assert more.returncode == 0, more
        out += more.stdout + more.stderr
    assert [number for number, *_ in rows(study.path)] == [0, 1, 2, 3, 4]
    assert servers.CANARY not in out + err
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or servers.CANARY.encode() not in file.read_bytes()


def test_a_study_that_is_on_the_server_already_is_gone_on_with_if_it_is_the_same(
    pictures: Path, tmp_path: Path, server: servers.Server
) -> None:
    url = str(server.url())
    first = search("run", pictures, *FLAGS[:2], "--trials", "1", *FLAGS[4:], "--storage", url, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    begun = rows(tmp_path / "shapes-study")
    other = search_here("run", pictures, "--preset", "question", "--dir", "b", "--storage", url, cwd=tmp_path)
    assert other.returncode == 2
    assert "is another study" in other.stderr and "Give another name" in other.stderr
    assert not (tmp_path / "b").exists()
    same = search("run", pictures, *FLAGS, "--dir", "c", "--storage", url, cwd=tmp_path)
    assert same.returncode == 0, same.stderr
    assert rows(tmp_path / "c")[:1] == begun
