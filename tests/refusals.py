"""What the tests of wrong input ask of a refusal: one message, no file changed, also where nothing may be written."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cli
from search.session.prepare import prepare
from search.session.run import versions
from search.study import config as toml
from search.study import config_file
from search.study.database import create
from search.study.folder import StudyFolder
from storage import RunRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.pictures import make_pictures
from tests.search.session.instant import store_references

NOBODY = 65534  # a user without rights, on Linux
IMAGES = 6  # of each class
SETTINGS = {"images": "../pictures", "preset": "cnn", "trials": 1, "folds": 2, "seed": 7}

Refuse = Callable[..., str]
"""Runs a command and returns its one message, having checked the code, its form, and that no file changed."""


def make_studies(root: Path) -> Path:
    """In `root`: `pictures`, a study of them that is not begun, `new`, and one whose only trial is done, `study`."""
    make_pictures(root / "pictures", {"a": IMAGES, "b": IMAGES})
    for name in ("new", "study"):
        (root / name).mkdir()
        config_file.write(root / name, toml.parse(SETTINGS, name))
    prepared = prepare(toml.read(root / "study"), root / "study")
    point = prepared.space.defaults()
    with create(StudyFolder(root / "study"), prepared) as store:
        run = store.start_run(RunRecord("2025-01-01T00:00:00+00:00", "search run", versions(), "box", 1))
        store.add_trial(
            TrialRecord(0, point, Origin.BASELINE, started="2025-01-01T00:00:00+00:00"), run=run, seconds=1.0
        )
        store.close_trial(0, TrialState.FAILED, "error", "made for a test")
        store_references(store, run)
    (root / "study" / "study.lock").write_text('{"pid": 1}')
    return root


def refusing(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """The command in this process, with `place` as the folder that it may not change."""

    def run(*arguments: str, root: Path = place) -> str:
        monkeypatch.setattr(sys, "argv", ["search", *arguments])
        before = snapshot(root)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert snapshot(root) == before
        assert not re.search(r"^study: .*(?<!\(going on\))$", printed.out, re.MULTILINE), "none was begun"
        assert ended.value.code == 2, printed
        return one_message(printed.err)

    return run


def snapshot(root: Path) -> dict[str, tuple[bytes, int] | None]:
    """Every file below a folder with its content and time of change, and every folder by name.

    SQLite's two files for readers and writers to meet at are left out where no commit is in them.
    """
    entries = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        if path.name.endswith("-shm") or (path.name.endswith("-wal") and not stat.st_size):
            continue
        entries[str(path.relative_to(root))] = None if path.is_dir() else (path.read_bytes(), stat.st_mtime_ns)
    return entries


def one_message(stderr: str) -> str:
    """What was said on stderr, which is one message: ours, or the usage that belongs to the command line."""
    assert "Traceback" not in stderr
    assert len(re.findall(r"^(?:search:|Error:) ", stderr, re.MULTILINE)) == 1, stderr
    return stderr.removesuffix("\n")


@contextmanager
def sealed(place: Path) -> Iterator[Path]:
    """A copy of `place` where nothing may be written, as the current folder.

    Root, whom that would not stop, is nobody meanwhile: what is to be imported has to be imported before.
    """
    user, here = os.geteuid(), Path.cwd()
    with tempfile.TemporaryDirectory() as made:
        root = Path(shutil.copytree(place, made, dirs_exist_ok=True))
        (root / "drawer").mkdir()
        everything = (root, *root.rglob("*"))
        for path in everything:
            path.chmod(0o555 if path.is_dir() else 0o444)
        os.chdir(root)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            if not os.access(cli.__file__, os.R_OK, effective_ids=True):
                pytest.skip("nobody may read the program here")
            yield root
        finally:
            os.seteuid(user)
            os.chdir(here)
            for path in everything:
                path.chmod(0o755)
