"""The address of a study on a PostgreSQL server: `postgresql://USER@HOST/DATABASE/STUDY`. It never holds a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from storage.errors import StorageError

SCHEMA_PREFIX = "smallsearch-"
"""Of the schemas that hold studies, so that none is mixed with those of other programs in the same database."""

MAX_NAME = 48
"""Characters of a study's name on a server; with the prefix it fits the 63 bytes of PostgreSQL's identifiers."""

FORM = "postgresql://USER@HOST/DATABASE/STUDY"

LINK = b"smallsearch server\n"
"""What `study.db` begins with where the study's tables are on a server; the URL follows."""

_SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")
# At least two letters, as C:/ is a drive; or one without its colon, whose password no message must show.
_URL = re.compile(r"[a-z][a-z0-9+]+:/|postgres[^/]*//?[^/]*@", re.IGNORECASE)
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_OPTIONS = ("host", "sslmode", "sslrootcert")
_MAX_LINK = 4096  # bytes


@dataclass(frozen=True)
class ServerUrl:
    """Where a server is, and a database and a study on it. `str` gives the URL, which can be shown and stored."""

    host: str | None  # None: that of `options`, or libpq's default, a socket of this machine
    database: str
    user: str | None = None  # None: libpq's default, the name in the system
    port: int | None = None
    study: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Raises ValueError for anything else. The message has the rule and never the text, which may hold a password.

        Passwords are refused: a command line is shown to everyone on the machine, and `study.toml` is copied.
        """
        try:
            parts = urlsplit(text)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        except ValueError:  # whose message may quote a part of a password
            raise ValueError(f"must be a URL such as {FORM}") from None
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"must be {FORM}; a study without it is kept in a file of its folder")
        if parts.password is not None or "password" in options or "@" in parts.path:
            raise ValueError(
                "must not contain a password, which others could read in the list of processes; "
                f"set PGPASSWORD, or write it into ~/.pgpass, and give {FORM}"
            )
        database, _, study = unquote(parts.path).strip("/").partition("/")
        if not database or parts.fragment or not (text.isprintable() and database.isprintable()):
            raise ValueError(f"must name a database: {FORM}")
        if unknown := [name for name in options if name not in _OPTIONS]:
            raise ValueError(f"can have the options {', '.join(_OPTIONS)}, but not {unknown[0]!r}")
        user = None if parts.username is None else unquote(parts.username)
        url = cls(parts.hostname, database, user or None, _port(parts), None, options)
        return url.of_study(study) if study else url

    def of_study(self, name: str) -> ServerUrl:
        """The address of a study of this name. Raises ValueError for a name that cannot be."""
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"the name of a study on a server has letters of ASCII, digits, '.', '_' and '-', {MAX_NAME} at most, "
                f"and begins with a letter or digit, got {name[:80]!r}"
            )
        return replace(self, study=name)

    @property
    def schema(self) -> str:
        """The PostgreSQL schema with the study's tables."""
        return f"{SCHEMA_PREFIX}{self.study}"

    @property
    def where(self) -> ServerUrl:
        """The same without a study."""
        return replace(self, study=None)

    def __str__(self) -> str:
        user = "" if self.user is None else f"{quote(self.user, safe='')}@"
        host = "" if self.host is None else f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        study = "" if self.study is None else f"/{self.study}"
        options = f"?{urlencode(self.options)}" if self.options else ""
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}{study}{options}"


def _port(parts: SplitResult) -> int | None:
    """None: the default. Raises ValueError, whose message has a number only: words may be a password without a host."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        given = parts.netloc.rpartition(":")[2]
        got = f", got {given}" if re.fullmatch(r"[0-9]{1,5}", given) else ""
        raise ValueError(f"must have a port from 1 to 65535{got}: {FORM.replace('/DATABASE', ':PORT/DATABASE')}")
    return port


def is_url(text: str) -> bool:
    """Whether a word of a command line is meant as a URL, of whatever kind."""
    return _URL.match(text) is not None


def name_for(text: str) -> str:
    """A name that a study can have on a server, made of the name of its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:MAX_NAME] or "study"


# The link in a study folder


def link_text(url: ServerUrl) -> bytes:
    """The content of a `study.db` whose tables are on a server."""
    return LINK + f"{url}\n".encode()


def linked(path: Path) -> ServerUrl | None:
    """The server that `study.db` names, where it is a link to one; None for any other file, or none.

    Raises StorageError for a link that is damaged.
    """
    if not path.is_file():  # opening a pipe would wait for somebody to write
        return None
    try:
        with path.open("rb") as stream:
            if stream.read(len(LINK)) != LINK:
                return None
            text = stream.read(_MAX_LINK).decode()
    except (OSError, UnicodeDecodeError):  # reported by whoever opens it as a database
        return None
    try:
        url = ServerUrl.parse(text.rstrip("\n"))
        if url.study is None:
            raise ValueError(f"must be {FORM}")
    except ValueError as error:
        raise StorageError(
            f"{path}: is a link to a server and is damaged: its second line {error}. Restore the file from a backup, "
            "or write the line anew."
        ) from None
    return url
