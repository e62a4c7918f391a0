"""Who holds a study, as another process sees it, and taking its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from search.errors import UsageError
from search.study import lease
from search.study.lease import holder, leased
from tests.warm import ROOT

LOCK = "study.lock"
HOLD = (
    "import sys; from pathlib import Path; from search.study.lease import leased\n"
    f"with leased(Path({LOCK!r})): print(); input()"
)
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{HOLD}"


@contextlib.contextmanager
def held(folder: Path, program: str = HOLD) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the study in this folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_nobody_holds_a_study_before_and_after_a_run_of_it(tmp_path: Path) -> None:
    assert holder(tmp_path / LOCK) is None
    assert list(tmp_path.iterdir()) == [], "asking makes no file"
    with leased(tmp_path / LOCK) as waited:
        assert (tmp_path / LOCK).exists()
        assert not waited
    assert holder(tmp_path / LOCK) is None


def test_a_holder_is_named_and_forgotten_when_it_is_killed(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        who = holder(tmp_path / LOCK)
        assert who is not None and who.startswith(f"process {process.pid} on ")
        with pytest.raises(UsageError, match=rf"in use by process {process.pid} on .* or stop it first$"):
            leased(tmp_path / LOCK).__enter__()
        with pytest.raises(UsageError, match=rf"process {process.pid} on {socket.gethostname()} since 2.*--takeover"):
            leased(tmp_path / LOCK, takeover=False).__enter__()
    assert holder(tmp_path / LOCK) is None
    with leased(tmp_path / LOCK):
        pass


def test_a_lock_that_was_not_there_is_removed_where_its_holder_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), leased(tmp_path / LOCK):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with leased(tmp_path / LOCK):
        pass
    with pytest.raises(KeyError), leased(tmp_path / LOCK):
        raise KeyError
    assert (tmp_path / LOCK).exists(), "it was there before"


def test_a_lock_that_is_removed_meanwhile_is_not_the_one_that_is_held(tmp_path: Path) -> None:
    """Else a third process would make a new file, and two would hold the study."""

    def remove(_: str) -> None:
        (tmp_path / LOCK).unlink()

    refused = pytest.raises(UsageError, match=rf"in use by process {os.getpid()} ")
    with held(tmp_path), leased(tmp_path / LOCK, takeover=True, tell=remove), refused:
        leased(tmp_path / LOCK).__enter__()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    assert holder(tmp_path / LOCK) is None


def test_of_fifty_that_start_at_once_one_wins(tmp_path: Path) -> None:
    start, end = Barrier(50), Barrier(50)

    def begin(_: int) -> bool:
        start.wait()
        try:
            with leased(tmp_path / LOCK):
                end.wait()
                return True
        except UsageError:
            end.wait()
            return False

    with ThreadPoolExecutor(50) as threads:
        assert sum(threads.map(begin, range(50))) == 1


def test_a_copy_of_a_study_in_use_is_free(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    with held(original) as process:
        shutil.copytree(original, copy)
        assert str(process.pid) in (copy / LOCK).read_text()
        assert holder(copy / LOCK) is None
        with leased(copy / LOCK, takeover=True):
            assert process.poll() is None


# Taking over


def test_a_holder_is_asked_to_stop_and_its_place_taken(tmp_path: Path) -> None:
    told: list[str] = []
    with held(tmp_path) as process:
        with leased(tmp_path / LOCK, takeover=True, tell=told.append) as waited:
            assert waited
            assert process.wait(5) == -signal.SIGTERM
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        assert [text.partition(" on ")[0] for text in told] == [f"asking process {process.pid}"]


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "STOP_SECONDS", 0.3)
    with held(tmp_path, DEAF) as process, leased(tmp_path / LOCK, takeover=True):
        assert process.wait(5) == -signal.SIGKILL


def test_one_that_is_stopped_by_its_shell_wakes_and_ends(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        with leased(tmp_path / LOCK, takeover=True):
            assert process.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda known: known | {"host": "elsewhere"}, "can be ended on its own machine alone; there, `kill"),
        (lambda known: known | {"pid": "bystander"}, "does not hold it; nothing was ended"),
        (lambda known: known | {"pid": 2**22 + 1}, "cannot be reached from here"),
        (lambda known: known | {"pid": 0}, "cannot be reached from here"),
        (lambda known: known | {"pid": -1}, "cannot be reached from here"),
        (lambda _: [], "does not say which process holds it"),
    ],
)
def test_no_other_process_is_ended(tmp_path: Path, change: object, refusal: str) -> None:
    """As where a number was given to another process, or a stranger wrote the file."""
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        with held(tmp_path) as process:
            known = change(json.loads((tmp_path / LOCK).read_text()))  # type: ignore[operator]
            text = json.dumps(known).replace('"bystander"', str(bystander.pid))
            (tmp_path / LOCK).write_text(text)
            with pytest.raises(UsageError, match=refusal):
                leased(tmp_path / LOCK, takeover=True).__enter__()
            assert (process.poll(), bystander.poll()) == (None, None)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_process_that_only_looks_at_the_file_is_not_ended(tmp_path: Path) -> None:
    with held(tmp_path) as process, (tmp_path / LOCK).open() as file:
        reader = subprocess.Popen(["sleep", "60"], stdin=file)
        try:
            known = json.loads(file.read()) | {"pid": reader.pid}
            (tmp_path / LOCK).write_text(json.dumps(known))
            with pytest.raises(UsageError, match="does not hold it; nothing was ended"):
                leased(tmp_path / LOCK, takeover=True).__enter__()
            assert (process.poll(), reader.poll()) == (None, None)
        finally:
            reader.kill()
            reader.wait()


def test_it_is_not_taken_from_oneself(tmp_path: Path) -> None:
    with leased(tmp_path / LOCK), pytest.raises(UsageError, match="which is this process"):
        leased(tmp_path / LOCK, takeover=True).__enter__()
