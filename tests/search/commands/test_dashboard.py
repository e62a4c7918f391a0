"""`search dashboard`: what it shows, what it refuses, and that it only reads."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from reports.as_json import as_json
from search.commands.dashboard import ReadOnly, names_at, serving
from search.commands.report import summary_of
from search.errors import UsageError
from search.study.folder import StudyFolder
from storage import StorageError, Store, TrialRecord, TrialState
from tests.commands import start, wait_until
from tests.kept.studies import HERE
from tests.search.session.sessions import RUN

HOST = "127.0.0.1:8080"


def shown(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def ask(app: Any, **changes: str) -> tuple[str, bytes]:
    environ: dict[str, Any] = {"HTTP_HOST": HOST, "PATH_INFO": "/dashboard", "REQUEST_METHOD": "GET"} | changes
    setup_testing_defaults(environ)
    said: list[str] = []
    body = b"".join(app(environ, lambda status, _headers: said.append(status)))
    return said[0][:3], body


READ_ONLY = ReadOnly(lambda: shown, names_at(8080))


@pytest.mark.parametrize("host", [HOST, "localhost:8080", "LOCALHOST:8080"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_only_reads_from_this_machine_is_answered(host: str, method: str) -> None:
    assert ask(READ_ONLY, HTTP_HOST=host, REQUEST_METHOD=method) == ("200", b"/dashboard")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"])
def test_what_could_change_something_is_refused(method: str) -> None:
    assert ask(READ_ONLY, REQUEST_METHOD=method) == ("405", b"this dashboard only shows\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:81", "", "[::1]:8080"])
def test_a_request_under_another_name_is_refused(host: str) -> None:
    """So a page whose name leads to this machine (DNS rebinding) reads nothing."""
    assert ask(READ_ONLY, HTTP_HOST=host)[0] == "403"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.1:80"])
def test_at_the_port_of_http_a_browser_leaves_it_out(host: str) -> None:
    assert ask(ReadOnly(lambda: shown, names_at(80)), HTTP_HOST=host) == ("200", b"/dashboard")


def test_a_database_that_cannot_be_read_is_said() -> None:
    def unreadable() -> Any:
        raise StorageError("study.db: locked by another program")

    assert ask(ReadOnly(unreadable, frozenset({HOST}))) == ("503", b"study.db: locked by another program\n")


def test_a_study_that_has_not_begun_and_a_package_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.toml").write_text('images = "../pictures"\n')
    with monkeypatch.context() as patched:
        patched.setattr("search.commands.dashboard.find_spec", lambda _: None)
        with pytest.raises(UsageError, match=r"pip install '\.\[dashboard\]'"), serving(tmp_path):
            pass
    monkeypatch.setattr("search.commands.dashboard.find_spec", lambda _: True)
    with pytest.raises(UsageError, match="has not begun, so there is nothing to show"), serving(tmp_path):
        pass


# With the dashboard itself


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A real study, as an earlier search left it."""
    pytest.importorskip("optuna_dashboard", reason="needs the extra dashboard")
    shutil.copytree(HERE / "question", tmp_path / "study")
    return StudyFolder(tmp_path / "study")


@pytest.fixture
def address(folder: StudyFolder) -> Iterator[str]:
    with serving(folder.path) as served:
        yield served.address.removeprefix("http://").partition("/")[0]


def request(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, headers={"Accept-Encoding": "identity"} | headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def detail(address: str) -> dict[str, Any]:
    status, body = request(address, "/api/studies/0")
    assert status == 200
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_its_interface_shows_the_numbers_of_the_json_report(address: str, folder: StudyFolder) -> None:
    study, told = detail(address), as_json(summary_of(folder))
    assert [trial["number"] for trial in study["trials"]] == [trial["number"] for trial in told["trials"]]
    for trial, expected in zip(study["trials"], told["trials"], strict=True):
        if expected["state"] == "complete":
            assert trial["values"] == [expected["score"]]
        assert [point["value"] for point in trial["intermediate_values"]] == expected["fold_scores"]
        params = {param["name"]: param["param_external_value"] for param in trial["params"]}
        assert params == {name: str(value) for name, value in expected["params"].items()}
    assert study["best_trials"][0]["number"] == told["best"]["number"]
    assert request(address, "/dashboard")[0] == 200


def test_it_follows_what_is_stored_and_changes_nothing(address: str, folder: StudyFolder) -> None:
    before = detail(address)
    for method, path in (("DELETE", "/api/studies/0"), ("POST", "/api/studies"), ("PUT", "/api/studies/0/note")):
        assert request(address, path, method)[0] == 405
    assert request(address, "/api/studies", Host="evil.example")[0] == 403
    assert detail(address) == before
    with Store.open(folder.database) as store:
        last, run = store.trials()[-1], store.start_run(RUN)
        store.add_trial(
            TrialRecord(last.number + 1, last.params, last.origin, started=last.started), run=run, seconds=0.0
        )
        store.close_trial(last.number + 1, TrialState.FAILED, "error", "made for a test")
    wait_until(lambda: len(detail(address)["trials"]) == len(before["trials"]) + 1)
    assert detail(address)["trials"][-1]["state"] == "Fail"


def test_the_command_says_where_and_ends_with_ctrl_c(folder: StudyFolder) -> None:
    there = {path.name for path in folder.path.iterdir()}
    process = start("dashboard", "study", cwd=folder.path.parent)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("dashboard; Ctrl-C ends: http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert {path.name for path in folder.path.iterdir()} == there
