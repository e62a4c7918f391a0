"""What the tests of wrong input ask of a refusal: one message, no file changed, also where nothing may be written."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cli

NOBODY = 65534  # a user without rights, on Linux


def snapshot(root: Path) -> dict[str, tuple[bytes, int] | None]:
    """Every file below a folder with its content and time of change, and every folder by name.

    SQLite's two files for readers and writers to meet at are left out where no commit is in them.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        if path.name.endswith("-shm") or (path.name.endswith("-wal") and not stat.st_size):
            continue
        found[str(path.relative_to(root))] = None if path.is_dir() else (path.read_bytes(), stat.st_mtime_ns)
    return found


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
