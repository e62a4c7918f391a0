"""Notices about a search: what they say, where they go, and that the address is nowhere else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import cli
from search.commands import notify
from search.commands.notify import VARIABLE, Notices, without_addresses
from search.errors import UsageError
from tests.commands import search_here, small_study

pytest.importorskip("apprise")

CANARY = "s3cretcanary"
SMALL = ("--preset", "cnn", "--folds", "2", "--epochs", "2", "--workers", "0", "--seed", "3")


class Server:
    """A service on this machine that remembers what it is sent; it answers with `status`."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.paths.append(self.path)
                outer.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address, with a secret in each place where services have them."""
        return f"json://user:{CANARY}@127.0.0.1:{self._server.server_port}/{CANARY}/?token={CANARY}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def assert_nowhere(folder: Path, *printed: str) -> None:
    """The secret is in no file and in nothing that was printed."""
    assert CANARY not in "".join(printed)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "study.db" for path in files)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_a_search_tells_its_end_and_new_bests_and_keeps_the_address_to_itself(
    server: Server, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small_study(tmp_path / "study", pictures)
    asked = ("--notify", server.url, f"--notify={server.url}", "--notify-best", "--trials", "3", "--epochs", "2")
    done = search_here("run", "study", *asked, "--workers", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    end = server.received[-1]
    assert server.received[-2] == end, "it was given twice"
    assert end["title"] == "shapes is done"
    for part in ("Best: trial ", "3 trials in ", "More: search report study"):
        assert part in end["message"]
    bests = server.received[:-2:2]
    assert all(": new best, 0." in notice["title"] for notice in bests)
    printed = capfd.readouterr()
    assert_nowhere(tmp_path, done.stdout, done.stderr, printed.out, printed.err)
    report = search_here("report", "study", "--json", cwd=tmp_path).stdout
    assert "--notify '***' '--notify=***' --notify-best" in report


@pytest.mark.slow
def test_a_service_that_fails_is_told_once_and_the_search_is_done_all_the_same(
    server: Server, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server.status = 500
    monkeypatch.setenv(VARIABLE, f"{server.url} json://nowhere:{CANARY}@127.0.0.1:1/{CANARY}")
    done = search_here("run", pictures, *SMALL, "--notify-best", "--trials", "2", "--dir", "study", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "search: --notify: notices to 2 of 2 addresses were not sent (number 1, 2); nothing else is wrong. Try the "
        "address with apprise's own command"
    ]
    assert server.received
    printed = capfd.readouterr()
    assert_nowhere(tmp_path, done.stdout, done.stderr, printed.out, printed.err)


def test_a_password_is_not_sent(server: Server) -> None:
    notices = Notices([server.url])
    notices.send("failed", f"postgresql://me:{CANARY}@db/study cannot be reached")
    assert notices.close() == ""
    assert server.received[0]["message"] == "postgresql://me:***@db/study cannot be reached"


def test_what_any_command_starts_does_not_inherit_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"json://{CANARY}")
    cli.app(["list", str(tmp_path)], standalone_mode=False)
    assert VARIABLE not in os.environ


def test_a_failure_is_told(server: Server, tmp_path: Path) -> None:
    done = search_here("run", "pictures", "--notify", server.url, cwd=tmp_path)
    assert done.returncode == 2
    (notice,) = server.received
    assert (notice["title"], notice["message"]) == ("pictures failed", done.stderr.removeprefix("search: ").strip())
    assert notice["message"].startswith("pictures does not exist")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"jsn://{CANARY}", "begins with jsn://"),
        (CANARY, "has no kind"),
        (f"mailto://{CANARY}", "begins with mailto"),
    ],
)
def test_an_address_that_cannot_be_is_refused_and_not_shown(
    url: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        Notices([url])
    assert f"address number 1, which {kind}" in str(refused.value)
    printed = capfd.readouterr()
    assert CANARY not in f"{refused.value}{refused.value.__cause__}{printed.out}{printed.err}"


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "find_spec", lambda _: None)
    assert Notices([]).close() == ""
    with pytest.raises(UsageError, match=r"pip install 'apprise"):
        Notices(["json://here"])


def test_when_there_is_nowhere_to_send_to_new_bests_cannot_be_asked_for(tmp_path: Path) -> None:
    refused = search_here("run", "pictures", "--notify-best", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--notify URL says where to" in refused.stderr


def test_of_a_command_line_only_addresses_are_hidden() -> None:
    typed = ["run", "--notify", "a://b", "--notify=c://d", "--notify-best", "--notify", "--trials", "x"]
    shown = ["run", "--notify", "***", "--notify=***", "--notify-best", "--notify", "***", "x"]
    assert without_addresses(typed) == shown
