from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import Store
from tests.storage import servers
from tests.storage.examples import make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a study's database, in an empty folder."""
    folder = tmp_path / "study"
    folder.mkdir()
    return folder / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new study with one run, open for writing."""
    with make(path) as opened:
        yield opened


@pytest.fixture(params=["file", "server"])
def either_store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    """The same, of each kind."""
    url = None if request.param == "file" else request.getfixturevalue("server").url()
    with make(path, url) as opened:
        yield opened


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    """A PostgreSQL server, whose password is in the environment."""
    yield from servers.serving()
