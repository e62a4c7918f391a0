"""`search dashboard`: optuna-dashboard over a study of Optuna in memory, made of what is stored.

It only shows. Nothing is written anywhere: the database is read, and requests that could change something are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.commands.report import READING_SHARE, TICK_SECONDS, state_of
from search.errors import UsageError
from search.session.signals import StopRequest, stop_on_signals
from search.study.folder import StudyFolder
from search.text import installing
from storage import StorageError

HOST = "127.0.0.1"
HTTP = 80
LOOK_SECONDS = 1.0  # between two looks at the database, at least
_READING = frozenset({"GET", "HEAD"})

StartResponse: TypeAlias = Callable[..., Any]
Environ: TypeAlias = dict[str, Any]


@dataclass
class Mirror:
    """The dashboard's application over a study as it is stored now: made anew when something was stored.

    Optuna's storage in memory cannot change a trial that has ended, and one that ran out of time may go on. So it is
    not changed but replaced, with what the dashboard itself remembers of it.
    """

    folder: StudyFolder
    _state: object = None
    _app: Any = None
    _again: float = 0.0  # on the monotonic clock: when to look at the database next
    _lock: Lock = field(default_factory=Lock)

    def app(self) -> Any:
        """The WSGI application of the current results. Raises StorageError, if nothing was read before."""
        with self._lock:
            began = time.monotonic()
            if began >= self._again and (state := state_of(self.folder)) != self._state:
                try:
                    self._app, self._state = self._made(), state
                except StorageError:  # the next look may find it readable; what was read stays
                    if self._app is None:
                        raise
                took = time.monotonic() - began
                self._again = began + max(LOOK_SECONDS, took / READING_SHARE)
            return self._app

    def _made(self) -> Any:
        import optuna_dashboard

        from search.results.as_optuna import as_optuna

        with self.folder.read() as store:
            stored = as_optuna(store.study(), store.trials(curves=False))
        return optuna_dashboard.wsgi(stored)


@dataclass(frozen=True)
class ReadOnly:
    """A WSGI application that lets only reading requests pass, and only those that name this machine.

    A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding); its requests carry that name.
    """

    app: Callable[[], Any]
    hosts: frozenset[str]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        if environ.get("HTTP_HOST", "").lower() not in self.hosts:
            return _refused(start_response, "403 Forbidden", "this server answers under 127.0.0.1 alone")
        if environ["REQUEST_METHOD"] not in _READING:
            return _refused(start_response, "405 Method Not Allowed", "this dashboard only shows")
        try:
            app = self.app()
        except StorageError as error:
            return _refused(start_response, "503 Service Unavailable", str(error))
        answer: Iterable[bytes] = app(environ, start_response)
        return answer


def _refused(start_response: StartResponse, status: str, why: str) -> list[bytes]:
    body = f"{why}\n".encode()
    allowed = [("Allow", "GET, HEAD")] if status.startswith("405") else []
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start_response(status, [kind, ("Content-Length", str(len(body))), *allowed])
    return [body]


def names_at(port: int) -> frozenset[str]:
    """What browsers name this machine in a request to that port: they leave out that of HTTP."""
    ends = (f":{port}", "") if port == HTTP else (f":{port}",)
    return frozenset(f"{host}{end}" for host in (HOST, "localhost") for end in ends)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@dataclass(frozen=True)
class Served:
    """A dashboard that is served."""

    address: str
    stop: StopRequest

    def until_stopped(self) -> None:
        """Wait for a signal to stop."""
        while not self.stop.asked:
            time.sleep(TICK_SECONDS)


@contextmanager
def serving(study: Path | None, port: int | None = None) -> Iterator[Served]:
    """Within, the dashboard of a study is served to this machine alone, and signals to stop are heeded.

    `port` None: a free one. Raises UsageError if the study has not begun, if optuna-dashboard is not installed, or if
    the port is taken; StorageError.
    """
    folder = StudyFolder.find(study)
    if find_spec("optuna_dashboard") is None:
        raise UsageError(
            f"the dashboard needs the package optuna-dashboard, which is not installed; {installing('dashboard')}"
        )
    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is nothing to show; `{folder.command('run')}` starts it")
    mirror = Mirror(folder)
    mirror.app()
    try:
        server = make_server(HOST, port or 0, lambda _environ, _start: [], _Server, _Quiet)
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror}; name another, or leave it out to get a free one") from None
    with server, stop_on_signals(folder.command("dashboard")) as stop:
        number = server.server_port
        server.set_app(ReadOnly(mirror.app, names_at(number)))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": TICK_SECONDS}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://{HOST}:{number}/dashboard/studies/0", stop)
        finally:
            server.shutdown()
            thread.join()
