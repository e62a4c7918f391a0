"""A study on a server: one writer, nothing lost when the connection breaks, and a stranger's tables are not read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import LockedError, StorageError, Store, TrialState, changes_of, linked, studies_on, writer_of
from storage.postgresql import connected
from tests.storage.children import Child, keep_working, open_to_write
from tests.storage.examples import FOLDS, RUN, STUDY, fill, fold, make, refused, trial
from tests.storage.servers import CANARY, Server, Wire

SECONDS_LONG_ENOUGH = 30.0


def sql(path: Path, *statements: str) -> None:
    """Change a study as another program would."""
    url = linked(path)
    assert url is not None
    with connected(url, read_only=False) as connection:
        for statement in statements:
            connection.execute(text(statement))


def steps(path: Path) -> list[tuple[int, int]]:
    with Store.open(path, read_only=True) as store:
        return [(one.trial, one.fold) for trial in store.trials() for one in trial.folds]


# One writer


def test_of_many_processes_that_begin_at_once_one_has_the_study(path: Path, server: Server) -> None:
    make(path, server.url()).close()
    children = [Child(open_to_write, path) for _ in range(12)]
    try:
        answers = [str(child.receive(SECONDS_LONG_ENOUGH)) for child in children]
        assert answers.count("open") == 1
        refusals = [answer for answer in answers if answer != "open"]
        holder = children[answers.index("open")].process.pid
        assert all(f"is in use by process {holder} on " in answer for answer in refusals), refusals
    finally:
        for child in children:
            child.__exit__(None, None, None)


def test_a_process_that_is_killed_leaves_the_study_to_the_next(path: Path, server: Server) -> None:
    make(path, server.url()).close()
    with Child(open_to_write, path) as child:
        assert child.receive(SECONDS_LONG_ENOUGH) == "open"
        assert f"process {child.process.pid} on " in str(writer_of(path))
        with pytest.raises(LockedError, match=f"process {child.process.pid}"):
            Store.open(path)
        with Store.open(path, read_only=True) as reader:
            assert reader.study() == STUDY
    for _ in range(100):  # until the server has noticed
        if writer_of(path) is None:
            break
    with Store.open(path) as store:
        store.start_run(RUN)
    assert writer_of(path) is None


def test_killed_at_random_moments_every_acknowledged_fold_is_stored_once(path: Path, server: Server) -> None:
    make(path, server.url()).close()
    acknowledged: list[tuple[int, int]] = []
    for number in range(4):
        with Child(keep_working, path) as child:
            for _ in range(3 + number):
                acknowledged.append(child.receive(SECONDS_LONG_ENOUGH))
            child.process.kill()
            acknowledged += child.rest()
        stored = steps(path)
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1
        acknowledged = stored
        while writer_of(path) is not None:
            pass


# A connection that breaks


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with closing(Wire(server.port)) as between:
        yield between


@pytest.mark.parametrize("breaks", ["before", "after", "deaf"])
def test_a_commit_whose_answer_is_lost_is_done_exactly_once(
    path: Path, server: Server, wire: Wire, breaks: str
) -> None:
    with make(path, server.url(port=wire.port)) as store:
        for number in range(4):
            wire.breaks = breaks if number % 2 else None  # type: ignore[assignment]
            assert store.start_run(RUN) == number + 1
        store.add_trial(trial(), run=0, seconds=1)
        wire.breaks = breaks  # type: ignore[assignment]
        store.add_fold(fold(), run=0, seconds=2)
        assert wire.broken == 3
        assert (len(store.runs()), len(store.trial(0).folds)) == (5, 1)


def test_a_server_that_restarts_between_two_writes_is_not_even_noticed(path: Path, server: Server) -> None:
    with make(path, server.url()) as store, Store.open(path, read_only=True) as reader:
        for number in range(2):
            fill_one(store, number)
            server.restart()
            assert len(reader.trials()) == number + 1
    assert steps(path) == [(number, index) for number in range(2) for index in range(FOLDS)]


def fill_one(store: Store, number: int) -> None:
    store.add_trial(trial(number), run=0, seconds=number)
    for index in range(FOLDS):
        last = (TrialState.COMPLETE, None, None) if index == FOLDS - 1 else None
        store.add_fold(fold(number, index), run=0, seconds=number, close=last)


def test_a_server_that_is_away_is_waited_for_as_long_as_the_store_is_told_to(path: Path, server: Server) -> None:
    with make(path, server.url()) as store:
        assert store.obstacle == "its server cannot be reached"
        server.stop()
        waited: list[float] = []

        def patient(seconds: float) -> bool:
            waited.append(seconds)
            return len(waited) < 3

        store.patient = patient
        with refused("its server cannot be used", "what is committed is safe"):
            store.add_trial(trial(), run=0, seconds=0)
        assert waited == sorted(waited) and len(waited) == 3
        store.patient = lambda _: True
        starting = threading.Timer(0.5, server.start)
        starting.start()
        store.add_trial(trial(), run=0, seconds=0)
        starting.join()
        assert store.trials() == [trial()]


def test_whoever_was_away_while_another_had_the_study_commits_nothing_more(path: Path, server: Server) -> None:
    with make(path, server.url()) as store:
        server.restart()
        with Store.open(path) as other:
            other.add_trial(trial(), run=0, seconds=0)
            with refused("took the study over"):
                store.add_trial(trial(1), run=0, seconds=0)
        with refused("took the study over", "Stop one of the two"):
            store.add_trial(trial(1), run=0, seconds=0)
        assert [one.number for one in store.trials()] == [0]


# What is there


def test_a_study_is_listed_until_it_is_removed_and_the_link_goes_with_it(path: Path, server: Server) -> None:
    url = server.url()
    with make(path, url) as store:
        assert url in studies_on(url.where)
        before = changes_of(path)
        store.start_run(RUN)
        assert changes_of(path) != before
        store.remove()
    assert url not in studies_on(url.where)
    assert not path.exists()


@pytest.mark.parametrize("on_server", [False, True])
def test_a_study_with_a_trial_is_not_removed(path: Path, request: pytest.FixtureRequest, on_server: bool) -> None:
    url = request.getfixturevalue("server").url() if on_server else None
    with make(path, url) as store:
        fill(store, 1)
        with refused("has a trial and was not removed"):
            store.remove()
    assert len(steps(path)) == FOLDS


def test_a_study_of_this_name_is_not_replaced(path: Path, server: Server) -> None:
    url = server.url()
    with make(path, url) as store:
        fill(store, 1)
    with refused(str(url), "there is a study of this name already"):
        make(path.with_name("other.db"), url)
    assert not path.with_name("other.db").exists()
    assert len(steps(path)) == FOLDS


def test_other_schemas_of_the_database_are_no_studies(path: Path, server: Server) -> None:
    url = server.url()
    with connected(url.where, read_only=False) as connection:
        connection.execute(text('CREATE SCHEMA "smallsearch-"'))
        connection.execute(text('CREATE SCHEMA "smallsearch-with blanks"'))
    make(path, url).close()
    assert url in studies_on(url.where)
    assert all("blanks" not in str(other) for other in studies_on(url.where))


ACTING = {
    "a view": ("ALTER TABLE choice RENAME TO c", "CREATE VIEW choice AS SELECT * FROM c"),
    "a trigger": (
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER t AFTER INSERT ON trial FOR EACH ROW EXECUTE FUNCTION public.f()",
    ),
    "a rule": ("CREATE RULE r AS ON INSERT TO run DO ALSO DELETE FROM run",),
    "a policy": ("ALTER TABLE run ENABLE ROW LEVEL SECURITY",),
    "a default": ("ALTER TABLE run ALTER seconds SET DEFAULT random()",),
    "a condition": ("ALTER TABLE run ADD CONSTRAINT c CHECK (length(host) < 9)",),
    "a condition that has the name of ours": (
        "ALTER TABLE trial DROP CONSTRAINT ck_trial_state",
        "ALTER TABLE trial ADD CONSTRAINT ck_trial_state CHECK (length(state) < 99)",
    ),
    "our condition on another table": ("ALTER TABLE run ADD CONSTRAINT ck_trial_state CHECK (length(host) < 9)",),
    "a domain": (
        "CREATE DOMAIN host AS text CHECK (length(VALUE) < 99)",
        "ALTER TABLE run ALTER host TYPE host",
    ),
    "an index": ("CREATE INDEX i ON run (length(host))",),
    "a function": ("CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",),
    "a table that is missing": ("DROP TABLE choice",),
}


@pytest.mark.parametrize("name", ACTING)
def test_tables_that_act_are_refused(path: Path, server: Server, name: str) -> None:
    url = server.url()
    make(path, url).close()
    sql(path, *ACTING[name])
    with refused(str(url), "was made to do harm"):
        Store.open(path, read_only=True)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "Upgrade smallsearch"),
        ("UPDATE study SET classes = '[1'", "a row is damaged"),
        ("UPDATE image SET label = 7", "holds label 7"),
        ("UPDATE split SET assignment = decode('00', 'hex')", "a row is damaged"),
    ],
)
def test_what_this_program_never_writes_is_detected(path: Path, server: Server, statement: str, words: str) -> None:
    make(path, server.url()).close()
    sql(path, statement)
    with pytest.raises(StorageError, match=words), Store.open(path, read_only=True) as store:
        store.images()
        store.splits()


def test_texts_with_any_character_come_back(path: Path, server: Server) -> None:
    odd = "nul \0, line\nend, 犬, \U0001f408, 'quote\"; DROP TABLE trial"
    with make(path, server.url()) as store:
        store.add_trial(trial(params={"name": odd}), run=0, seconds=0)
        store.close_trial(0, TrialState.FAILED, odd, odd)
        stored = store.trial(0)
        assert (stored.cause, stored.detail, stored.params) == (odd, odd, {"name": odd})


# Passwords


def test_a_password_is_in_no_message_and_no_file(path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url()
    make(path, url).close()
    messages = []
    for wrong in ("", "wrong-" + CANARY):
        monkeypatch.setenv("PGPASSWORD", wrong)
        with pytest.raises(StorageError) as raised:
            Store.open(path)
        messages.append(str(raised.value))
    monkeypatch.setenv("PGPASSWORD", CANARY)
    for other in ("postgresql://nobody@127.0.0.1:{}/postgres/x", "postgresql://searcher@127.0.0.1:{}/none/x"):
        with pytest.raises(StorageError) as raised:
            Store.open(url.parse(other.format(server.port)))
        messages.append(str(raised.value))
    assert all("its server cannot be used" in message for message in messages)
    assert not any(CANARY in message for message in messages)
    for file in path.parent.iterdir():
        assert CANARY.encode() not in file.read_bytes()
    assert CANARY not in server.log()


@pytest.mark.parametrize(
    ("changes", "password", "words"),
    [
        ({}, "", "asks for a password: set PGPASSWORD, or write it into ~/.pgpass"),
        ({}, "wrong", "See that PGPASSWORD or ~/.pgpass has the password of this user"),
        ({"database": "my lab"}, CANARY, "-U searcher 'my lab'`, or name one that is there"),
        ({"options": {"sslmode": "require"}}, CANARY, "See that sslmode and sslrootcert in the URL fit the server"),
        ({"options": {"sslmode": "nonsense"}}, CANARY, "See that sslmode and sslrootcert in the URL fit the server"),
        ({"host": "127.0.0.1", "port": 1}, CANARY, "See that it runs and can be reached"),
    ],
)
def test_what_to_do_is_said_of_what_failed_and_of_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], password: str, words: str
) -> None:
    monkeypatch.setenv("PGPASSWORD", password)
    with pytest.raises(StorageError) as raised:
        Store.open(replace(server.url(), **changes))
    assert words in str(raised.value)
    assert ("PGPASSWORD" in str(raised.value)) == (password != CANARY)


def test_a_password_is_never_sent_in_clear(path: Path, server: Server) -> None:
    """A link of a stranger may name a server of a stranger, which asks for it."""
    make(path, server.url()).close()
    url = linked(path)
    assert url is not None
    rules = server.rules()
    try:
        server.ask_in_clear()
        with refused("its server cannot be used", "cleartext password"):
            Store.open(path)
    finally:
        server.set_rules(rules)
    Store.open(path).close()


def test_psycopg_is_asked_for_by_the_name_of_the_extra(
    path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path, server.url()).close()
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with refused("pip install '.[postgres]' in a checkout"):
        Store.open(path)
