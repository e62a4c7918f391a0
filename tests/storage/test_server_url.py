"""The address of a study on a server: what can be one, and no password; the link to it in a study folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import ServerUrl, StorageError, Store, linked, name_for
from storage.place import link
from storage.server import LINK, MAX_NAME
from tests.storage.examples import refused

CANARY = "c4nary"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgresql://host/db", ServerUrl("host", "db")),
        ("postgresql+psycopg://ada@host:5433/db/cats-2", ServerUrl("host", "db", "ada", 5433, "cats-2")),
        ("postgres://ada%40x@host/my%20db/cats", ServerUrl("host", "my db", "ada@x", None, "cats")),
        ("postgresql://[::1]:5/db", ServerUrl("::1", "db", None, 5)),
        (
            "postgresql:///db?host=%2Frun%2Fpg&sslmode=require",
            ServerUrl(None, "db", options={"host": "/run/pg", "sslmode": "require"}),
        ),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, url: ServerUrl) -> None:
    assert ServerUrl.parse(text) == url
    assert ServerUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"postgresql://ada:{CANARY}@host/db", "must not contain a password"),
        (f"postgresql://ada:{CANARY}/x@host/db", "must not contain a password"),
        (f"postgresql://ada:1234/{CANARY}@host/db", "must not contain a password"),
        (f"postgresql://ada:12?{CANARY}@host/db", "must be a URL"),
        (f"postgresql://ada@host/db?password={CANARY}", "must not contain a password"),
        (f"postgresql://ada@host/db#{CANARY}", "must name a database"),
        (f"mysql://ada:{CANARY}@host/db", "must be postgresql://"),
        ("sqlite:///study.db", "must be postgresql://"),
        ("postgresql://host", "must name a database"),
        ("postgresql://host/db/two words", "the name of a study"),
        ("postgresql://host/db/a/b", "the name of a study"),
        (f"postgresql://host/db/{'a' * (MAX_NAME + 1)}", "the name of a study"),
        ("postgresql://host/db?options=-csearch_path%3Dpublic", "can have the options host, sslmode, sslrootcert"),
        ("postgresql://host:99999/db", "must have a port from 1 to 65535, got 99999: postgresql://USER@HOST:PORT/"),
        ("postgresql://[::1]:0/db", "must have a port from 1 to 65535, got 0"),
        ("postgresql://host:99999999/db", "must have a port from 1 to 65535: "),
        (f"postgresql://ada:{CANARY}/db", "must have a port from 1 to 65535: "),
        (f"postgresql://ada:99999/{CANARY}@host/db", "must not contain a password"),
        ("postgresql://host/d\nb", "must name a database"),
    ],
)
def test_what_is_no_address_is_refused_by_a_rule_that_never_shows_a_password(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=r"must|can have|the name") as raised:
        ServerUrl.parse(text)
    assert str(raised.value).startswith(rule)
    assert CANARY not in str(raised.value)


@given(st.text() | st.from_regex(r"postgres(ql)?://[^ ]{0,40}"))
def test_any_text_is_an_address_that_can_be_written_or_is_refused(text: str) -> None:
    try:
        url = ServerUrl.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert ServerUrl.parse(str(url)) == url


@given(st.text())
def test_every_folder_has_a_name_for_a_server(name: str) -> None:
    assert ServerUrl("host", "db").of_study(name_for(name)).study == name_for(name)


def test_a_link_is_whole_and_never_replaces_a_file(tmp_path: Path) -> None:
    url, path = ServerUrl("host", "db", "ada", study="cats"), tmp_path / "study.db"
    link(path, url)
    assert linked(path) == url
    assert path.read_text().splitlines() == ["smallsearch server", "postgresql://ada@host/db/cats"]
    with refused(str(path), "exists already"):
        link(path, url)
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
    with refused("No such file or directory"):
        link(tmp_path / "none" / "study.db", url)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "postgresql://host/db", f"postgresql://ada:{CANARY}@host/db/cats", "postgresql://host/db/cats\nx"],
)
def test_a_damaged_link_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(LINK + text.encode())
    with pytest.raises(StorageError) as raised:
        Store.open(path)
    assert str(raised.value).startswith(f"{path}: is a link to a server and is damaged")
    assert CANARY not in str(raised.value)
