"""`search list` finds the studies below a folder and says how far each is, whatever state it is in."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search.commands.list_studies import list_studies
from search.errors import UsageError
from search.stats.metrics import METRICS
from search.study.lease import leased
from storage import Store, TrialState
from tests.commands import search_here
from tests.kept.studies import HERE


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Two studies, one of them in a folder of its own, one that has not begun, and a damaged one."""
    for name in ("cnn", "more/question"):
        shutil.copytree(HERE / Path(name).name, tmp_path / name)
    for name in ("begun not", "torn"):
        (tmp_path / name).mkdir()
        shutil.copy(HERE / "cnn" / "study.toml", tmp_path / name)
    (tmp_path / "torn" / "study.db").write_bytes(b"torn")
    return tmp_path


def test_every_study_is_listed_by_path_with_its_counts(shelf: Path) -> None:
    found = {Path(study.path).relative_to(shelf).as_posix(): study for study in list_studies(shelf)}
    assert list(found) == ["begun not", "cnn", "more/question", "torn"]
    with Store.open(shelf / "cnn" / "study.db", read_only=True) as store:
        trials, metric = store.trials(), store.study().metric
    assert (found["cnn"].state, found["cnn"].trials) == ("idle", len(trials))
    scored = [score for t in trials if t.state == TrialState.COMPLETE and (score := t.score(metric)) is not None]
    assert found["cnn"].best == METRICS[metric].best(scored)
    assert found["begun not"].state == "not begun"
    assert found["torn"].state == "unreadable" and "not an SQLite database" in str(found["torn"].problem)


def test_a_study_with_a_metric_of_another_release_is_unreadable_and_the_others_are_listed(shelf: Path) -> None:
    with closing(sqlite3.connect(shelf / "cnn" / "study.db")) as connection, connection:
        connection.execute("UPDATE study SET metric = 'f1'")
    cnn = next(study for study in list_studies(shelf) if Path(study.path).name == "cnn")
    assert cnn.state == "unreadable" and "was searched for 'f1'" in str(cnn.problem)
    assert len(list_studies(shelf)) == 4


def test_a_study_that_somebody_searches_is_running(shelf: Path) -> None:
    with leased(shelf / "cnn" / "study.lock"):
        assert {study.state for study in list_studies(shelf / "cnn")} == {"running"}


def test_what_is_within_a_study_hidden_or_behind_a_link_is_not_listed(shelf: Path) -> None:
    shutil.copytree(shelf / "cnn", shelf / "more" / ".hidden" / "cnn")
    shutil.copytree(shelf / "cnn", shelf / "cnn" / "nested" / "outer-1")
    (shelf / "link").symlink_to(shelf / "cnn")
    assert len(list_studies(shelf)) == 4


def test_the_command_prints_a_table_or_json(shelf: Path) -> None:
    printed = search_here("list", cwd=shelf).stdout
    assert "more/question" in printed and "unreadable" in printed
    listed = json.loads(search_here("list", "--json", cwd=shelf).stdout)["studies"]
    assert [study["path"] for study in listed] == ["begun not", "cnn", "more/question", "torn"]
    (shelf / "empty").mkdir()
    assert "no study; make one with `search run PICTURES`" in search_here("list", "empty", cwd=shelf).stdout


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist; name a folder"):
        list_studies(tmp_path / "nowhere")
