"""What tests of the study folder and of preparing share: a folder of shapes, a study that has begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.session.prepare import prepare
from search.study.database import create
from search.study.folder import StudyFolder
from storage import Store
from tests.pictures import make_pictures
from tests.search.shapes import FOLDER, settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`shapes`, pictures of 'left' (7), 'top' (5) and two of each for testing, and an empty `study`, here."""
    make_pictures(tmp_path / "shapes", {"left": 7, "top": 5}, testing={"left": 2, "top": 2})
    (tmp_path / FOLDER).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def begun(place: Path) -> Store:
    """The database of a study with folds, sizes and epochs left open."""
    return create(StudyFolder(place / FOLDER), prepare(settings(), place / FOLDER))
