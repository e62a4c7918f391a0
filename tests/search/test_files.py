"""Files are written whole or not at all, and no link is followed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.files import NEW_SECONDS, no_links, replacing, sweep_partial, temporary_folder, write_atomically
from tests.warm import ROOT

TEXT = "ein Kätzchen\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_is_written_or_replaced_and_nothing_is_left_beside_it(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "a.toml"
    if before:
        path.write_text(before)
    write_atomically(path, TEXT)
    assert path.read_bytes() == TEXT.encode()
    assert names(tmp_path) == ["a.toml"]


def test_while_it_is_written_the_old_file_is_there_and_the_new_one_has_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert (partial.parent, partial.suffix) == (tmp_path, ".keras")
        assert str(os.getpid()) in partial.name and partial.name.startswith(".")
    assert path.read_text() == "new"


@pytest.mark.parametrize("written", ["", "half"])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, written: str) -> None:
    path = tmp_path / "a.npy"
    path.write_text("old")
    with pytest.raises(ValueError, match="no more"), replacing(path) as partial:
        partial.write_text(written)
        raise ValueError("no more")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.npy"]


def test_what_was_never_written_is_an_error_and_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_no_room_for_the_file_leaves_the_old_one(tmp_path: Path) -> None:
    """The system itself refuses to write more than 100 bytes."""
    path = tmp_path / "a.html"
    path.write_text("old")
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(OSError, match="too large"):
            write_atomically(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.html"]


def test_a_kill_in_the_midst_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from search.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    path.chmod(0o640)
    before = os.umask(mask)
    try:
        write_atomically(path, "new")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    target, path = tmp_path / "elsewhere", tmp_path / "a.html"
    target.write_text("mine")
    path.symlink_to(target)
    (tmp_path / f".a.{os.getpid()}.html").symlink_to(target)
    write_atomically(path, "new")
    assert (target.read_text(), path.read_text()) == ("mine", "new")
    assert not path.is_symlink()
    assert names(tmp_path) == ["a.html", "elsewhere"]


def test_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        open(tmp_path / "log", "ab", opener=no_links)  # noqa: SIM115 - a Path cannot be given an opener
    with open(tmp_path / "new", "ab", opener=no_links) as file:
        file.write(b"x")
    assert ((tmp_path / "elsewhere").read_text(), (tmp_path / "new").read_bytes()) == ("mine", b"x")


def test_what_a_killed_process_left_is_swept_and_what_another_is_writing_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    for name in (f".a.{ended.pid}.html", f".a.{os.getpid()}.html", f".b.{ended.pid}.html", ".a.x.html", "a.html"):
        (tmp_path / name).write_text("x")
    sweep_partial(tmp_path / "a.html")
    assert names(tmp_path) == sorted([f".a.{os.getpid()}.html", f".b.{ended.pid}.html", ".a.x.html", "a.html"])


LEFT = "import os, search.files as f\nwith f.temporary_folder('pets-') as p: (p / 'x').touch(); print(p); os._exit(9)"


def test_a_temporary_folder_that_a_killed_process_left_goes_and_one_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-uc", LEFT], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / "pets-link").symlink_to(left)
    with temporary_folder("pets-") as used:
        assert left.exists(), "it is new, so its process may be about to lock it"
        for folder in (left, used):
            os.utime(folder, (0, left.stat().st_mtime - 2 * NEW_SECONDS))
        with temporary_folder("pets-") as other:
            assert set(tmp_path.iterdir()) == {used, other, tmp_path / "pets-link"}
    assert names(tmp_path) == ["pets-link"]
