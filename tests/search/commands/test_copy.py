"""`search copy` and `search list` between folders and servers; no password is ever shown or kept."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.commands.backup import backup, verify
from search.commands.copy import copy
from search.commands.list_studies import list_studies
from search.errors import UsageError
from search.study import config as toml
from search.study.folder import StudyFolder
from storage import ServerUrl, StorageError, Store, link, studies_on
from storage import copy as copy_database
from tests.commands import fold_rows, search_here
from tests.kept.studies import HERE
from tests.storage import servers

KEPT = HERE / "question"
CANARY = "c4nary"


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with outer folds and a model, made by this release's tables."""
    folder = tmp_path / "study"
    shutil.copytree(KEPT, folder)
    Store.open(folder / "study.db").close()  # one of an older release is upgraded
    for before in folder.glob("*.backup"):
        before.unlink()
    return folder


def test_a_study_goes_to_a_server_and_comes_back_with_every_row(study: Path, server: servers.Server) -> None:
    url, back = server.url(), study.with_name("back")
    there = copy(str(study), str(url))
    here = copy(str(url), str(back))
    assert (there.rows, there.sha256) == (here.rows, here.sha256)
    assert fold_rows(back) == fold_rows(study)
    assert not (back / "study.toml").exists()  # a server has the results alone
    assert "has no study.toml" in search_here("report", back, cwd=study.parent).stdout.replace("\n", " ")
    assert not [check for check in verify(back)[1] if check.problems]
    (listed,) = [one for one in list_studies(str(url.where)) if one.path == str(url)]
    (local,) = list_studies(study)
    assert (listed.trials, listed.best, listed.images, listed.seconds) == (
        local.trials,
        local.best,
        local.images,
        local.seconds,
    )
    assert (listed.state, listed.model) == ("idle", False)


def test_a_folder_copied_to_a_folder_has_settings_and_model_too(study: Path) -> None:
    target = study.with_name("copy")
    (study / "models").mkdir()
    (study / "models" / "choice.keras").write_bytes(b"what is copied as it is")
    done = search_here("copy", study, target, cwd=study.parent)
    assert done.returncode == 0, done.stderr
    assert "the same rows on both sides" in done.stdout
    assert (target / "models" / "choice.keras").read_bytes() == (study / "models" / "choice.keras").read_bytes()
    assert Path(toml.read(target).images).is_absolute()
    assert fold_rows(target) == fold_rows(study)
    assert [check.what for check in verify(target)[1] if check.problems] == ["model"]


def test_a_study_on_a_server_is_reported_verified_and_backed_up_like_another(
    study: Path, server: servers.Server
) -> None:
    url = server.url()
    before, rows = search_here("report", study, "--json", cwd=study.parent).stdout, fold_rows(study)
    copy(str(study), str(url))
    (study / "study.db").unlink()
    link(study / "study.db", url)
    assert search_here("report", study, "--json", cwd=study.parent).stdout == before
    assert not [check for check in verify(study)[1] if check.problems]
    text = (study / "study.toml").read_text()
    (study / "study.toml").write_text(f'storage = "{url}"\n{text}')
    kept = backup(study, study.with_name("kept"))
    assert toml.read(kept.path).storage is None
    assert fold_rows(kept.path) == rows
    assert kept.server is None


def test_it_is_being_searched_while_a_process_has_it(study: Path, server: servers.Server) -> None:
    url = server.url()
    copy(str(study), str(url))
    elsewhere = StudyFolder(study.with_name("elsewhere"))
    elsewhere.make()
    link(elsewhere.database, url)
    with Store.open(url):
        assert elsewhere.searched and "process " in str(elsewhere.searcher)
        assert [one.state for one in list_studies(str(url.where)) if one.path == str(url)] == ["running"]
    assert not elsewhere.searched


class StoppedError(Exception):
    """As if the process was killed."""


