"""Who holds a study, as another process sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.errors import UsageError
from search.study.lease import holder, leased
from tests.commands import ROOT

LOCK = "study.lock"
HOLD = (
    "import sys; from pathlib import Path; from search.study.lease import leased\n"
    f"with leased(Path({LOCK!r})): print(); input()"
)


def test_nobody_holds_a_study_before_and_after_a_run_of_it(tmp_path: Path) -> None:
    assert holder(tmp_path / LOCK) is None
    assert list(tmp_path.iterdir()) == [], "asking makes no file"
    with leased(tmp_path / LOCK):
        assert (tmp_path / LOCK).exists()
    assert holder(tmp_path / LOCK) is None


def test_a_holder_is_named_and_forgotten_when_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    who = holder(tmp_path / LOCK)
    assert who is not None and who.startswith(f"process {process.pid} on ")
    with pytest.raises(UsageError, match=f"in use by process {process.pid} on "), leased(tmp_path / LOCK):
        pass
    process.kill()
    process.communicate()
    assert holder(tmp_path / LOCK) is None
    with leased(tmp_path / LOCK):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    assert holder(tmp_path / LOCK) is None
