"""`search backup` and `search verify` on a real study with a model."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from search.commands.backup import backup, verify
from search.errors import UsageError
from search.study import config as toml
from search.study.folder import StudyFolder
from storage import Store
from tests.commands import fold_rows, search_here
from tests.kept.studies import HERE

KEPT = HERE / "question"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    shutil.copytree(KEPT, folder)
    return folder


def change(study: Path, statement: str) -> None:
    with closing(sqlite3.connect(study / "study.db")) as connection, connection:
        connection.execute(statement)


def problems(study: Path) -> dict[str, tuple[str, ...]]:
    return {check.what: check.problems for check in verify(study)[1] if check.problems}


def test_a_study_as_it_was_made_is_sound_and_everything_in_it_is_counted(study: Path) -> None:
    checks = {check.what: check.count for check in verify(study)[1]}
    with Store.open(study / "study.db", read_only=True) as store:
        assert checks["trials"] == len(store.trials())
        assert checks["fold runs"] == store.fold_runs()
        assert checks["images"] == len(store.images())
    assert problems(study) == {}


@pytest.mark.parametrize(
    ("statement", "what", "said"),
    [
        (
            "UPDATE fold_run SET scores = json_set(scores, '$.accuracy', 0.123) WHERE trial = 0 AND fold = 1",
            "fold runs",
            "trial 0, repeat 0, fold 2: accuracy is stored as 0.123, its probabilities have ",
        ),
        (
            "UPDATE fold_run SET seed = seed + 1 WHERE trial = 1 AND fold = 0",
            "fold runs",
            "trial 1, repeat 0, fold 1: its seed is not derived from the study's",
        ),
        (
            "UPDATE reference_fold SET scores = json_set(scores, '$.log_loss', 9.5) "
            "WHERE name = 'majority' AND fold = 0",
            "references",
            "majority, fold 1: log_loss is stored as 9.5",
        ),
        ("UPDATE fold_run SET run = 77 WHERE trial = 0 AND fold = 0", "database", "a row of fold_run refers to none"),
    ],
)
def test_a_number_that_was_changed_is_found(study: Path, statement: str, what: str, said: str) -> None:
    change(study, statement)
    found = problems(study)
    assert set(found) == {what}
    assert found[what][0].startswith(said)


def test_a_damaged_page_is_found_before_anything_is_read(study: Path) -> None:
    content = bytearray((study / "study.db").read_bytes())
    content[-4096:] = b"\xff" * 4096
    (study / "study.db").write_bytes(content)
    checks = [check for check in verify(study)[1] if not check.what.startswith("outer-")]
    assert [check.what for check in checks] == ["database"] and checks[0].problems


def test_the_command_exits_with_1_where_something_is_wrong(study: Path) -> None:
    sound = search_here("verify", "study", "--json", cwd=study.parent)
    assert sound.returncode == 0 and json.loads(sound.stdout)["sound"]
    change(study, "UPDATE fold_run SET seed = 1 WHERE trial = 0 AND fold = 0")
    wrong = search_here("verify", "study", cwd=study.parent)
    assert wrong.returncode == 1
    assert "fold runs: " in wrong.stdout and "1 problem" in wrong.stdout and "Restore it from a backup." in wrong.stdout


def test_a_backup_is_a_study_with_the_same_rows_whose_images_are_where_they_were(study: Path) -> None:
    copy = backup(study, None)
    assert copy.path.parent == study.parent and copy.path.name.startswith("study-backup-")
    assert fold_rows(copy.path) == fold_rows(study)
    assert problems(copy.path) == {}
    assert Path(toml.read(copy.path).images) == (study / toml.read(study).images).resolve()


def test_every_path_of_a_backups_settings_leads_where_it_did(study: Path) -> None:
    (study / "weights.h5").touch()
    (study / "groups.csv").touch()
    text = (study / "study.toml").read_text()
    assert "[weights]\n" in text
    text = text.replace("[weights]\n", '[weights]\nmine = "weights.h5"\nhub = "hub:some"\nvgg16 = "keras"\n')
    (study / "study.toml").write_text(f'groups = "groups.csv"\n{text}')
    told: list[str] = []
    config = toml.read(backup(study, study.parent / "copy", told.append).path)
    assert config.groups == str((study / "groups.csv").resolve()) and not told
    assert config.weights == {"mine": str((study / "weights.h5").resolve()), "hub": "hub:some", "vgg16": "keras"}


def test_settings_with_a_mistake_are_copied_as_they_are(study: Path) -> None:
    (study / "study.toml").write_text("folds = five\n")
    told: list[str] = []
    copy = backup(study, study.parent / "copy", told.append)
    assert copy.toml.read_text() == "folds = five\n" and fold_rows(copy.path) == fold_rows(study)
    assert len(told) == 1 and "was copied as it is" in told[0]


def test_a_study_is_found_beside_its_backups(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent)
    copy = backup(Path("study"), None)
    shutil.copytree(study, ".study-backup-20260101-000000.0123abcd")  # of a backup that was killed
    assert StudyFolder.find(None).path == Path("study")
    shutil.rmtree(study)
    assert StudyFolder.find(None).path.name == copy.path.name


def test_impossible_values_older_tables_and_outer_folds_are_told_not_raised(study: Path) -> None:
    outer = study / "nested" / "outer-2"
    assert problems(study) == {}
    change(outer, "UPDATE fold_run SET scores = json_set(scores, '$.accuracy', 7.0) WHERE trial = 0 AND fold = 1")
    change(study, "UPDATE alembic_version SET version_num = '0005'")
    found = problems(study)
    assert set(found) == {"contents", "outer-2: contents"}
    assert "an older release wrote it" in found["contents"][0] and "7" in found["outer-2: contents"][0]


def test_outer_folds_of_another_study_are_found_and_only_what_can_run_is_advised(study: Path) -> None:
    for folder in (study, *(outer.path for outer in StudyFolder(study).outers)):
        Store.open(folder / "study.db").close()  # of an older release: upgraded
    outer = StudyFolder(study).nested
    shutil.copytree(outer / "outer-2", outer / "outer-3")
    change(outer / "outer-1", "UPDATE study SET seed = seed + 1")
    (wrong,) = [check for check in verify(study)[1] if check.what == "outer folds"]
    first, third = wrong.problems
    assert "outer-1/study.db: is not a search without the images of fold 1" in first
    assert "outer-3: is no outer fold of this study, which has 2" in third
    assert f"`search run {study}` searches again" in search_here("report", study, cwd=study.parent).stderr
    (study / "study.toml").unlink()
    advice = search_here("report", study, cwd=study.parent).stderr
    assert "Move its folder away." in advice and "search run" not in advice
    for name in ("outer-1", "outer-3"):
        shutil.rmtree(outer / name)
    assert "outer folds" not in problems(study)


def test_a_backup_is_made_while_somebody_writes(study: Path) -> None:
    with Store.open(study / "study.db") as store:
        number = store.start_run(replace(store.runs()[0], outcome=None))
        copy = backup(study, study.parent / "copy")
        store.end_run(number, "finished", 1.0)
    assert len(Store.open(copy.database, read_only=True).runs()) == number + 1


@pytest.mark.parametrize(("to", "said"), [("study", "exists already"), ("study/copy", "is within the study")])
def test_a_backup_never_replaces_anything(study: Path, to: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backup(study, study.parent / to)


def test_a_backup_that_cannot_be_written_leaves_nothing(study: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        backup(study, study.parent / "no" / "where")
    assert [path.name for path in study.parent.iterdir()] == ["study"]


def test_links_of_a_strangers_study_are_not_followed(study: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (study / "report.html").symlink_to(tmp_path / "secret")
    copy = backup(study, None)
    assert not (copy.path / "report.html").exists()


def test_a_study_that_has_not_begun_has_nothing_to_keep(tmp_path: Path) -> None:
    StudyFolder(tmp_path).toml.write_text('images = "x"\n')
    for command in (lambda: backup(tmp_path, None), lambda: verify(tmp_path)):
        with pytest.raises(UsageError, match="has not begun"):
            command()
