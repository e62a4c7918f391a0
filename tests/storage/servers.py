"""A PostgreSQL server of the tests' own, from Debian's package `postgresql` or whatever `pg_ctl` is found."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest

from storage import ServerUrl

CANARY = "c4nary-p4ssw0rd"
"""The server's password. It is in PGPASSWORD while the tests run, and may be nowhere else."""

USER = "searcher"
_MAX_SECONDS = 60


def binaries() -> Path | None:
    """The folder of `pg_ctl` and `initdb`; None if there is no server on this machine."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    usable = [folder for folder in folders if (folder / "initdb").exists()]
    return usable[-1] if usable else None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A server in a folder of its own, at a port of 127.0.0.1 that stays the same."""

    def __init__(self, programs: Path, home: Path) -> None:
        self.port, self._programs, self._data = free_port(), programs, home / "data"
        self._log, password = home / "log", home / "password"
        password.write_text(CANARY)
        # A server refuses to be started by root.
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
            for path in (home, password):
                os.chown(path, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        self._do("initdb", "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--locale=C.UTF-8")
        password.unlink()
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._do("pg_ctl", "-w", "-l", str(self._log), "-o", options, "start")

    def stop(self, mode: Literal["fast", "immediate"] = "immediate") -> None:
        """'immediate' is like a crash: every connection breaks, and the log is recovered at the next start."""
        self._do("pg_ctl", "-w", "-m", mode, "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, study: str | None = None, port: int | None = None) -> ServerUrl:
        """Of a study; None: one that does not exist."""
        return ServerUrl("127.0.0.1", "postgres", USER, port or self.port, study or f"study-{uuid4().hex[:12]}")

    def rules(self) -> str:
        """Who may connect how."""
        return (self._data / "pg_hba.conf").read_text()

    def set_rules(self, rules: str) -> None:
        (self._data / "pg_hba.conf").write_text(rules)
        self._do("pg_ctl", "reload")

    def ask_in_clear(self) -> None:
        """From now on, ask for passwords as they are."""
        self.set_rules("host all all 127.0.0.1/32 password\n")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _do(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        # Its output goes nowhere, because a server that is started keeps it open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command, cwd="/", stdout=said, stderr=said, timeout=_MAX_SECONDS, check=False, **self._as
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode(errors="replace")


@contextmanager
def running() -> Iterator[Server]:
    programs = binaries()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        Path(home).chmod(0o755)
        server = Server(programs, Path(home))
        try:
            yield server
        finally:
            with suppress(AssertionError):  # stopped by a test
                server.stop()


def serving() -> Iterator[Server]:
    """Skips the test where there is no server to start, or the extra is missing."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    before = os.environ.get("PGPASSWORD")
    os.environ["PGPASSWORD"] = CANARY
    try:
        with running() as server:
            yield server
    finally:
        del os.environ["PGPASSWORD"]
        if before is not None:
            os.environ["PGPASSWORD"] = before


class Wire:
    """Between a client and a server: breaks a connection at a COMMIT, once it is told to.

    'before': the server never sees the commit. 'after': it has committed, and the client does not hear of it.
    'deaf': like 'before', but the server is not told that the client is gone, and keeps its lock.
    """

    def __init__(self, port: int) -> None:
        self.breaks: Literal["before", "after", "deaf"] | None = None
        self.broken = 0
        self._kept: list[socket.socket] = []
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for kept in self._kept:
            kept.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                threading.Thread(target=self._upwards, args=(client, server), daemon=True).start()
                threading.Thread(target=self._downwards, args=(server, client), daemon=True).start()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.breaks is not None and data.startswith(b"Q") and b"COMMIT" in data:
                    how, self.breaks = self.breaks, None
                    self.broken += 1
                    _shut(client)
                    self._kept.append(server)
                    if how == "after":
                        server.sendall(data)
                    if how != "deaf":
                        server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)
            _shut(server)

    @staticmethod
    def _downwards(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            _shut(client)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