def stopping_after(parts: int) -> Callable[[int, int], None]:
    """To be told of rows: stops a copy once so many databases are whole, in the midst of the next one."""
    whole = 0

    def tell(done: int, of: int) -> None:
        nonlocal whole
        if whole == parts:
            raise StoppedError
        whole += done == of

    return tell


def seeds(study: Path) -> list[int]:
    found = []
    for folder in (StudyFolder(study), *StudyFolder(study).outers):
        with folder.read() as store:
            found.append(store.study().seed)
    return found


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_copy_of_a_nested_study_that_was_stopped_is_finished_by_the_same_again(study: Path, after: int) -> None:
    (study / "report.html").write_text("whole")
    target = study.with_name("copy")
    with pytest.raises(StoppedError):
        copy(str(study), str(target), tell=stopping_after(after))
    assert not StudyFolder(target).begun
    copy(str(study), str(target))
    assert seeds(target) == seeds(study) and len(seeds(target)) > 2
    assert not (target / ".copying").exists()
    with pytest.raises(UsageError, match="exists already"):
        copy(str(study), str(target))


@pytest.mark.parametrize("after", [1, 2])
def test_on_a_server_too_and_a_study_that_looks_like_an_outer_fold_is_none(
    study: Path, server: servers.Server, after: int
) -> None:
    url, back = server.url(), study.with_name("back")
    with pytest.raises(StoppedError):
        copy(str(study), str(url), tell=stopping_after(after))
    copy(str(study), str(url))
    copy_database(study / "study.db", url.of_study(f"{url.study}-outer-3"))
    copy(str(url), str(back))
    assert seeds(back) == seeds(study)


def test_an_outer_fold_that_is_there_and_another_is_not_replaced(study: Path, server: servers.Server) -> None:
    url = server.url()
    copy_database(study / "study.db", url.of_study(f"{url.study}-outer-1"))
    with pytest.raises(StorageError, match=r"outer-1.* exists already and was not changed.* study.* differ"):
        copy(str(study), str(url))


def test_beside_another_study_of_that_name_no_outer_fold_is_written(study: Path, server: servers.Server) -> None:
    url = server.url()
    copy_database(StudyFolder(study).outer(1).database, url)
    with pytest.raises(StorageError, match="exists already and was not changed"):
        copy(str(study), str(url))
    assert f"{url.study}-outer-1" not in {found.study for found in studies_on(url.where)}


def test_outer_folds_that_an_earlier_study_of_that_name_left_are_not_taken_for_its_own(
    study: Path, server: servers.Server, tmp_path: Path
) -> None:
    url, other = server.url(), tmp_path / "other.db"
    shutil.copy(StudyFolder(study).outer(0).database, other)
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE image SET path = path || 'x'")  # of other images, with the same seed
    copy_database(study / "study.db", url)
    copy_database(other, url.of_study(f"{url.study}-outer-1"))
    assert copy(str(url), str(tmp_path / "back")).rows["study"] == 1


def test_a_folder_with_other_things_in_it_is_not_copied_into(study: Path) -> None:
    target = study.with_name("other")
    target.mkdir()
    copy(str(study), str(target))  # an empty one is as good as a new one
    mine = study.with_name("mine")
    mine.mkdir()
    (mine / "report.html").write_text("mine")
    with pytest.raises(UsageError, match=r"TO: .*mine exists already"):
        copy(str(study), str(mine))
    assert [path.name for path in mine.iterdir()] == ["report.html"]


def test_an_unfinished_copy_of_another_study_is_not_gone_on_with(study: Path) -> None:
    other, target = study.with_name("another"), study.with_name("copy")
    shutil.copytree(study, other)
    with pytest.raises(StoppedError):
        copy(str(other), str(target), tell=stopping_after(0))
    with pytest.raises(UsageError, match=r"TO: .*copy exists already"):
        copy(str(study), str(target))


