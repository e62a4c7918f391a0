from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import Store
from tests.storage.examples import make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a study's database belongs, in a folder of its own; nothing is there yet."""
    folder = tmp_path / "study"
    folder.mkdir()
    return folder / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new study with one run, open for writing."""
    with make(path) as opened:
        yield opened