def test_a_name_that_is_too_long_for_an_outer_fold_is_refused_before_anything_is_made(study: Path) -> None:
    with pytest.raises(UsageError, match="TO: an outer fold has the name of the study and -outer-"):
        copy(str(study), f"postgresql://ada@127.0.0.1:1/db/{'a' * 45}")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("study", "study", "TO: study exists already"),
        ("study", "study/within", "TO: study/within is within the study"),
        ("nowhere", "copy", "nowhere does not exist"),
        ("study", "mysql://host/db", "TO: must be postgresql://"),
        ("postgresql://host/db", "copy", "FROM: must name a study; `search list postgresql://host/db`"),
        (f"postgresql://ada:{CANARY}@host/db/x", "copy", "FROM: must not contain a password"),
        ("study", f"postgresql://ada:{CANARY}@host/db", "TO: must not contain a password"),
    ],
)
def test_what_cannot_be_copied_is_refused_before_anything_is_made(
    study: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, words: str
) -> None:
    monkeypatch.chdir(study.parent)
    with pytest.raises(UsageError) as raised:
        copy(source, target)
    assert str(raised.value).startswith(words)
    assert CANARY not in str(raised.value)
    assert [path.name for path in study.parent.iterdir()] == ["study"]


def test_a_refused_copy_leaves_nothing_behind(study: Path, server: servers.Server) -> None:
    target, empty = study.with_name("copy"), study.with_name("empty")
    empty.mkdir()
    sources = [str(server.url())]  # no such study
    StudyFolder(study).outers[-1].database.write_bytes(b"no database")
    sources.append(str(study))
    for source in sources:
        for folder in (target, empty):
            with pytest.raises(StorageError):
                copy(source, str(folder))
        assert not target.exists() and not list(empty.iterdir())


def test_a_server_that_is_not_there_is_named_without_a_password(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PGPASSWORD", CANARY)
    url = ServerUrl("127.0.0.1", "db", "ada", servers.free_port(), "cats")
    for command in (("copy", study, url), ("copy", url, "new"), ("list", url)):
        done = search_here(*map(str, command), cwd=study.parent)
        assert done.returncode == 2, done
        assert "its server cannot be used" in done.stderr
        assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("list", "{}"),
        ("copy", "{}/x", "new"),
        ("copy", "study", "{}"),
        ("report", "{}/x"),
        ("resume", "{}/x"),
        ("run", "{}/x"),
        ("run", "study", "--storage", "{}"),
        ("export", "{}/x", "--to", "m.keras"),
        ("predict", "{}/x", "study"),
        ("verify", "{}/x"),
        ("backup", "{}/x"),
        ("compare", "{}/x", "study"),
        ("space", "{}/x"),
        ("run", "study", "--warm-start", "{}/x"),
    ],
    ids=" ".join,
)
def test_a_password_that_is_typed_is_shown_by_no_command_and_kept_in_no_file(
    study: Path, command: tuple[str, ...]
) -> None:
    typed = [word.format(f"postgresql://ada:{CANARY}@127.0.0.1:1/db") for word in command]
    done = search_here(*typed, cwd=study.parent)
    assert done.returncode == 2, done
    assert CANARY not in done.stdout + done.stderr
    for file in study.parent.rglob("*"):
        assert CANARY not in file.name
        assert not file.is_file() or CANARY.encode() not in file.read_bytes()


def test_nor_is_that_of_a_url_whose_colon_was_forgotten(study: Path) -> None:
    done = search_here("copy", "study", f"postgresql//ada:{CANARY}@127.0.0.1/db", cwd=study.parent)
    assert done.returncode == 2 and "TO: must be postgresql://USER@HOST" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_the_studies_of_a_server_are_listed_as_json_too(study: Path, server: servers.Server) -> None:
    url = server.url()
    copy(str(study), str(url))
    done = search_here("list", str(url.where), "--json", cwd=study.parent)
    assert str(url) in [one["path"] for one in json.loads(done.stdout)["studies"]]
